"""Wrappers as code: the checks that an engine writes, around the call of the function.

The source of a check is written once for each function and each set of names that a module declares; it becomes the
wrapper's own code. `linecache` knows it under the code's file name, so tracebacks and debuggers show it.
"""

from __future__ import annotations

import itertools
import linecache
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dimtyped.annotations import FunctionKind, Signature, arrays_in
from dimtyped.engine import call_text
from dimtyped.engine.call_names import EXPORTER
from dimtyped.engine.check_plan import CheckPlan, EngineSource
from dimtyped.engine.inline_checks import InlineChecks
from dimtyped.engine.reference_source import ReferenceSource
from dimtyped.engine.source import with_literals
from dimtyped.runtime import CHECKED_NAME, GENERATED, PREFIX

_numbers = itertools.count()
_RESULT = f"{PREFIX}result"


@dataclass(frozen=True, slots=True)
class Compiled:
    """The code of a wrapper and the objects that it needs.

    Attributes:
        code: The code of the wrapper.
        exporter: The code of a second function, `EXPORTER`, if there is one.
        constants: The globals that only this check has.
        names: The names of all globals that the code uses.
        defaults: The defaults of the wrapper.
        keyword_defaults: Those of its keyword-only parameters.
    """

    code: types.CodeType
    exporter: types.CodeType | None
    constants: dict[str, Any]
    names: frozenset[str]
    defaults: tuple[Any, ...] | None
    keyword_defaults: dict[str, Any] | None

    def copy(self) -> Compiled:
        """The same with new code objects: TorchDynamo caches by code object, and would take one wrapper for another."""
        exporter = self.exporter and self.exporter.replace()
        return Compiled(self.code.replace(), exporter, self.constants, self.names, self.defaults, self.keyword_defaults)


def compile_check(plan: CheckPlan) -> Compiled:
    """The wrapper of a function that the fast engine checks.

    Raises:
        Inexpressible: a parameter's name begins with this package's prefix.
    """
    return _compile(InlineChecks(plan), plan.signature, plan.translated, *call_text.defaults(plan.signature))


def compile_reference(
    signature: Signature, translated: tuple[type[Exception], ...], *, exports_names: bool
) -> Compiled:
    """The wrapper of a function that the reference engine checks."""
    engine = ReferenceSource(signature.function_kind, exports_names=exports_names)
    return _compile(engine, signature, translated, None, None)


def _compile(
    engine: EngineSource,
    signature: Signature,
    translated: tuple[type[Exception], ...],
    defaults: tuple[Any, ...] | None,
    keyword_defaults: dict[str, Any] | None,
) -> Compiled:
    text = _wrapper_text(engine, signature, translated)
    file = f"{GENERATED}{signature.where} {next(_numbers)}>"
    namespace = run_source(text, file, {}, engine.source.literals)
    made: types.FunctionType = namespace[call_text.function_name(signature.function)]
    exporter: types.FunctionType | None = namespace.get(EXPORTER)
    code = exporter and exporter.__code__
    names = frozenset(_names_in(made.__code__))
    return Compiled(made.__code__, code, engine.source.constants, names, defaults, keyword_defaults)


def _names_in(code: types.CodeType) -> Iterator[str]:
    """The names that a code object uses, and all code inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)


def run_source(
    text: str, file: str, namespace: dict[str, Any], literals: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Runs source text in a namespace, and lets tracebacks show it under the name of a file."""
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(with_literals(compile(text, file, "exec"), literals), namespace)
    return namespace


# One wrapper for each kind of function, whichever engine checks -------------------------------------------------------


def _wrapper_text(engine: EngineSource, signature: Signature, translated: tuple[type[Exception], ...]) -> str:
    kind = signature.function_kind
    engine.follow_trace()
    before = len(engine.source.lines)
    engine.check_arguments()
    if call_text.yields(kind):
        _call_generator(engine, kind)
    elif translated:
        _call_and_translate(engine, translated)
    else:
        _call_once(engine, "await " if kind is FunctionKind.COROUTINE else "")
    is_async = kind in (FunctionKind.COROUTINE, FunctionKind.ASYNC_GENERATOR)
    head = f"{'async ' if is_async else ''}def {call_text.function_name(signature.function)}({engine.parameters}):"
    lines = engine.source.lines
    # a trace breaks at a packed sequence's numbers, and cannot continue after that inside `try`
    has_packed = any(array.packed for hint in signature.hints for array in arrays_in(hint))
    body = lines[before:] if has_packed else call_text.stripped(lines[before:])
    return "\n".join((head, *lines[:before], *body, *engine.exporter, ""))


def _call_once(engine: EngineSource, awaited: str) -> None:
    """A plain function's call, or a coroutine's."""
    source = engine.source
    if not engine.checks_result:
        source.write(f"return {awaited}{engine.call}")
        return
    source.write(f"{_RESULT} = {awaited}{engine.call}")
    engine.check_result(_RESULT)
    source.write(f"return {_RESULT}")


def _call_and_translate(engine: EngineSource, translated: tuple[type[Exception], ...]) -> None:
    """A layer's call: an exception of torch's for a wrong argument becomes a DimensionError; the `try` costs nothing."""
    source, error, better = engine.source, f"{PREFIX}error", f"{PREFIX}better"
    kinds = source.constant(translated, "translated")
    with source.block("try:"):
        source.write(f"return {engine.call}")
    with source.block(f"except {kinds} as {error}:"):
        source.write(f"{better} = {PREFIX}translate_error({CHECKED_NAME}, {engine.values}, {error})")
        source.write(f"if {better} is {error}: raise")
        source.write(f"raise {better} from None")


def _call_generator(engine: EngineSource, kind: FunctionKind) -> None:
    """The call of a generator of either kind: each item is checked before it is yielded."""
    if not engine.checks_result:
        engine.source.write(*call_text.leave(kind, engine.call))
        return
    with engine.source.apart() as check:
        engine.check_result(_RESULT)
    engine.source.write(*call_text.drive(kind, engine.call, check))
