"""The operators of two runs side by side: the first whose result differs in another way than it may, and its place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from dimtyped.runtime import Place, Places, internal_frame
from dimtyped.testing.properties.deterministic import run
from dimtyped.testing.strategies.calls import Call
from dimtyped.testing.strategies.leaves import mapped

Judge = Callable[[Tensor, Tensor], bool | None]
"""True if two tensors differ only as they may; None where a tensor lacks the axis to compare along."""
_MOST = 5000  # operators; their tensors are kept until the runs are compared


@dataclass(frozen=True)
class Step:
    """One call of an operator: its place, and copies of what went in and came out."""

    name: str
    place: Place
    inputs: list[Tensor]
    outputs: list[Tensor]


class _Steps(TorchFunctionMode):
    """Keeps each call of an operator that makes a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self._places = Places()

    @internal_frame
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        inputs = copies_in((args, kwargs or {})) if len(self.steps) < _MOST else []
        result = func(*args, **(kwargs or {}))
        outputs = copies_in(args[0] if result is None and args else result) if len(self.steps) < _MOST else []
        if outputs:
            name = getattr(func, "__name__", "")
            self.steps.append(Step(name, self._places.find(sys._getframe(1)), inputs, outputs))
        return result


def first_wrong_step(before: Call, after: Call, judge: Judge, *, double: bool) -> Place:
    """The expression whose operands differ only as they may, and whose result does not; empty if none is sure."""
    first, second = _steps_of(before, double=double), _steps_of(after, double=double)
    if len(first) >= _MOST or [step.name for step in first] != [step.name for step in second]:
        return Place()
    for one, other in zip(first, second, strict=True):
        if _is_wrong(one.outputs, other.outputs, judge):
            return Place() if _is_wrong(one.inputs, other.inputs, judge) else one.place
    return Place()


def _steps_of(call: Call, *, double: bool) -> list[Step]:
    with _Steps() as mode:
        run(call, double=double)
    return mode.steps


def _is_wrong(left: Iterable[Tensor], right: Iterable[Tensor], judge: Judge) -> bool:
    return any(one.shape != other.shape or judge(one, other) is False for one, other in zip(left, right, strict=False))


def copies_in(value: Any) -> list[Tensor]:
    """Copies of the tensors in a value; without nested ones, which have no sizes, and those on meta, which have no values."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        if not tensor.is_nested and not tensor.is_meta:
            found.append(tensor.detach().clone())
        return tensor

    mapped(value, keep)
    return found
