"""`x[...]` and `x[...] = value`: slices, numbers, None, an ellipsis, tensors of indices, masks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dimtyped.flow.axes import INSERTED, Axes, Axis, anonymous, slice_of
from dimtyped.flow.calls import Call, LastStep, NoRule, Outcome, Problem
from dimtyped.flow.rules.recurrent import DIRECTIONS
from dimtyped.flow.rules.table import rule


@rule("__getitem__")
def getitem(call: Call) -> Outcome:
    """The axes that an index leaves, those that it makes, and those of index tensors."""
    made = indexed(call, call.first(), call.args[1], call.shape)
    note = call.note_of(call.args[0])
    if isinstance(note, LastStep) and isinstance(call.result, Tensor):
        _note_last_step(call, call.result, note.time, made)
    return made


def _note_last_step(call: Call, result: Tensor, time: int, made: Axes) -> None:
    """`output[:, -1]` of a bidirectional layer, unless the same index takes one of the directions."""
    items = list(_items(call.args[1], call.args[0].dim()))
    last = call.args[0].shape[time] - 1
    if last < 1 or len(items) <= time or any(not isinstance(item, (int, slice)) for item in items[: time + 1]):
        return
    is_last = not isinstance(items[time], slice) and items[time] in (-1, last)
    if is_last and made and any(factor.dimension is DIRECTIONS for factor in made[-1].factors):
        call.note(result, Problem("selection", _LAST_STEP, [made[-1]], _LAST_STEP_FIX))


_LAST_STEP = "the last step of a bidirectional output: the backward direction has read only one item there"
_LAST_STEP_FIX = "take the state that the layer returns, h_n[-2] and h_n[-1], or the backward half at step 0"


@rule("__setitem__")
def setitem(call: Call) -> Outcome:
    """The value is broadcast to what the index takes."""
    axes, (_, index, value) = call.first(), call.args
    if not isinstance(value, Tensor) or not value.dim():
        return axes
    taken = indexed(call, axes, index, None)
    for mine, theirs in zip(taken[::-1], call.axes(value)[::-1], strict=False):
        if mine.size == theirs.size:
            call.meet(mine, theirs)
        call.moves(theirs)
    return axes


@rule("index", "_unsafe_index")
def aten_index(call: Call) -> Outcome:
    """The operator beneath an index by tensors."""
    indices = tuple(slice(None) if item is None else item for item in call.arg(1, "indices"))
    return indexed(call, call.first(), indices, call.shape)


@dataclass(slots=True)
class _Indexing:
    """An index expression in progress.

    Args:
        call: The call.
        axes: The axes of the indexed tensor.
        at: The number of axes that are used up.
        made: The axes made so far; None marks those of index tensors.
        tensors: The axes of the index tensors.
    """

    call: Call
    axes: Axes
    at: int = 0
    made: list[Axis | None] = field(default_factory=list[Axis | None])
    tensors: list[Axes] = field(default_factory=list[Axes])

    def take(self, item: Any) -> None:
        if item is None:
            self.made.append(INSERTED)
        elif isinstance(item, slice):
            self.made.append(self._sliced(self.axes[self.at], item))
            self.at += 1
        elif _is_number(item):
            self.call.moves(self.axes[self.at])
            self.at += 1
        elif _is_mask(item):
            self._take_mask(item)
        else:
            self._take_tensor(self.call.axes(item) if isinstance(item, Tensor) else tuple(map(anonymous, _shape(item))))

    def _sliced(self, axis: Axis, item: slice) -> Axis:
        start, stop, step = (None if bound is None else int(bound) for bound in (item.start, item.stop, item.step))
        indices = range(*slice(start, stop, step).indices(axis.size))
        if len(indices) < axis.size:
            self.call.moves(axis)
        if _takes_half_a_layer(axis, indices):
            self.call.report("selection", f"a slice of {axis} takes one direction of a layer", axis)
        return slice_of(axis, indices.start, len(indices), indices.step)

    def _take_mask(self, mask: Tensor) -> None:
        mine, theirs = self.axes[self.at : self.at + mask.dim()], self.call.axes(mask)
        for axis, other in zip(mine, theirs, strict=True):
            self.call.meet_if_sizes_agree(axis, other)
        self.call.moves(*theirs)
        for _ in mine:
            self._take_tensor((_UNKNOWN,))

    def _take_tensor(self, axes: Axes) -> None:
        self.call.moves(self.axes[self.at])
        self.made.append(None)
        self.tensors.append(axes)
        self.at += 1

    def result(self, sizes: Sequence[int] | None) -> Axes:
        """The axes of the result; those of index tensors are at the place of those, or first if others are between them."""
        made = [*self.made, *self.axes[self.at :]]
        if not self.tensors:
            return tuple(axis for axis in made if axis is not None)
        places = [index for index, axis in enumerate(made) if axis is None]
        are_together = places[-1] - places[0] == len(places) - 1
        place = places[0] if are_together else 0
        kept = [axis for axis in made if axis is not None]
        return (*kept[:place], *self._of_tensors(sizes, place), *kept[place:])

    def _of_tensors(self, sizes: Sequence[int] | None, place: int) -> Axes:
        if not any(axis is _UNKNOWN for axes in self.tensors for axis in axes):
            return self.call.broadcast(*self.tensors)
        rank = max(map(len, self.tensors))
        if sizes is None:
            return (_UNKNOWN,) * rank
        return tuple(anonymous(size, "where a mask is true") for size in sizes[place : place + rank])


def _takes_half_a_layer(axis: Axis, indices: range) -> bool:
    """True for several neighbors of `layers*directions` that begin or end between the directions of one layer."""
    if len(axis.factors) < 2 or axis.factors[-1].dimension is not DIRECTIONS or indices.step != 1:
        return False
    return len(indices) > 1 and bool(indices.start % 2 or indices.stop % 2)


_UNKNOWN = anonymous(-1, "where a mask is true")


def _is_number(item: Any) -> bool:
    if isinstance(item, Tensor):
        return item.dim() == 0 and item.dtype not in (torch.bool, torch.uint8)
    return not isinstance(item, bool) and hasattr(item, "__index__") and not getattr(item, "shape", ())


def _is_mask(item: Any) -> bool:
    return isinstance(item, Tensor) and item.dtype in (torch.bool, torch.uint8) and item.dim() > 0


def _shape(item: Any) -> Sequence[int]:
    """The shape of an index that is a list of numbers, a range or an array."""
    if hasattr(item, "shape") and str(item.dtype) != "bool":
        return tuple(item.shape)
    if isinstance(item, (list, range)) and all(type(each) is int for each in item):  # pyright: ignore[reportUnknownVariableType] - a user's list
        return (len(item),)  # pyright: ignore[reportUnknownArgumentType]
    raise NoRule


def _items(index: Any, rank: int) -> Iterator[Any]:
    """The items of an index; an ellipsis is replaced by the missing slices."""
    items = index if isinstance(index, tuple) else (index,)
    used = sum(item.dim() if _is_mask(item) else 1 for item in items if item is not None and item is not ...)
    for item in items:
        if item is ...:
            yield from (slice(None) for _ in range(rank - used))
        else:
            yield item


def indexed(call: Call, axes: Axes, index: Any, sizes: Sequence[int] | None) -> Axes:
    """The axes of `x[index]`.

    Args:
        call: The call.
        axes: The axes of x.
        index: The index.
        sizes: The shape of the result; None if there is none, so that the size of what a mask takes is unknown.
    """
    indexing = _Indexing(call, axes)
    for item in _items(index, len(axes)):
        indexing.take(item)
    return indexing.result(sizes)
