"""Finds where samples begin to mix: the first submodule whose output differs in two runs and whose input does not."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dimtyped.runtime import Place
from dimtyped.testing.properties.deterministic import differs, run
from dimtyped.testing.properties.steps import Judge, copies_in, first_wrong_step
from dimtyped.testing.strategies.calls import Call
from dimtyped.testing.strategies.target import module_of


@dataclass(frozen=True)
class Beginning:
    """The place where samples begin to mix.

    Args:
        within: The submodule, in words; empty where it cannot be found.
        place: The expression; empty where it cannot be found.
    """

    within: str = ""
    place: Place = field(default_factory=Place)

    def __str__(self) -> str:
        if not self.place.source:
            return self.within
        line = "\n".join(f"      {each}" for each in self.place.marked)
        if not self.within:
            return f"It begins at {self.place.short}, in {self.place.where}:\n{line}"
        return f"{self.within}\n  {self.place.short}, in {self.place.where}:\n{line}"


@dataclass(frozen=True)
class _Record:
    """One call of a submodule: its inputs and outputs, the forward that called it, and when it began."""

    path: str
    kind: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    caller: str
    start: int


class _Begun(NamedTuple):
    """A running call of a submodule, with the number of calls that began before it."""

    path: str
    start: int
    inputs: list[Tensor]


def localize(before: Call, after: Call, agrees: Judge, *, double: bool, size: int = 0) -> Beginning:
    """The place where two runs first differ in another way than they may.

    Args:
        before: A call.
        after: The same with other values.
        agrees: Judges two tensors of the runs.
        double: Run in double precision.
        size: The size of the axis, which no other has. A tensor without an axis of this size, or a multiple, is not judged.
            Default: 0, `agrees` itself says which it cannot judge.
    """

    def judge(left: Tensor, right: Tensor) -> bool | None:
        has_axis = not size or any(length and length % size == 0 for length in left.shape)
        return agrees(left, right) if has_axis else None

    place = first_wrong_step(before, after, judge, double=double)
    return Beginning(_submodule(before, after, agrees, double=double), place)


def _submodule(before: Call, after: Call, agrees: Judge, *, double: bool) -> str:
    """The first submodule whose result differs in another way than it may, in words."""
    first, second = _recorded(before, double=double), _recorded(after, double=double)
    if [record.path for record in first] != [record.path for record in second]:
        return ""
    entering = [_agree(a.inputs, b.inputs, agrees) for a, b in zip(first, second, strict=False)]
    leaving = [_agree(a.outputs, b.outputs, agrees) for a, b in zip(first, second, strict=False)]
    if first and not first[-1].path:
        entering[-1], leaving[-1] = True, False  # the called module itself, whose result is known to be wrong
    index = next((i for i, (into, out) in enumerate(zip(entering, leaving, strict=False)) if into and not out), None)
    return _text(first, entering, leaving, index) if index is not None else ""


def sizes_within(call: Call, *, double: bool) -> set[int]:
    """Every size of a tensor of the call, and of its submodules' inputs and outputs."""
    records = _recorded(call, double=double)
    inside = [tensor for record in records for tensor in (*record.inputs, *record.outputs)]
    return {size for tensor in (*inside, *(leaf.tensor for leaf in call.leaves)) for size in tensor.shape}


def _text(records: list[_Record], entering: list[bool], leaving: list[bool], index: int) -> str:
    found = records[index]
    inside = [i for i, record in enumerate(records[:index]) if _is_inside(record, found)]
    if not inside and not found.path:
        return ""
    if not inside:
        return f"It begins in `{found.path}` ({found.kind}): its inputs are independent, its outputs are not."
    next_one = next((i for i in inside if not entering[i]), None)
    kept = [i for i in inside if entering[i] and leaving[i] and (next_one is None or i < next_one)]
    last = records[kept[-1]].path if kept else ""
    following = records[next_one].path if next_one is not None else ""
    name = f"`{found.path}` ({found.kind})" if found.path else found.kind
    return f"It begins in the forward of {name} itself, {_between(last, following)}."


def _between(last: str, following: str) -> str:
    if last and last == following:
        return f"between two calls of `{last}`"
    places = [*([f"after `{last}`"] if last else []), *([f"before `{following}`"] if following else [])]
    return " and ".join(places) or "not in a submodule"


def _is_inside(record: _Record, outer: _Record) -> bool:
    """True if the outer's own forward made this call."""
    return record.start > outer.start and record.caller == outer.path


def _agree(left: list[Tensor], right: list[Tensor], agrees: Judge) -> bool:
    """True if every pair that has the axis agrees; without such a pair, if nothing has changed."""
    if [a.shape for a in left] != [b.shape for b in right]:
        return False
    found = [agrees(a, b) for a, b in zip(left, right, strict=True)]
    if all(verdict is None for verdict in found):
        return not any(bool(differs(a, b).any()) for a, b in zip(left, right, strict=True))
    return False not in found


def _recorded(call: Call, *, double: bool) -> list[_Record]:
    """Every call of a submodule during a run, in the order in which they end."""
    module = module_of(call.target.call)
    records: list[_Record] = []
    with _watched(module, records):
        run(call, double=double)
    return records


@contextmanager
def _watched(module: torch.nn.Module | None, records: list[_Record]) -> Generator[None]:
    handles: list[Any] = []
    running: list[_Begun] = []
    try:
        for path, member in module.named_modules() if module is not None else ():
            handles += _watch(path, member, records, running)
        yield
    finally:
        for handle in handles:
            handle.remove()


def _watch(path: str, member: torch.nn.Module, records: list[_Record], running: list[_Begun]) -> list[Any]:
    """Hooks on one submodule. `running` holds the running calls, the innermost last."""

    def before(_: Any, args: Any, kwargs: Any) -> None:
        running.append(_Begun(path, len(records) + len(running), copies_in((args, kwargs))))

    def after(_: Any, args: Any, kwargs: Any, output: Any) -> None:  # noqa: ARG001  # what torch gives a hook
        begun = running.pop()
        caller = running[-1].path if running else ""
        records.append(_Record(path, type(member).__name__, begun.inputs, copies_in(output), caller, begun.start))

    return [
        member.register_forward_pre_hook(before, with_kwargs=True),
        member.register_forward_hook(after, with_kwargs=True),
    ]
