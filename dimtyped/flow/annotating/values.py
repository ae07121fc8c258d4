"""The values that functions took and returned, as far as annotations can say what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dimtyped.flow.axes import Axis

_PLAIN = (int, float, bool, str)


@dataclass(frozen=True, slots=True)
class TensorSeen:
    """A tensor.

    Attributes:
        sizes: The sizes of its axes.
        names: The names that each axis is known by: several where scopes name one dimension differently.
        dtype: Its dtype.
    """

    sizes: tuple[int, ...]
    names: tuple[tuple[str, ...], ...]
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class ItemsSeen:
    """A tuple, a list, or the values of a dict with keys that are text.

    Attributes:
        kind: `tuple`, `list` or `dict`.
        items: What it holds.
    """

    kind: type
    items: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class NothingSeen:
    """None."""


@dataclass(frozen=True, slots=True)
class OtherSeen:
    """Any other value.

    Attributes:
        kind: Its class if that is a number's or a text's; else `object`.
    """

    kind: type = object


Seen = TensorSeen | ItemsSeen | NothingSeen | OtherSeen


def seen(value: Any, axes_of: Callable[[Tensor], tuple[Axis, ...]]) -> Seen:
    """What can be said of a value.

    Args:
        value: It.
        axes_of: Gives the axes of a tensor.
    """
    match value:
        case None:
            return NothingSeen()
        case Tensor():
            return _tensor(value, axes_of)
        case tuple() | list() if type(value) in (tuple, list):
            return ItemsSeen(type(value), tuple(seen(item, axes_of) for item in value))
        case dict() if type(value) is dict and all(isinstance(key, str) for key in value):
            return ItemsSeen(dict, tuple(seen(item, axes_of) for item in value.values()))
        case _:
            return OtherSeen(type(value)) if type(value) in _PLAIN else OtherSeen()


def _tensor(tensor: Tensor, axes_of: Callable[[Tensor], tuple[Axis, ...]]) -> Seen:
    if tensor.is_nested or any(type(size) is not int for size in tensor.shape):
        return OtherSeen()
    names = tuple(_names_of(axis) for axis in axes_of(tensor))
    return TensorSeen(tuple(tensor.shape), names, tensor.dtype)


def _names_of(axis: Axis) -> tuple[str, ...]:
    if axis.dimension is not None:
        return axis.dimension.names
    return (str(axis),) if axis.is_named else ()


def holds_tensors(value: Seen) -> bool:
    """True of a tensor, and of what has one in it."""
    return isinstance(value, TensorSeen) or (isinstance(value, ItemsSeen) and any(map(holds_tensors, value.items)))


def kind_of(value: Seen) -> type:
    """The class of a value, as far as an annotation of it goes."""
    match value:
        case TensorSeen():
            return Tensor
        case ItemsSeen(kind=kind):
            return kind
        case NothingSeen():
            return type(None)
        case OtherSeen(kind=kind):
            return kind
