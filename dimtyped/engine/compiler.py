"""The fast engine: a signature as straight-line Python.

The source is written once a function (and once for each set of names that a module declares), compiled, and
becomes the wrapper's own code. Each tensor's shape and dtype are read once, and a call that passes runs
nothing else. `linecache` knows the source under the code's file name, so tracebacks and debuggers show it.
"""

from __future__ import annotations

import inspect
import itertools
import linecache
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dimtyped.annotations import (
    AnythingHint,
    ClassHint,
    FunctionKind,
    Hint,
    Inexpressible,
    Parameter,
    Signature,
    UnionHint,
    arrays_in,
    evaluate,
    free_names,
    is_bearable,
    join,
    packed_shape,
)
from dimtyped.engine.call_names import AMBIGUOUS, ENTRY, EXPORTER, VARIABLE, exporters
from dimtyped.engine.codegen import CheckCodegen, Known, count_uses, reads_text
from dimtyped.errors import DeclarationError
from dimtyped.names import ATTRIBUTE, scope_key_names
from dimtyped.runtime import at_trace_time, is_tracing

PREFIX = "_dt_"


class Missing:
    """The mark of an argument that a call left out."""

    def __reduce__(self) -> str:
        return "MISSING"


MISSING = Missing()
_numbers = itertools.count()
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A check as code: what a function needs to install_code it. `exporter` is the code of `_Source.export_names`'s function."""

    code: types.CodeType
    exporter: types.CodeType | None
    constants: dict[str, Any]
    defaults: tuple[Any, ...] | None
    keyword_defaults: dict[str, Any] | None


def compile_check(
    signature: Signature,
    scope_key: str | None,
    shares: bool,
    translated: tuple[type[Exception], ...] = (),
    *,
    may_be_method: bool = False,
    check_after_error: str = "",
    forms: Mapping[str, tuple[Any, Signature | None]] | None = None,
) -> Compiled:
    """The wrapper of a function as code.

    Args:
        signature: What to check.
        scope_key: The names that the module declares, or None for a function that is no module's method.
        shares: Whether the function's body calls `assert_dims` and so needs the names at hand.
        translated: Exceptions of the function that the entry's `translate_error` explains.
        may_be_method: Whether the first argument of another call may be a module, where it is none in this one.
        check_after_error: The condition, if any, under which to check in traces only: the function raises by itself.
        forms: For our own layers called in several forms: a condition in Python for each, the last one empty, and
            the entry and the signature that hold there; None where nothing is checked.

    Raises:
        Inexpressible: a parameter's name is one of ours.
    """
    source, constants = _Source(
        signature, scope_key, shares, translated, may_be_method, check_after_error, forms or {}
    ).build()
    name = f"<dimtyped {signature.where} {next(_numbers)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {}
    exec(compile(source, name, "exec"), namespace)
    made: types.FunctionType = namespace[_function_name(signature)]
    exporter: types.FunctionType | None = namespace.get(EXPORTER)
    return Compiled(made.__code__, exporter and exporter.__code__, constants, *_defaults(signature))


class _Source:
    """Writes one wrapper: the signature, the scope's sizes, the arguments' checks, the call, the result's."""

    def __init__(
        self,
        signature: Signature,
        scope_key: str | None,
        shares: bool,
        translated: tuple[type[Exception], ...],
        may_be_method: bool,
        check_after_error: str,
        forms: Mapping[str, tuple[Any, Signature | None]],
    ) -> None:
        if any(parameter.name.startswith(PREFIX) for parameter in signature.parameters):
            raise Inexpressible(f"a parameter's name begins with {PREFIX}")
        self.signature = signature
        self.scope_key = scope_key
        self.shares = shares
        self.translated = translated
        self.may_be_method = may_be_method
        self.check_after_error = check_after_error
        self.forms = forms
        self.parts: dict[str, str] = {}
        self.entry = f"{PREFIX}entry"
        signatures = (signature, *(form for _, form in forms.values() if form is not None))
        hints = [hint for form in signatures for hint in form.hints]
        uses, joined = count_uses(hints)
        if shares:  # a run is then kept as `join` makes it, for any that `assert_dims` may join to it
            joined |= {axis.name for hint in hints for a in arrays_in(hint) for axis in a.axes if axis.many}
        names = [parameter.name for parameter in signature.parameters]
        self.writer = CheckCodegen(PREFIX, uses, joined, keep_all=shares or reads_text(hints), taken=names)
        self.writer.filled.update((p.name, self._or_default(p)) for p in signature.parameters if is_marked(p))
        self.call = f"{PREFIX}function({', '.join(_arguments(signature, self.writer.filled))})"
        self.exporter: tuple[str, ...] = ()
        if signature.attributes:
            self.writer.unchecked = _leaving(signature.function_kind, self.call)
        used = dict.fromkeys(name for hint in hints for a in arrays_in(hint) for name in free_names(a))
        if shares and scope_key is not None:  # what the module declares, `assert_dims` may use
            used.update(dict.fromkeys(name for name in scope_key_names(scope_key) if name in scope_key.split()))
        self.used = tuple(used)

    def _or_default(self, parameter: Parameter) -> str:
        missing, default = self.writer.constant(MISSING, "missing"), self.writer.constant(parameter.default, "default")
        return f"({default} if {parameter.name} is {missing} else {parameter.name})"

    def build(self) -> tuple[str, dict[str, Any]]:
        """The source, and the objects that it names."""
        writer, signature = self.writer, self.signature
        self._declare()
        if self.check_after_error:
            with writer.block(f"if {PREFIX}is_tracing() or not ({self._held(self.check_after_error)}):"):
                self._check_call()
        else:
            self._check_call()
        if self.shares:
            self._share()
        self._call()
        keyword = (
            "async def" if signature.function_kind in (FunctionKind.COROUTINE, FunctionKind.ASYNC_GENERATOR) else "def"
        )
        head = f"{keyword} {_function_name(signature)}({', '.join(_parameters(signature))}):"
        return "\n".join((head, "    __tracebackhide__ = True", *writer.lines, *self.exporter, "")), writer.constants

    # Names that the call does not bind --------------------------------------------------------------------------------

    def _declare(self) -> None:
        sizes = self.writer.names.sizes
        sizes.update((name, Known(str(size))) for name, size in self.signature.fixed.items())
        owner = self.signature.parameters[0].name if self.signature.parameters else ""
        paths = {name: f"{owner}.{path}" for name, path in self.signature.attributes.items()}
        self._read_parts(owner, paths)
        sizes.update((name, Known(self._held(path))) for name, path in paths.items() if name in self.used)
        if self.scope_key is not None:
            self._read_scope(owner, self.scope_key)
        elif self.may_be_method:
            self._look_for_scope(owner)

    def _read_parts(self, owner: str, paths: Mapping[str, str]) -> None:
        """Reads a part of the layer that both the forms and the sizes are asked of, once."""
        inner = dict.fromkeys(path.rpartition(".")[0] for path in paths.values())
        for part in (part for part in inner if part != owner and any(part in condition for condition in self.forms)):
            self.parts[part] = self.writer.fresh("part")
            self.writer.write(f"{self.parts[part]} = {part}")

    def _held(self, source: str) -> str:
        """The same source over what is read already."""
        for part, variable in self.parts.items():
            source = source.replace(part, variable)
        return source

    def _read_scope(self, owner: str, scope_key: str) -> None:
        writer = self.writer
        scope = f"{PREFIX}scope"
        with writer.block("try:"):
            writer.write(f"{scope} = {owner}.{ATTRIBUTE}")
        with writer.block(f"except {writer.python('AttributeError')}:"):
            writer.write(f"{scope} = {PREFIX}missing_scope({owner})")
        with writer.block(f"if {scope}.scope_key != {scope_key!r}:"):
            writer.write(f"{PREFIX}specialization = {PREFIX}prepare_specialization({scope}.scope_key)")
            self._leave(f"{self.writer.python('getattr')}({PREFIX}entry.specializations, {PREFIX}specialization)")
        names = scope_key_names(scope_key)
        ambiguous = [name for name, word in zip(names, scope_key.split(), strict=True) if name != word]
        for name in (name for name in ambiguous if name in self.used):
            with writer.block(f"if {PREFIX}is_ambiguous({owner}, {name!r}):"):
                writer.write(f"raise {PREFIX}ambiguous({PREFIX}entry, {owner}, {name!r})")
            self._leave(f"{PREFIX}entry.wrapper")
        if any(name in self.used for name in names):
            writer.write(f"{PREFIX}sizes = {scope}.sizes")
        for index, name in enumerate(names):
            if name in self.used and name not in self.signature.fixed:
                variable = writer.variable(name)
                writer.write(f"{variable} = {PREFIX}sizes[{index}]")
                writer.names.sizes[name] = Known(variable)

    def _look_for_scope(self, owner: str) -> None:
        with self.writer.block(f"if {self.writer.isinstance}({owner}, {PREFIX}Module):"):
            self.writer.write(f"{PREFIX}specialization = {PREFIX}specialization_for({PREFIX}entry, {owner})")
            with self.writer.block(f"if {PREFIX}specialization is not None:"):
                self._leave(f"{self.writer.python('getattr')}({PREFIX}entry.specializations, {PREFIX}specialization)")

    # Arguments --------------------------------------------------------------------------------------------------------

    def _check_call(self) -> None:
        if self.forms:
            self._check_forms()
        else:
            self._check_parameters(self.signature)

    def _check_forms(self) -> None:
        declared, head = self.writer.names, "if "
        for condition, (entry, signature) in self.forms.items():
            self.writer.names, self.entry = declared.copy(), self.writer.constant(entry, "entry")
            with self.writer.block(f"{head}{self._held(condition)}:" if condition else "else:"):
                if signature is None:
                    self.writer.write("pass")
                else:
                    self.writer.uses, _ = count_uses(signature.hints)
                    self._check_parameters(signature)
            head = "elif "

    def _check_parameters(self, signature: Signature) -> None:
        for parameter in signature.parameters:
            self._check_parameter(parameter)

    def _check_parameter(self, parameter: Parameter) -> None:
        hint, writer = parameter.hint, self.writer
        if isinstance(hint, AnythingHint):
            return
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            with writer.loop(f"for {PREFIX}each in {parameter.name}:", hint):
                self._check_argument(hint, f"{PREFIX}each")
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            with writer.loop(f"for {PREFIX}each in {parameter.name}.values():", hint):
                self._check_argument(hint, f"{PREFIX}each")
        elif is_marked(parameter):
            missing = writer.constant(MISSING, "missing")
            with writer.branch(f"if {parameter.name} is not {missing}:", (hint,)):
                self._check_argument(hint, parameter.name)
        else:
            self._check_argument(hint, parameter.name)

    def _check_argument(self, hint: Hint, value: str) -> None:
        self.writer.check(hint, value, self._failure("arguments"))

    def _failure(self, stage: str, result: str = "None") -> tuple[str, ...]:
        values = f"{self.entry}, {_tuple_of(self.signature)}, {stage!r}, {result}"
        wrong = f"if {PREFIX}is_violation({values}): raise {PREFIX}explain({values})"
        if stage == "return":
            return (wrong, "break" if self._yields else f"return {result}")
        arguments = ", ".join(_arguments(self.signature, {}))
        return (wrong, *_leaving(self.signature.function_kind, f"{PREFIX}retry_target({values})({arguments})"))

    def _leave(self, function: str) -> None:
        arguments = ", ".join(_arguments(self.signature, {}))
        self.writer.write(*_leaving(self.signature.function_kind, f"{function}({arguments})"))

    def _share(self) -> None:
        """Keeps the names where `assert_dims` finds them: see `_sharing`."""
        names = self.writer.names
        ambiguous = {*scope_key_names(self.scope_key or "")} - {*(self.scope_key or "").split()} - names.sizes.keys()
        parts = [
            f"{ENTRY!r}: {PREFIX}entry",
            *(f"{name!r}: {known.source}" for name, known in names.sizes.items()),
            *(f"'*{name}': {known.source}" for name, known in names.runs.items()),
            *(f"{name!r}: {PREFIX}AMBIGUOUS" for name in sorted(ambiguous)),
        ]
        self.writer.write(f"{VARIABLE} = {{{', '.join(parts)}}}")
        if self.signature.function_kind is FunctionKind.PLAIN:
            self._lend()

    def _lend(self) -> None:
        """Calls the function from a frame with few variables: reading one from outside copies all that there are."""
        filled = self.writer.filled
        names = [parameter.name for parameter in self.signature.parameters]
        self.call = f"{EXPORTER}({', '.join((VARIABLE, *(filled.get(name, name) for name in names)))})"
        self.exporter = (
            "",
            f"def {EXPORTER}({', '.join((VARIABLE, *names))}):",
            f"    return {PREFIX}function({', '.join(_arguments(self.signature, {}))})",
        )

    # The call and its result ------------------------------------------------------------------------------------------

    def _call(self) -> None:
        call = self.call
        function_kind, checks = self.signature.function_kind, self.signature.checks_result
        if self._yields:
            self._call_generator(call, checks)
        elif self.translated:
            self._call_rescued(call)
        elif not checks:
            self.writer.write(f"return {'await ' if function_kind is FunctionKind.COROUTINE else ''}{call}")
        else:
            self.writer.write(f"{PREFIX}result = {'await ' if function_kind is FunctionKind.COROUTINE else ''}{call}")
            self._check_result()
            self.writer.write(f"return {PREFIX}result")

    def _call_rescued(self, call: str) -> None:
        """A layer's call: an exception of torch's that means a wrong argument becomes ours; trying costs nothing."""
        kinds = self.writer.constant(self.translated, "translated")
        with self.writer.block("try:"):
            self.writer.write(f"return {call}")
        with self.writer.block(f"except {kinds} as {PREFIX}error:"):
            values = _tuple_of(self.signature)
            self.writer.write(f"{PREFIX}better = {PREFIX}translate_error({PREFIX}entry, {values}, {PREFIX}error)")
            self.writer.write(f"if {PREFIX}better is {PREFIX}error: raise")
            self.writer.write(f"raise {PREFIX}better from None")

    def _check_result(self) -> None:
        if self.shares:
            self._take_shared()
        result = f"{PREFIX}result"
        self.writer.check(self.signature.result, result, self._failure("return", result))

    def _take_shared(self) -> None:
        """Names that the body bound with `assert_dims` hold for the result too."""
        names = self.writer.names
        arrays = arrays_in(self.signature.result)
        for name in dict.fromkeys(name for array in arrays for name in free_names(array)):
            known = names.sizes.get(name)
            if known is None or known.optional:
                names.sizes[name] = self._shared_name(name)
        for name in dict.fromkeys(axis.name for a in arrays for axis in a.axes if axis.many and axis.name):
            names.runs[name] = self._shared_name(f"*{name}")

    def _shared_name(self, name: str) -> Known:
        variable = self.writer.variable(name)
        self.writer.write(f"{variable} = {VARIABLE}.get({name!r})")
        return Known(variable, optional=True)

    @property
    def _yields(self) -> bool:
        return self.signature.function_kind in (FunctionKind.GENERATOR, FunctionKind.ASYNC_GENERATOR)

    def _call_generator(self, call: str, checks: bool) -> None:
        if checks:
            self.writer.write(*_forwarding(self.signature.function_kind, call, self._item_lines()))
        else:
            self.writer.write(*_leaving(self.signature.function_kind, call))

    def _item_lines(self) -> list[str]:
        """The check of each item, with variables of its own: what one item binds, the next does not find."""
        writer = self.writer
        before, writer.lines = writer.lines, []
        writer.stage = "item_"
        self._check_result()
        lines, writer.lines = writer.lines, before
        return [line.removeprefix("    ") for line in lines]


# The wrapper's text ---------------------------------------------------------------------------------------------------


def _function_name(signature: Signature) -> str:
    name: str = getattr(signature.function, "__name__", "")
    return name if name.isidentifier() else f"{PREFIX}call"


def _parameters(signature: Signature) -> Iterator[str]:
    """The wrapper's parameters. Defaults are set on the function, so here they are only marked."""
    previous = None
    for parameter in signature.parameters:
        kind = parameter.kind
        if previous is inspect.Parameter.POSITIONAL_ONLY and kind is not previous:
            yield "/"
        if kind is inspect.Parameter.KEYWORD_ONLY and previous not in (inspect.Parameter.VAR_POSITIONAL, kind):
            yield "*"
        previous = kind
        stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(kind, "")
        yield f"{stars}{parameter.name}{'=None' if parameter.has_default else ''}"
    if previous is inspect.Parameter.POSITIONAL_ONLY:
        yield "/"


def _arguments(signature: Signature, filled: Mapping[str, str]) -> Iterator[str]:
    """The wrapper's arguments as the function takes them, or what stands for them in `filled`."""
    for parameter in signature.parameters:
        value = filled.get(parameter.name, parameter.name)
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            yield f"{parameter.name}={value}"
        else:
            stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
            yield f"{stars.get(parameter.kind, '')}{value}"


def _tuple_of(signature: Signature) -> str:
    return f"({''.join(f'{parameter.name}, ' for parameter in signature.parameters)})"


def _leaving(function_kind: FunctionKind, call: str) -> tuple[str, ...]:
    """Leaves the wrapper with what another call gives."""
    match function_kind:
        case FunctionKind.PLAIN:
            return (f"return {call}",)
        case FunctionKind.COROUTINE:
            return (f"return await {call}",)
        case FunctionKind.GENERATOR:
            return (f"return (yield from {call})",)
        case FunctionKind.ASYNC_GENERATOR:
            return (*_forwarding(function_kind, call), "return")


def _forwarding(function_kind: FunctionKind, call: str, check: Iterable[str] = ()) -> tuple[str, ...]:
    """Runs a generator to its end, each item checked before it is handed on: `yield from`, were there one for both kinds.

    `_typed._async_generator_stub` is the same.
    """
    is_async = function_kind is FunctionKind.ASYNC_GENERATOR
    do = f"await {PREFIX}generator.a" if is_async else f"{PREFIX}generator."
    ended = (
        ("except StopAsyncIteration:", "    pass")
        if is_async
        else (
            f"except StopIteration as {PREFIX}stop:",
            f"    return {PREFIX}stop.value",
        )
    )
    return (
        f"{PREFIX}generator = {call}",
        "try:",
        f"    {PREFIX}result = {do}send(None)",
        "    while True:",
        f"        for {PREFIX}once in (0,):",
        *(f"            {line}" for line in check),
        "            pass",
        "        try:",
        f"            {PREFIX}sent = yield {PREFIX}result",
        "        except GeneratorExit:",
        "            raise",
        f"        except BaseException as {PREFIX}error:",
        f"            {PREFIX}result = {do}throw({PREFIX}error)",
        "        else:",
        f"            {PREFIX}result = {do}send({PREFIX}sent)",
        *ended,
        "finally:",
        f"    {do}close()",
    )


def _defaults(signature: Signature) -> tuple[tuple[Any, ...] | None, dict[str, Any] | None]:
    """The defaults of the wrapper: where a hint is checked, a mark that the argument was left out."""
    checked = [(p, MISSING if is_marked(p) else p.default) for p in signature.parameters]
    positional = tuple(default for p, default in checked if p.has_default and p.kind in _POSITIONAL)
    keyword = {p.name: d for p, d in checked if p.has_default and p.kind is inspect.Parameter.KEYWORD_ONLY}
    return positional or None, keyword or None


def is_marked(parameter: Parameter) -> bool:
    """Whether the check must know that a call left the argument out: not where the default would pass it."""
    return parameter.has_default and not _fits(parameter.hint, parameter.default)


def _fits(hint: Hint, value: Any) -> bool:
    match hint:
        case AnythingHint():
            return True
        case ClassHint(cls=cls):
            return isinstance(value, cls)
        case UnionHint(options=options):
            return not isinstance(value, torch.Tensor) and any(_fits(option, value) for option in options)
        case _:
            return False


# What the source calls, beside the diagnosis --------------------------------------------------------------------------


def unbound(name: str, axis: str) -> Any:
    """Says that an expression uses a name that nothing has given a size."""
    error = DeclarationError(
        f"the axis `{axis}` uses `{name}`, which no parameter before it binds and no module declares\n"
        f"  Put a tensor with an axis named `{name}` before it, or declare `{name}` as a DimSize."
    )
    error.dim, error.expected, error.actual = name, "names bound before it, or declared", axis
    error.hint = f"put a tensor with an axis named `{name}` before it, or declare `{name}` as a DimSize"
    raise error


def bound(size: Any, name: str, axis: str) -> Any:
    """The size of a name that an optional argument may have bound."""
    return unbound(name, axis) if size is None else size


def evaluation_error(where: str, error: Exception) -> DeclarationError:
    """What an annotation's expression raised, as a wrong declaration."""
    if isinstance(error, DeclarationError):
        error.where = error.where or where
        return error
    wrong = DeclarationError(f"{where}: an axis cannot be evaluated: {type(error).__name__}: {error}")
    wrong.where, wrong.actual = where, f"{type(error).__name__}: {error}"
    wrong.expected = "a size"
    wrong.hint = "write an expression over names that a parameter before it binds or a module declares"
    return wrong


def drive(generator: Any, check: Callable[[Any], None]) -> Any:
    """Runs a generator, checking each item before it is handed on."""
    try:
        item = next(generator)
        while True:
            check(item)
            try:
                sent = yield item
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001  # goes where the user threw it: into the generator
                item = generator.throw(error)
            else:
                item = next(generator) if sent is None else generator.send(sent)
    except StopIteration as stop:
        return stop.value
    finally:
        generator.close()


class Checked:
    """An async generator whose items are checked before they are handed on. `shared`: see `_sharing`."""

    def __init__(self, generator: Any, check: Callable[[Any], None], shared: Mapping[str, Any] | None = None) -> None:
        self._generator = generator
        self._check = check
        self._shared = shared

    async def asend(self, value: Any) -> Any:
        """The next item, checked."""
        _dt_shared = self._shared  # read from the frame
        item = await self._generator.asend(value)
        self._check(item)
        return item

    async def athrow(self, error: BaseException) -> Any:
        """The next item, checked, after an error that the user threw in."""
        _dt_shared = self._shared  # as above
        item = await self._generator.athrow(error)
        self._check(item)
        return item

    async def aclose(self) -> None:
        """Ends the generator."""
        await self._generator.aclose()


exporters.update(id(function.__code__) for function in (Checked.asend, Checked.athrow))


def bearable_traced(value: Any, hint: Any) -> bool:
    """What a trace makes of a hint for beartype: it checks words and truth values, and takes the rest."""
    return not isinstance(value, (str, bool)) or _is_bearable_constant(value, hint)


@at_trace_time
def _is_bearable_constant(value: Any, hint: Any) -> bool:
    return is_bearable(value, hint)


def is_ragged(value: Any) -> bool:
    """Whether this is a nested tensor, which has no shape in the strided layout."""
    return isinstance(value, torch.Tensor) and value.is_nested


def is_shapeless(value: Any) -> bool:
    """Whether this is a nested tensor in the strided layout: nobody can say that it does not fit."""
    return is_ragged(value) and value.layout == torch.strided


HELPERS: dict[str, Any] = {f"{PREFIX}is_tracing": is_tracing, f"{PREFIX}AMBIGUOUS": AMBIGUOUS} | {
    f"{PREFIX}{helper.__name__}": helper
    for helper in (DeclarationError, is_ragged, join, evaluate, unbound, bound, bearable_traced, packed_shape)
}
