"""Joined tensors: all axes must agree, except the one along which they are joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dimtyped.diagnosis.torch_errors.failure import Clash, Failure, Operand, Rule, joined, meeting, ranks


def cat(failure: Failure) -> Clash | None:
    """`cat(tensors, dim)`; a tensor of shape (0,) always fits."""
    operands = [operand for operand in failure.operands if operand.sizes != (0,)]
    dim = failure.arg(1, "dim", "axis", default=0)
    return _agreeing(operands, dim if isinstance(dim, int) else 0)


def stack(failure: Failure) -> Clash | None:
    """`stack(tensors)`: all axes agree."""
    return _agreeing(failure.operands, None)


def stack_along(dim: int) -> Rule:
    """`hstack` and its like, along a fixed axis."""

    def rule(failure: Failure) -> Clash | None:
        return _agreeing(failure.operands, dim if all(operand.rank > abs(dim) for operand in failure.operands) else 0)

    return rule


def _agreeing(operands: Sequence[Operand], along: int | None) -> Clash | None:
    if len(operands) < 2:
        return None
    first = operands[0]
    odd = next((other for other in operands[1:] if other.rank != first.rank), None)
    if odd is not None:
        return Clash(ranks(first, odd))
    return joined([clash for other in operands[1:] for clash in _clashes(first, other, along)])


def _clashes(first: Operand, other: Operand, along: int | None) -> Iterator[Clash]:
    for axis in range(first.rank):
        if (along is None or axis != along % first.rank) and first.sizes[axis] != other.sizes[axis]:
            yield meeting(first, axis, other, axis)
