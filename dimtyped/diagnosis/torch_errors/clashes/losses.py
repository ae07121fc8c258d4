"""Losses: which axis has the classes, and which shape the target must have."""

from __future__ import annotations

from dimtyped.diagnosis.text import axes_text
from dimtyped.diagnosis.torch_errors.failure import (
    Clash,
    Failure,
    Mark,
    Operand,
    broadcast_clashes,
    joined,
    meeting,
    phrase,
    ranks,
)


def classes(failure: Failure) -> Clash | None:
    """`cross_entropy` and `nll_loss`: the classes are axis 1 of the input, and the target has all its other axes."""
    x, target = failure.operand(0, "input"), failure.operand(1, "target")
    if x is None or target is None:
        return None
    if "out of bounds" in failure.message:
        return _id_outside(x, target)
    if x.rank == 0 or (x.rank == 1 and target.rank > 1):
        return Clash(ranks(x, target))
    at = 1 if x.rank > 1 else 0
    wanted = (*x.labels[:at], *x.labels[at + 1 :])
    if target.dtype.is_floating_point and target.rank == x.rank:
        return joined(list(broadcast_clashes([x, target])))
    if tuple(label.size for label in wanted) == target.sizes:
        return None
    return _misplaced(x, target) or _different(x, target, at)


def _misplaced(x: Operand, target: Operand) -> Clash | None:
    """The classes are the last axis, and the target has the axes before them."""
    if x.rank > 2 and target.sizes == x.sizes[:-1]:
        text = f"axis 1 of `{x.text}` must be the classes, it is {phrase(x.labels[1])}; {phrase(x.labels[-1])} is last"
        return Clash(text, (Mark(x, 1, "must be the classes"),), (x.labels[1], x.labels[-1]))
    return None


def _different(x: Operand, target: Operand, at: int) -> Clash | None:
    wanted = (*x.labels[:at], *x.labels[at + 1 :])
    if len(wanted) != target.rank:
        return Clash(f"`{target.text}` must be {axes_text(wanted)}, all axes of `{x.text}` but the classes, axis {at}")
    places = [axis for axis in range(x.rank) if axis != at]
    return joined(
        [meeting(x, place, target, axis) for axis, place in enumerate(places) if x.sizes[place] != target.sizes[axis]]
    )


def _id_outside(x: Operand, target: Operand) -> Clash:
    label = x.labels[1] if x.rank > 1 else x.labels[0]
    return Clash(f"a class of `{target.text}` is none of the {phrase(label)}, 0 to {label.size - 1}", (), (label,))


def elementwise(failure: Failure) -> Clash | None:
    """`mse_loss` and others: input and target of one shape."""
    x, target = failure.operand(0, "input"), failure.operand(1, "target")
    if x is None or target is None or x.sizes == target.sizes:
        return None
    if x.rank != target.rank:
        return Clash(ranks(x, target))
    return joined([meeting(x, i, target, i) for i in range(x.rank) if x.sizes[i] != target.sizes[i]])
