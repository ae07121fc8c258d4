"""The typed calls that have not returned yet. Read from the stack only once a check has failed."""

from __future__ import annotations

import inspect
import itertools
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dimtyped.annotations import Parameter, Signature
from dimtyped.diagnosis.mismatch import Binding, Call, size_text
from dimtyped.diagnosis.snapshots import Snapshot, snapshot
from dimtyped.runtime import ARGUMENTS, KEYWORDS, checked_in, frames, is_wrapper


class Declared(Protocol):
    """A checked function, as the engine declares it."""

    @property
    def function(self) -> Callable[..., Any]:
        """The function."""
        ...

    @property
    def signature(self) -> Signature:
        """Its signature."""
        ...

    @property
    def is_users(self) -> bool:
        """True if it is a user's function, False if it is a layer's."""
        ...

    def owner(self, values: tuple[Any, ...]) -> Any:
        """The module whose method was called, if it is one."""
        ...

    def declared(self, owner: Any) -> Mapping[str, Binding]:
        """The names that have a size before the call."""
        ...


@dataclass(frozen=True, slots=True)
class EnclosingCall:
    """A typed call that has not returned yet, around the one that failed.

    Args:
        where: The function.
        parameters: Its parameters.
        values: The values given for them.
        sizes: The names that its arguments have bound, `*name` for several axes.
    """

    where: str
    parameters: tuple[Parameter, ...]
    values: Mapping[str, Any]
    sizes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"in {self.where}: {', '.join(f'{name}={size_text(size)}' for name, size in self.sizes.items())}"

    def name_of(self, value: Any) -> Parameter | None:
        """The parameter that was given exactly this object."""
        return next((p for p in self.parameters if value is not None and self.values.get(p.name) is value), None)


def calls_around(signature: Signature) -> Iterator[EnclosingCall]:
    """The users' typed calls around the innermost one of this function, nearest first.

    Their arguments are read from the frames and checked again, so this costs nothing until a check fails.
    """
    calls = itertools.dropwhile(lambda call: call[0].function is not signature.function, _typed_calls())
    inner = next(calls, None)
    for call in calls:
        if inner is not None and call[0].is_users and not _is_same(call, inner):
            yield _around(*call)
        inner = call


def arguments_of(declaration: object) -> Mapping[str, Any]:
    """The arguments of the innermost call of this function; empty if its frame is not on the stack."""
    return next((values for found, values in _typed_calls() if found is declaration), {})


def _is_same(outer: tuple[Declared, Mapping[str, Any]], inner: tuple[Declared, Mapping[str, Any]]) -> bool:
    """Returns True if the outer frame merely re-dispatches the same call, to the check for other names."""
    return outer[0] is inner[0] and all(value is inner[1].get(name) for name, value in outer[1].items())


def _typed_calls() -> Iterator[tuple[Declared, Mapping[str, Any]]]:
    """The function and the arguments of each wrapper that is running, nearest first."""
    return typed_calls(frames(lambda code, _: is_wrapper(code)))


def typed_calls(
    wrappers: Iterable[tuple[types.CodeType, Mapping[str, Any], Mapping[str, Any]]],
) -> Iterator[tuple[Declared, Mapping[str, Any]]]:
    """The function and the arguments of each of these frames of wrappers: their code, globals and locals."""
    traced: Declared | None = None
    for code, names, values in wrappers:
        declaration: Declared = checked_in(code, names).declaration
        if ARGUMENTS not in values:
            traced = declaration
        elif declaration is traced:  # the reference engine's wrapper, which has handed this call to the traced check
            traced = None
            continue
        else:
            values = inspect.signature(declaration.function).bind(*values[ARGUMENTS], **values[KEYWORDS]).arguments
        yield declaration, {p.name: values[p.name] for p in declaration.signature.parameters if p.name in values}


def _around(declaration: Declared, values: Mapping[str, Any]) -> EnclosingCall:
    signature, owner = declaration.signature, declaration.owner(tuple(values.values()))
    seen: dict[str, Snapshot] = {name: snapshot(value) for name, value in values.items()}
    found = Call(signature, declaration.declared(owner), seen, paths=values, owner=owner).check()
    sizes = {name: binding.size for name, binding in found.bindings.items() if not binding.is_declared}
    sizes |= {f"*{name}": binding.size[1] for name, binding in found.runs.items()}
    return EnclosingCall(signature.where, signature.parameters, values, sizes)
