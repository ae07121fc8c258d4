"""The typed calls that have not returned yet. Read from the stack only once a check has failed."""

from __future__ import annotations

import inspect
import itertools
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dimtyped.annotations import Parameter, Signature
from dimtyped.diagnosis.mismatch import Call, size_text
from dimtyped.diagnosis.snapshots import Snapshot, snapshot
from dimtyped.runtime import frames

_REFERENCE = "dimtyped.engine.reference_calls"
_GENERATED = "<dimtyped "
"""How the file names of generated checks begin."""


@dataclass(frozen=True, slots=True)
class EnclosingCall:
    """A typed call that has not returned yet, around the one that failed.

    Args:
        where: The function.
        parameters: Its parameters.
        values: What they were given.
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

    Their arguments are read from the frames and checked again: until a check fails this costs nothing.
    """
    calls = itertools.dropwhile(lambda call: call[0].function is not signature.function, _typed_calls())
    inner = next(calls, None)
    for call in calls:
        if inner is not None and not call[0].is_layer and not _is_same(call, inner):
            yield _around(*call)
        inner = call


def arguments_of(entry: Any) -> Mapping[str, Any]:
    """The arguments of the innermost call of this entry, where its frame can be seen."""
    return next((values for found, values in _typed_calls() if found is entry), {})


def _is_same(outer: tuple[Any, Mapping[str, Any]], inner: tuple[Any, Mapping[str, Any]]) -> bool:
    """Whether one only hands its arguments on to the other, a check of the same function for other names."""
    return outer[0] is inner[0] and all(value is inner[1].get(name) for name, value in outer[1].items())


def _typed_calls() -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Each frame of ours, nearest first: the entry of a generated check or of the reference engine, and its arguments."""
    entry: Any
    traced: Any = None
    for _, names, values in frames(_is_ours):
        entry = names.get("_dt_entry")
        if entry is not None:
            traced = entry
        else:  # the reference engine's
            entry = values.get("entry")
            if entry is None or entry is traced:  # a trace follows the check that it has handed this call to
                traced = None
                continue
            values = inspect.signature(entry.function).bind(*values["arguments"], **values["keywords"]).arguments
        yield entry, {p.name: values[p.name] for p in entry.signature.parameters if p.name in values}


def _around(entry: Any, values: Mapping[str, Any]) -> EnclosingCall:
    seen: dict[str, Snapshot] = {name: snapshot(value) for name, value in values.items()}
    owner = entry.owner(tuple(values.values()))
    found = Call(entry.signature, entry.declared(owner), seen, paths=values, owner=owner).check()
    sizes = {name: binding.size for name, binding in found.bindings.items() if not binding.is_declared}
    sizes |= {f"*{name}": binding.size[1] for name, binding in found.runs.items()}
    return EnclosingCall(entry.signature.where, entry.signature.parameters, values, sizes)


def _is_ours(code: types.CodeType, names: Mapping[str, Any]) -> bool:
    is_reference = code.co_name == "call" and names.get("__name__") == _REFERENCE
    return is_reference or (code.co_filename.startswith(_GENERATED) and not code.co_name.startswith("_dt_"))
