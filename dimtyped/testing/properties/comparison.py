"""Tensors changed or moved along an axis, and the comparison of two of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from dimtyped.annotations import Kind
from dimtyped.names import names_in
from dimtyped.testing.properties.deterministic import differs
from dimtyped.testing.strategies.leaves import Leaf
from dimtyped.testing.strategies.sizes import Sizes


def differing(base: list[Leaf], after: list[Leaf]) -> Iterator[tuple[Leaf, Tensor]]:
    """Each tensor of a result, and the places where the changed call differs: everywhere if the shapes differ."""
    for leaf, other in zip(base, after, strict=False):
        if leaf.tensor.shape == other.tensor.shape:
            yield leaf, differs(leaf.tensor, other.tensor)
        else:
            yield leaf, torch.ones(leaf.tensor.shape, dtype=torch.bool)


def put(leaf: Leaf, other: Tensor, axis: str, indices: set[int]) -> Tensor:
    """The tensor with the numbers of another one at these indices of an axis."""
    place = leaf.along(axis)
    if place is None:
        return leaf.tensor
    at = torch.tensor(sorted(indices), device=leaf.tensor.device)
    return leaf.tensor.detach().index_copy(place, at, other.index_select(place, at))


def rolled(leaf: Leaf, axis: str) -> Leaf:
    """The leaf with its samples moved by one place along an axis."""
    place = leaf.along(axis)
    return leaf if place is None else dataclasses.replace(leaf, tensor=leaf.tensor.roll(1, place))


def indices_along(wrong: Tensor, place: int) -> set[int]:
    """The indices along an axis where anything is wrong."""
    others = [dim for dim in range(wrong.dim()) if dim != place]
    found = wrong.any(dim=others) if others else wrong
    return set(found.nonzero().flatten().tolist())


def keeps_to(left: Tensor, right: Tensor, size: int, allowed: set[int]) -> bool:
    """True if two tensors differ only where an index along some axis of this size is allowed.

    Of two such axes, as scores have them, one is enough: what a later place brings to an earlier one may still be masked.
    An axis that is a multiple of the size may contain it as its outer or its inner part.
    """
    if left.shape != right.shape:
        return False
    wrong = differs(left, right)
    if not bool(wrong.any()):
        return True
    inside, indices = torch.zeros_like(wrong), torch.tensor(sorted(allowed), device=wrong.device)
    for each, place in _split(inside, size):
        each.index_fill_(place, indices, True)  # torch takes the value by position alone
    return not bool((wrong & ~inside).any())


def has_moved(left: Tensor, right: Tensor, size: int) -> bool:
    """True if the second tensor equals the first, or the first moved by one place along some axis of this size."""
    if left.shape != right.shape:
        return False
    places = [place for place, length in enumerate(left.shape) if length == size]
    candidates = [left, *(part.roll(1, place).reshape(left.shape) for part, place in _split(left, size))]
    candidates += [left.roll([1] * len(places), places)] if len(places) > 1 else []
    return any(not bool(differs(candidate, right).any()) for candidate in candidates)


def _split(tensor: Tensor, size: int) -> Iterator[tuple[Tensor, int]]:
    """Views of the tensor with an axis of this size, and that axis; one that is a multiple of the size is split."""
    for place, length in enumerate(tensor.shape):
        if length == size:
            yield tensor, place
        elif length and length % size == 0:
            yield tensor.unflatten(place, (size, -1)), place
            yield tensor.unflatten(place, (-1, size)), place + 1


def shape_with(leaf: Leaf, axes: tuple[str, ...], sizes: Sizes) -> tuple[int, ...] | None:
    """The shape of a tensor once these axes have other sizes; None if an expression over them has no valid size."""
    shape = list(leaf.tensor.shape)
    for axis, index in leaf.axes:
        if axis.kind is Kind.NAME and axis.name in axes and not (axis.broadcast and shape[index] == 1):
            shape[index] = sizes.singles[axis.name]
        elif axis.kind is Kind.EXPRESSION and {*names_in(axis.name)} & {*axes}:
            size = sizes.of(axis)
            if size is None:
                return None
            shape[index] = size
    return tuple(shape)


def some_indices(size: int, seed: int) -> set[int]:
    """Some of the indices of an axis, never all, chosen by the bits of the seed."""
    found = {index for index in range(size) if seed >> index % 6 & 1}
    return found if 0 < len(found) < size else {0}
