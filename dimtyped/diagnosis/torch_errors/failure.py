"""One failed operation: its operands with their axes named, and what its rule says of them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dimtyped.diagnosis.placements import Placement
from dimtyped.diagnosis.text import axes_text
from dimtyped.diagnosis.torch_errors.operation import Operation, Part
from dimtyped.diagnosis.torch_errors.stand_ins import Label


@dataclass(frozen=True, eq=False)
class Operand:
    """A tensor that a failed operation was given.

    Args:
        text: Its code.
        labels: What is known of each axis.
        dtype: Its dtype.
        device: Its device.
        node: Its code as a syntax tree; None for one that is not in the code, such as a layer's weight.
        tensor: Its stand-in.
        placement: How it lies on its devices, if it is a DTensor. Default: it is none.
    """

    text: str
    labels: tuple[Label, ...]
    dtype: torch.dtype
    device: torch.device
    node: ast.expr | None
    tensor: Tensor
    placement: Placement | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Its sizes."""
        return tuple(label.size for label in self.labels)

    @property
    def rank(self) -> int:
        """The number of its axes."""
        return len(self.labels)

    @property
    def axes(self) -> str:
        """Its axes as a user reads them: `(batch=4, time=8)`."""
        return axes_text(self.labels)


@dataclass(frozen=True)
class Mark:
    """An axis that does not fit.

    Args:
        operand: The operand that has it.
        axis: Its index.
        wanted: What it must be, in a few words: `must be 16`.
    """

    operand: Operand
    axis: int
    wanted: str


@dataclass(frozen=True)
class Clash:
    """What does not fit.

    Args:
        text: In a few words: `head=16 meets time=8`.
        marks: The axes that it is about.
        labels: The labels of the axes that clash.
        hint: Advice other than code that can be tried. Default: none.
    """

    text: str
    marks: tuple[Mark, ...] = ()
    labels: tuple[Label, ...] = ()
    hint: str = ""


@dataclass(frozen=True)
class Failure:
    """An operation that torch refused.

    Args:
        operation: The operation.
        operands: Its tensors, in order.
        message: Torch's message.
    """

    operation: Operation
    operands: tuple[Operand, ...]
    message: str

    @property
    def is_layers(self) -> bool:
        """True for the call of a layer whose own code has refused it."""
        return self.operation.name[:1].isupper()

    @property
    def name(self) -> str:
        """The operator's name, the same in place and as a new tensor: `add` for `add_`."""
        return self.operation.name if self.operation.name.startswith("__") else self.operation.name.rstrip("_")

    def part(self, position: int, *names: str) -> Part | None:
        """An argument by position or by any of its names."""
        if position < len(self.operation.args):
            return self.operation.args[position]
        return next((self.operation.kwargs[name] for name in names if name in self.operation.kwargs), None)

    def arg(self, position: int, *names: str, default: Any = None) -> Any:
        """The value of an argument by position or by any of its names."""
        part = self.part(position, *names)
        return default if part is None else part.value

    def operand(self, position: int, *names: str) -> Operand | None:
        """A tensor argument."""
        value = self.arg(position, *names)
        return self.of(value) if isinstance(value, Tensor) else None

    def of(self, tensor: Tensor) -> Operand | None:
        """The operand that a tensor stands for."""
        return next((operand for operand in self.operands if operand.tensor is tensor), None)

    def ints(self, position: int, *names: str) -> tuple[int, ...] | None:
        """An argument that is one int, a sequence of ints, or ints from that position on: `view(2, 3)`."""
        found = self.arg(position, *names)
        if isinstance(found, int):
            found = [part.value for part in self.operation.args[position:]]
        if not isinstance(found, list | tuple) or not all(isinstance(size, int) for size in found):  # pyright: ignore[reportUnknownVariableType]  # any argument
            return None
        return tuple(int(size) for size in found)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # checked above


Rule = Callable[[Failure], Clash | None]
"""Says what does not fit in a failed operation, or None where it does not know."""


def meeting(first: Operand, axis: int, second: Operand, other: int, *, is_second_wrong: bool = True) -> Clash:
    """The clash of two axes that had to have one size."""
    labels = first.labels[axis], second.labels[other]
    wrong, place, wanted = (second, other, labels[0]) if is_second_wrong else (first, axis, labels[1])
    mark = Mark(wrong, place % wrong.rank, f"must be {wanted.size}")
    return Clash(f"{phrase(labels[0])} meets {phrase(labels[1])}", (mark,), labels)


def joined(clashes: Sequence[Clash]) -> Clash | None:
    """Several clashes as one; None if there are none."""
    if not clashes:
        return None
    text = "; ".join(dict.fromkeys(clash.text for clash in clashes))
    return Clash(text, sum((c.marks for c in clashes), ()), sum((c.labels for c in clashes), ()))


def phrase(label: Label) -> str:
    """A label inside a sentence: `head=16`, `4 (batch or heads)`."""
    return f"{label.size}{label.mark} ({' or '.join(label.names)})" if len(label.names) > 1 else str(label)


def ranks(*operands: Operand) -> str:
    """How many axes operands have, one that is given twice once: `x has 2 axes, y has 3`."""
    texts = (f"`{operand.text}` has {count(operand.rank, 'axis', 'axes')}" for operand in operands)
    return ", ".join(dict.fromkeys(texts))


def count(number: int, one: str, many: str) -> str:
    """A number of things in words: `1 axis`, `2 axes`, `no axes`."""
    return f"{number or 'no'} {one if number == 1 else many}"


def broadcast_clashes(operands: Sequence[Operand], *, in_place: bool = False) -> Iterator[Clash]:
    """The axes at which operands cannot be broadcast; in place the first one keeps its sizes."""
    first = operands[0]
    for other in operands[1:]:
        if in_place and other.rank > first.rank:
            yield Clash(ranks(first, other), (), ())
            continue
        for axis in range(-1, -min(first.rank, other.rank) - 1, -1) if in_place else ():
            if other.sizes[axis] not in (1, first.sizes[axis]):
                yield meeting(first, axis, other, axis)
    if not in_place:
        for axis in range(-1, -max(operand.rank for operand in operands) - 1, -1):
            yield from _at_odds([operand for operand in operands if operand.rank >= -axis], axis)


def _at_odds(operands: Sequence[Operand], axis: int) -> Iterator[Clash]:
    """The operands whose size at an axis is not that of most operands, or of the first."""
    sizes = [operand.sizes[axis] for operand in operands if operand.sizes[axis] != 1]
    usual = max(dict.fromkeys(sizes), key=sizes.count, default=1)
    first = next((operand for operand in operands if operand.sizes[axis] == usual), None)
    for operand in operands:
        if first is not None and operand.sizes[axis] not in (1, usual):
            yield meeting(first, axis, operand, axis)
