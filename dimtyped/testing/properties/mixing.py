"""Whether the samples along an axis keep apart: a call changed at one place, or moved, and what follows in the result."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dimtyped.annotations import ArrayHint, Kind, UnionHint
from dimtyped.diagnosis import shape_text
from dimtyped.errors import DeclarationError
from dimtyped.names import names_in
from dimtyped.testing.properties.deterministic import differs, result_leaves, run
from dimtyped.testing.properties.localize import blame
from dimtyped.testing.strategies.calls import Call, as_call
from dimtyped.testing.strategies.leaves import Leaf, replaced
from dimtyped.testing.strategies.lengths import padded_axis
from dimtyped.testing.strategies.sizes import Sizes
from dimtyped.testing.strategies.target import Target
from dimtyped.testing.strategies.values import fill_of

_PLACES = 4  # indices along the axis that are tried


class MixedError(AssertionError):
    """Samples along an axis that must keep apart do not.

    `axis` is the axis, `changed` the index where an input was changed, `affected` an index of the result that must
    not have followed, `where` the first submodule whose output shows it.
    """

    __module__ = "dimtyped.testing"

    axis: str = ""
    changed: int = 0
    affected: int = 0
    where: str = ""


@dataclass(frozen=True)
class IndependenceCheck:
    """One call, and runs of it with changes."""

    call: Call
    double: bool
    seed: int

    def check_apart(self, axis: str) -> None:
        """Raises where a change of one sample reaches another, or where a sample's place matters."""
        size = self._size(axis)
        base = self._run(self.call)
        for index in _some(size):
            self._check_change(axis, index, base, {index}, f"changing only {axis} {index}")
        if size > 1 and not self._is_in_expression(axis) and not self._is_random(base):
            self._check_moved(axis, base)

    def check_causal(self, axis: str) -> None:
        """Raises where what comes later along the axis reaches what comes before."""
        size = self._size(axis)
        base = self._run(self.call)
        for index in _some(size):
            self._check_change(axis, index, base, set(range(index, size)), f"changing only {axis} {index}")

    def check_padding(self, parameter: str) -> None:
        """Raises where what lies past the lengths changes anything before. A call that does not give them has no padding."""
        if all(leaf.path != (parameter,) for leaf in self.call.leaves):
            return
        padding = Padding.of(self.call, parameter)
        base = self._run(self.call)
        changed = self._changed(lambda leaf, other: padding.put(leaf, other))
        for leaf, wrong in _pairs(base, self._run(changed)):
            differing = padding.at_real(leaf, wrong)
            if bool(differing.any()):
                found = blame(self.call, changed, padding.has_kept, double=self.double)
                raise self._past_lengths(padding, leaf, differing, found)

    def _size(self, axis: str) -> int:
        sizes = {leaf.tensor.shape[place] for leaf in self.call.leaves if (place := leaf.along(axis)) is not None}
        if len(sizes) != 1:
            raise no_axis(self.call.target, axis, "parameter")
        return sizes.pop()

    def _run(self, call: Call) -> list[Leaf]:
        return result_leaves(call, run(call, double=self.double))

    def _is_in_expression(self, axis: str) -> bool:
        """Whether a tensor has the samples inside a longer axis, `batch*heads`, where they cannot be moved."""
        axes = [a for leaf in self.call.leaves for a in leaf.hint.axes if a.kind is Kind.EXPRESSION]
        return any(axis in names_in(a.name) for a in axes)

    def _is_random(self, base: list[Leaf]) -> bool:
        """Whether the module draws random numbers even now, as by a dropout that is always on."""
        again = result_leaves(self.call, run(self.call, double=self.double, seed=1))
        return any(
            bool(differs(a.tensor, b.tensor).any())
            for a, b in zip(base, again, strict=False)
            if a.tensor.shape == b.tensor.shape
        )

    # Changes ----------------------------------------------------------------------------------------------------------

    def _changed(self, change: Callable[[Leaf, Tensor], Tensor], only: Leaf | None = None) -> Call:
        """The call with each tensor changed, given other numbers of the same kind."""
        bound = self.call.target.bound(self.call.args, self.call.kwargs)
        for leaf in self.call.leaves:
            if only is None or leaf.path == only.path:
                bound[leaf.path[0]] = replaced(bound[leaf.path[0]], leaf.path[1:], change(leaf, self._other(leaf)))
        return as_call(self.call.target, bound)

    def _other(self, leaf: Leaf) -> Tensor:
        fill = fill_of(self.call.target, Sizes(self.call.sizes), leaf.path[0], leaf.hint)
        fill = dataclasses.replace(fill, dtype=leaf.tensor.dtype)
        return fill.make(tuple(leaf.tensor.shape), self.seed + 1).to(leaf.tensor.device)

    def _check_change(self, axis: str, index: int, base: list[Leaf], allowed: set[int], how: str) -> None:
        changed = self._changed(lambda leaf, other: _put(leaf, other, axis, index))
        affected = self._affected(axis, base, changed)
        wrong = sorted(affected - allowed)
        if not wrong:
            return
        leaf = next((leaf for leaf in self.call.leaves if self._alone(leaf, axis, index, base) - allowed), None)
        if leaf is not None:
            changed = self._changed(lambda leaf, other: _put(leaf, other, axis, index), leaf)
            wrong = sorted(self._affected(axis, base, changed) - allowed)
            how += f" of `{leaf}`"
        size = self._size(axis)
        found = blame(self.call, changed, lambda a, b: _keeps_to(a, b, size, allowed), double=self.double)
        raise self._error(axis, index, wrong[0], f"{how} changes {axis} {wrong[0]} of the result", found)

    def _alone(self, leaf: Leaf, axis: str, index: int, base: list[Leaf]) -> set[int]:
        if leaf.along(axis) is None:
            return set()
        return self._affected(axis, base, self._changed(lambda leaf, other: _put(leaf, other, axis, index), leaf))

    def _affected(self, axis: str, base: list[Leaf], changed: Call) -> set[int]:
        """The indices along the axis where the result of a changed call is another."""
        found: set[int] = set()
        pairs = [(leaf, wrong) for leaf, wrong in _pairs(base, self._run(changed)) if leaf.along(axis) is not None]
        if not pairs:
            raise no_axis(self.call.target, axis, "result")
        for leaf, wrong in pairs:
            found.update(_indices(wrong, leaf.along(axis) or 0))
        return found

    def _check_moved(self, axis: str, base: list[Leaf]) -> None:
        """Each sample one place on must give its result one place on."""
        moved = as_call(self.call.target, self._moved(axis))
        expected = [_rolled(leaf, axis) for leaf in base]
        for leaf, wrong in _pairs(expected, self._run(moved)):
            place = leaf.along(axis)
            indices = sorted(_indices(wrong, place)) if place is not None else []
            if indices:
                size = self._size(axis)
                after = indices[0]
                before = (after - 1) % size
                found = self._blame_of_moved(axis, size, moved)
                text = (
                    f"{axis} {before} moved to place {after} gives another result there: its place along {axis} matters"
                )
                raise self._error(axis, before, after, text, found)

    def _blame_of_moved(self, axis: str, size: int, moved: Call) -> str:
        """Where it begins to matter; told with other numbers, for equal samples do not show that they have moved."""
        other = IndependenceCheck(self._changed(lambda _, other: other), self.double, self.seed)
        other_moved = as_call(self.call.target, other._moved(axis))
        expected = [_rolled(leaf, axis) for leaf in other._run(other.call)]
        shows = any(bool(wrong.any()) for _, wrong in _pairs(expected, other._run(other_moved)))
        before, after = (other.call, other_moved) if shows else (self.call, moved)
        return blame(before, after, functools.partial(_has_moved, size=size), double=self.double)

    def _moved(self, axis: str) -> dict[str, Any]:
        bound = self.call.target.bound(self.call.args, self.call.kwargs)
        for leaf in self.call.leaves:
            bound[leaf.path[0]] = replaced(bound[leaf.path[0]], leaf.path[1:], _rolled(leaf, axis).tensor)
        return bound

    # Errors -----------------------------------------------------------------------------------------------------------

    def _error(self, axis: str, changed: int, affected: int, text: str, where: str) -> MixedError:
        shapes = [f"    {leaf!s:<12} {leaf.hint}  {shape_text(tuple(leaf.tensor.shape))}" for leaf in self.call.leaves]
        ending = f"\n\n  {where}" if where else ""
        error = MixedError(f"{self.call.target.name}: axis `{axis}` mixes: {text}\n\n" + "\n".join(shapes) + ending)
        error.axis, error.changed, error.affected, error.where = axis, changed, affected, where
        return error

    def _past_lengths(self, padding: Padding, leaf: Leaf, differing: Tensor, where: str) -> MixedError:
        place = tuple(int(index) for index in differing.nonzero()[0])
        text = f"what lies past `{padding.parameter}` changes the {leaf} at {shape_text(place)}, outside the padding"
        return self._error(padding.axis, padding.first, place[0] if place else 0, text, where)


@dataclass(frozen=True)
class Padding:
    """Where sequences are real: `real` is along `batch` and `axis`."""

    parameter: str
    batch: str
    axis: str
    real: Tensor

    @classmethod
    def of(cls, call: Call, parameter: str) -> Padding:
        """What a call's lengths or mask say. A mask is True where the sequence is real, unless `pad` is in its name."""
        leaf = next(leaf for leaf in call.leaves if leaf.path == (parameter,))
        named = [(axis.name, index) for axis, index in leaf.axes if axis.kind is Kind.NAME]
        names = [name for name, _ in named]
        if leaf.tensor.dtype is torch.bool:
            shape = [leaf.tensor.shape[index] for _, index in named]
            real = leaf.tensor.reshape(shape)
            return cls(parameter, names[0], names[1], ~real if "pad" in parameter else real)
        along = padded_axis(call.target, parameter, leaf.hint)
        places = torch.arange(call.sizes[along], device=leaf.tensor.device)
        return cls(parameter, names[0], along, places < leaf.tensor.unsqueeze(-1))

    @property
    def first(self) -> int:
        """The first place of the first sequence that is padding."""
        padded = (~self.real).nonzero()
        return int(padded[0][-1]) if len(padded) else 0

    def put(self, leaf: Leaf, other: Tensor) -> Tensor:
        """The tensor with other numbers in the padding; as it is where it has none, or says where it is."""
        real = self._spread(leaf)
        return leaf.tensor if real is None or leaf.path == (self.parameter,) else torch.where(real, leaf.tensor, other)

    def at_real(self, leaf: Leaf, wrong: Tensor) -> Tensor:
        """What is wrong outside the padding."""
        real = self._spread(leaf)
        return wrong if real is None else wrong & real

    def has_kept(self, left: Tensor, right: Tensor) -> bool | None:
        """Whether two tensors differ only in the padding; None where they have no axes of these sizes."""
        pairs = itertools.permutations(range(left.dim()), 2)
        places = [pair for pair in pairs if tuple(left.shape[place] for place in pair) == tuple(self.real.shape)]
        wrong = differs(left, right)
        return any(not bool((wrong & self._placed(left, *pair)).any()) for pair in places) if places else None

    def _spread(self, leaf: Leaf) -> Tensor | None:
        """`real` as wide as the tensor."""
        rows, columns = leaf.along(self.batch), leaf.along(self.axis)
        return None if rows is None or columns is None else self._placed(leaf.tensor, rows, columns)

    def _placed(self, tensor: Tensor, rows: int, columns: int) -> Tensor:
        """`real` as wide as a tensor that has its axes at these places."""
        real = self.real if rows < columns else self.real.T
        shape = [size if place in (rows, columns) else 1 for place, size in enumerate(tensor.shape)]
        return real.reshape(shape).expand(tensor.shape)


def _pairs(base: list[Leaf], after: list[Leaf]) -> Iterator[tuple[Leaf, Tensor]]:
    """Each tensor of a result, and where that of the changed call differs: everywhere if its shape does."""
    for leaf, other in zip(base, after, strict=False):
        if leaf.tensor.shape == other.tensor.shape:
            yield leaf, differs(leaf.tensor, other.tensor)
        else:
            yield leaf, torch.ones(leaf.tensor.shape, dtype=torch.bool)


def _put(leaf: Leaf, other: Tensor, axis: str, index: int) -> Tensor:
    place = leaf.along(axis)
    if place is None:
        return leaf.tensor
    changed = leaf.tensor.detach().clone()
    changed.select(place, index).copy_(other.select(place, index))
    return changed


def _rolled(leaf: Leaf, axis: str) -> Leaf:
    place = leaf.along(axis)
    return leaf if place is None else dataclasses.replace(leaf, tensor=leaf.tensor.roll(1, place))


def _indices(wrong: Tensor, place: int) -> set[int]:
    """The indices along an axis where anything is wrong."""
    others = [dim for dim in range(wrong.dim()) if dim != place]
    found = wrong.any(dim=others) if others else wrong
    return set(found.nonzero().flatten().tolist())


def _keeps_to(left: Tensor, right: Tensor, size: int, allowed: set[int]) -> bool:
    """Whether two tensors differ, along some axis of this size, only at allowed indices."""
    if left.shape != right.shape:
        return False
    wrong = differs(left, right)
    places = [place for place, length in enumerate(left.shape) if length == size]
    return not bool(wrong.any()) or any(_indices(wrong, place) <= allowed for place in places)


def _has_moved(left: Tensor, right: Tensor, size: int) -> bool:
    """Whether the second tensor is the first, or the first moved one place along some axis of this size."""
    if left.shape != right.shape:
        return False
    places = [place for place, length in enumerate(left.shape) if length == size]
    candidates = [left, *(left.roll(1, place) for place in places)]
    return any(not bool(differs(candidate, right).any()) for candidate in candidates)


def _some(size: int) -> list[int]:
    """A few of the indices of an axis, its ends among them."""
    return list(range(size)) if size <= _PLACES else [0, 1, size // 2, size - 1]


def tells_padding(target: Target, parameter: str) -> bool:
    """Whether a parameter, where it is given, is the lengths of padded sequences, or a mask of them."""
    hint = next((p.hint for p in target.parameters if p.name == parameter), None)
    options = hint.options if isinstance(hint, UnionHint) else (hint,)
    arrays = [option for option in options if isinstance(option, ArrayHint)]
    return bool(arrays) and all(_is_padding(target, parameter, array) for array in arrays)


def _is_padding(target: Target, parameter: str, array: ArrayHint) -> bool:
    names = [axis for axis in array.axes if axis.kind is Kind.NAME and not axis.many]
    is_mask = array.dtypes is not None and set(array.dtypes) == {torch.bool}
    return len(names) == 2 if is_mask else len(names) == 1 and bool(padded_axis(target, parameter, array))


def no_axis(target: Target, axis: str, what: str) -> DeclarationError:
    """The error for an axis that is to be tested and that no annotation has."""
    return DeclarationError(
        f"{target.name}: no {what} has an axis named `{axis}`, so it cannot be told whether it mixes\n"
        f'  Name the axis in the annotations: Float[Tensor, "{axis} ..."].'
    )
