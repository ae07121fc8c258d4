"""The text of a wrapper around its checks: its parameters, the call of the function, and the return of results."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from dimtyped.annotations import FunctionKind, Signature
from dimtyped.engine.missing import MISSING, is_marked
from dimtyped.runtime import PREFIX

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_STARS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def function_name(function: Any) -> str:
    """The name of the wrapper's code."""
    name: str = getattr(function, "__name__", "")
    return name if name.isidentifier() else f"{PREFIX}call"


def parameters(signature: Signature) -> Iterator[str]:
    """The wrapper's parameters. Defaults are set on the function, so here they are only marked."""
    previous = None
    for parameter in signature.parameters:
        kind = parameter.kind
        if previous is inspect.Parameter.POSITIONAL_ONLY and kind is not previous:
            yield "/"
        if kind is inspect.Parameter.KEYWORD_ONLY and previous not in (inspect.Parameter.VAR_POSITIONAL, kind):
            yield "*"
        previous = kind
        yield f"{_STARS.get(kind, '')}{parameter.name}{'=None' if parameter.has_default else ''}"
    if previous is inspect.Parameter.POSITIONAL_ONLY:
        yield "/"


def arguments(signature: Signature, filled: Mapping[str, str] = MappingProxyType({})) -> str:
    """The source of the function's arguments; `filled` replaces some of them."""
    parts: list[str] = []
    for parameter in signature.parameters:
        value = filled.get(parameter.name, parameter.name)
        is_keyword = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        parts.append(f"{parameter.name}={value}" if is_keyword else f"{_STARS.get(parameter.kind, '')}{value}")
    return ", ".join(parts)


def values(signature: Signature) -> str:
    """The values of all parameters, as a tuple."""
    return f"({''.join(f'{parameter.name}, ' for parameter in signature.parameters)})"


def yields(function_kind: FunctionKind) -> bool:
    """Returns True for both kinds of generators."""
    return function_kind in (FunctionKind.GENERATOR, FunctionKind.ASYNC_GENERATOR)


def leave(function_kind: FunctionKind, call: str) -> tuple[str, ...]:
    """The line that returns the result of another call from the wrapper."""
    match function_kind:
        case FunctionKind.PLAIN:
            return (f"return {call}",)
        case FunctionKind.COROUTINE:
            return (f"return await {call}",)
        case FunctionKind.GENERATOR:
            return (f"return (yield from {call})",)
        case FunctionKind.ASYNC_GENERATOR:
            return (*drive(function_kind, call), "return")


def drive(function_kind: FunctionKind, call: str, check: Iterable[str] = ()) -> tuple[str, ...]:
    """Runs a generator to its end, and checks each item before yielding it.

    `yield from` does everything but the check, and does not exist for async generators.
    """
    is_async = function_kind is FunctionKind.ASYNC_GENERATOR
    do = f"await {PREFIX}generator.a" if is_async else f"{PREFIX}generator."
    stop = f"except StopIteration as {PREFIX}stop:", f"    return {PREFIX}stop.value"
    async_stop = "except StopAsyncIteration:", "    pass"
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
        *(async_stop if is_async else stop),
        "finally:",
        f"    {do}close()",
    )


def defaults(signature: Signature) -> tuple[tuple[Any, ...] | None, dict[str, Any] | None]:
    """The defaults of the wrapper. For a checked hint it is the mark of an argument that was left out."""
    checked = [(p, MISSING if is_marked(p) else p.default) for p in signature.parameters]
    positional = tuple(default for p, default in checked if p.has_default and p.kind in _POSITIONAL)
    keyword = {p.name: d for p, d in checked if p.has_default and p.kind is inspect.Parameter.KEYWORD_ONLY}
    return positional or None, keyword or None


def stripped(lines: Iterable[str]) -> tuple[str, ...]:
    """The lines of a body out of which an exception goes without the wrapper's own frames, and torch's with a note.

    A `try` costs nothing, and a bare `raise` adds no frame. TorchDynamo cannot break a graph inside one.
    """
    return (
        "    try:",
        *(f"    {line}" for line in lines),
        f"    except {PREFIX}BaseException as {PREFIX}raised:",
        f"        if not {PREFIX}is_tracing(): {PREFIX}leave_wrapper({PREFIX}raised)",
        "        raise",
    )
