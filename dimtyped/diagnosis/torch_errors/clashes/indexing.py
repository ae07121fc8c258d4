"""Indexing: too many indices, indices out of range, assigned values that do not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from dimtyped.diagnosis.torch_errors.failure import (
    Clash,
    Failure,
    Mark,
    Operand,
    broadcast_clashes,
    count,
    joined,
    meeting,
    phrase,
    ranks,
)
from dimtyped.diagnosis.torch_errors.stand_ins import Label

_BOUNDS = re.compile(r"(?:index|select\(\): index) (-?\d+) (?:is )?out of (?:bounds|range)")


def item(failure: Failure) -> Clash | None:
    """`x[i, j:k, mask]`."""
    x = failure.operand(0)
    if x is None:
        return None
    index = failure.arg(1)
    parts: list[Any] = list(index) if isinstance(index, tuple) else [index]
    taken = sum(_axes_of(part) for part in parts)
    if taken > x.rank:
        return Clash(f"{ranks(x)}, the index takes {taken}", (), x.labels)
    return _reached(failure, x, parts) or joined(list(_masks(failure, x, parts))) or _together(failure, parts)


def assigned(failure: Failure) -> Clash | None:
    """`x[i] = value`: the value is broadcast to what the index gives."""
    x, value = failure.operand(0), failure.operand(2)
    found = item(failure)
    if found is not None or x is None or value is None:
        return found
    place = failure.arg(3)
    target = failure.of(place) if isinstance(place, Tensor) else None
    return joined(list(broadcast_clashes([target, value], in_place=True))) if target is not None else None


def _axes_of(part: Any) -> int:
    """The axes that one part of an index takes."""
    if part is None or part is Ellipsis or isinstance(part, bool):
        return 0
    if isinstance(part, Tensor) and part.dtype in (torch.bool, torch.uint8):
        return part.dim()
    return 1


def _places(x: Operand, parts: list[Any]) -> Iterator[tuple[Any, int]]:
    """Each part of the index that takes axes, with the first of its axes."""
    at = 0
    for place, part in enumerate(parts):
        if part is Ellipsis:
            at = x.rank - sum(map(_axes_of, parts[place + 1 :]))
        else:
            if _axes_of(part):
                yield part, at
            at += _axes_of(part)


def _reached(failure: Failure, x: Operand, parts: list[Any]) -> Clash | None:
    """An index out of range for its axis: an int, or an entry of an index tensor."""
    for part, axis in _places(x, parts):
        label = x.labels[axis]
        if isinstance(part, int) and not -label.size <= part < label.size:
            mark = Mark(x, axis, f"indices are 0 to {label.size - 1}")
            return Clash(f"{part} is none of {phrase(label)} at axis {axis}", (mark,), (label,))
    found = re.search(r"out of bounds for dimension (\d+) with size (\d+)", failure.message)
    if found is None or int(found[1]) >= x.rank or x.sizes[int(found[1])] != int(found[2]):
        return None
    label = x.labels[int(found[1])]
    mark = Mark(x, int(found[1]), f"indices are 0 to {label.size - 1}")
    return Clash(f"an index is none of {phrase(label)} at axis {found[1]}", (mark,), (label,))


def _masks(failure: Failure, x: Operand, parts: list[Any]) -> Iterator[Clash]:
    for part, axis in _places(x, parts):
        mask = failure.of(part) if isinstance(part, Tensor) and part.dtype in (torch.bool, torch.uint8) else None
        for place in range(mask.rank if mask is not None else 0):
            if mask is not None and mask.sizes[place] != x.sizes[axis + place]:
                yield meeting(x, axis + place, mask, place)


def _together(failure: Failure, parts: list[Any]) -> Clash | None:
    """Index tensors that cannot be broadcast together."""
    given = [failure.of(part) for part in parts if isinstance(part, Tensor) and part.dtype != torch.bool]
    operands = [operand for operand in given if operand is not None]
    for part in parts:
        if isinstance(part, list | range) and operands and len(part) not in (1, operands[0].tensor.numel()):  # pyright: ignore[reportUnknownArgumentType]  # a user's list
            label = operands[0].labels[-1] if operands[0].labels else Label(1)
            return Clash(f"{len(part)} indices meet {phrase(label)}", (), (label,))  # pyright: ignore[reportUnknownArgumentType]  # as above
    return joined(list(broadcast_clashes(operands))) if len(operands) > 1 else None


def gather(failure: Failure) -> Clash | None:
    """`gather` and `scatter`: the index has as many axes as the input, and may be longer only along `dim`."""
    x, dim, index = failure.operand(0, "input"), failure.arg(1, "dim"), failure.operand(2, "index")
    if x is None or index is None or not isinstance(dim, int):
        return None
    source = failure.operand(3, "src")
    if x.rank != index.rank:
        return Clash(ranks(x, index))
    found = [
        _longer(index, axis, x.labels[axis], f"at most {x.sizes[axis]}")
        for axis in range(x.rank)
        if axis != dim % x.rank and index.sizes[axis] > x.sizes[axis]
    ]
    if source is not None and source.rank == index.rank:
        found += [
            _longer(index, axis, source.labels[axis], f"at most {source.sizes[axis]}")
            for axis in range(index.rank)
            if index.sizes[axis] > source.sizes[axis]
        ]
    return joined(found) or _outside(failure, x, index, dim)


def _longer(index: Operand, axis: int, other: Label, wanted: str) -> Clash:
    text = f"{phrase(index.labels[axis])} of `{index.text}` is more than {phrase(other)}"
    return Clash(text, (Mark(index, axis, wanted),), (index.labels[axis], other))


def _outside(failure: Failure, x: Operand, index: Operand, dim: int) -> Clash | None:
    if "out of bounds" not in failure.message and "out of range" not in failure.message:
        return None
    label = x.labels[dim]
    mark = Mark(x, dim % x.rank, f"indices are 0 to {label.size - 1}")
    return Clash(f"an index of `{index.text}` is none of {phrase(label)}", (mark,), (label,))


def index_select(failure: Failure) -> Clash | None:
    """`index_select(dim, index)`: one axis of indices."""
    x, dim, index = failure.operand(0, "input"), failure.arg(1, "dim"), failure.operand(2, "index")
    if x is None or index is None or not isinstance(dim, int):
        return None
    if index.rank > 1:
        return Clash(f"{ranks(index)}, must have 1")
    return _outside(failure, x, index, dim) if -x.rank <= dim < x.rank else None


def select(failure: Failure) -> Clash | None:
    """`select`, `narrow`: the index or range lies within the axis."""
    x, dim, at, length = (
        failure.operand(0, "input"),
        failure.arg(1, "dim"),
        failure.arg(2, "index", "start"),
        failure.arg(3, "length"),
    )
    if x is None or not isinstance(dim, int) or not isinstance(at, int) or not -x.rank <= dim < x.rank:
        return None
    label = x.labels[dim]
    mark = Mark(x, dim % x.rank, f"indices are 0 to {label.size - 1}")
    if isinstance(length, int) and (at < -label.size or at % max(label.size, 1) + length > label.size):
        return Clash(f"{at} to {at + length} is not within {phrase(label)}", (mark,), (label,))
    if length is None and not -label.size <= at < label.size:
        return Clash(f"{at} is none of {phrase(label)}", (mark,), (label,))
    return None


def embedding(failure: Failure) -> Clash | None:
    """`embedding(ids, weight)`: each id is the index of a row of the weight."""
    ids = next((operand for operand in failure.operands if not operand.dtype.is_floating_point), None)
    weight = next((operand for operand in failure.operands if operand.dtype.is_floating_point), None)
    if ids is None or weight is None or not weight.rank or "out of range" not in failure.message:
        return None
    label = weight.labels[0]
    return Clash(f"an id of `{ids.text}` is none of {phrase(label)}, 0 to {label.size - 1}", (), (label,))


def one_number(failure: Failure) -> Clash | None:
    """`item()`, `backward()`, `if x:` and `int(x)`: for a tensor of one number."""
    x = failure.operand(0, "input")
    if x is None or all(size == 1 for size in x.sizes):
        return None
    return Clash(
        f"`{x.text}` is {x.axes}, must be one number: {count(x.tensor.numel(), 'number', 'numbers')} now", (), x.labels
    )
