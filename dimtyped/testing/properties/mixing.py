"""Checks that the samples along an axis are independent: changes or moves one, and compares the results."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dimtyped.annotations import Kind
from dimtyped.errors import DeclarationError
from dimtyped.names import names_in, shape_text
from dimtyped.runtime import Place
from dimtyped.testing.properties.comparison import (
    differing,
    has_moved,
    indices_along,
    keeps_to,
    put,
    rolled,
    shape_with,
    some_indices,
)
from dimtyped.testing.properties.deterministic import differs, result_leaves, run
from dimtyped.testing.properties.domain import is_out_of_domain
from dimtyped.testing.properties.localize import Beginning, localize, sizes_within
from dimtyped.testing.properties.padding import RIGHT, Padding
from dimtyped.testing.strategies.calls import Call, as_call
from dimtyped.testing.strategies.leaves import Leaf, replaced
from dimtyped.testing.strategies.lengths import is_lengths
from dimtyped.testing.strategies.sizes import Sizes
from dimtyped.testing.strategies.target import Target
from dimtyped.testing.strategies.values import fill_of

_LOCALIZED = 4  # calls in which to search for the first place where samples mix
_UNUSUAL = (5, 7, 11, 13, 17, 19, 23)
"""Sizes that distinguish an axis from all others, and from any product of them."""


class MixedError(AssertionError):
    """Samples along an axis that must keep apart do not.

    `axis` is the axis, `changed` the index where an input was changed, `affected` an index of the result that must
    not have followed, `where` the first submodule whose output shows it and the line, `place` the expression.
    """

    __module__ = "dimtyped.testing"

    axis: str = ""
    changed: int = 0
    affected: int = 0
    where: str = ""
    place: Place = Place()


@dataclass(frozen=True)
class IndependenceCheck:
    """One call, and runs of it with changes."""

    call: Call
    double: bool
    seed: int

    @functools.cached_property
    def base(self) -> list[Leaf]:
        """The result of the call itself."""
        return self._run(self.call)

    def check_apart(self, axis: str) -> None:
        """Raises if a change of some samples affects others, or if the place of a sample matters."""
        size = self._size(axis)
        if size == 1:
            return
        self._check_change(axis, some_indices(size, self.seed), lambda index: {index})
        self.check_moved(axis)

    def check_causal(self, axis: str) -> None:
        """Raises if later values along the axis affect earlier results."""
        size = self._size(axis)
        if size > 1:
            first = 1 + self.seed % (size - 1)
            self._check_change(axis, set(range(first, size)), lambda index: set(range(index, size)))

    def check_moved(self, axis: str) -> None:
        """Raises if moving each sample by one place does not move its result."""
        size = self._size(axis)
        if size == 1 or self._is_in_expression(axis):
            return
        moved = as_call(self.call.target, self._moved(axis))
        result = self._run_in_domain(moved)
        for leaf, wrong in differing([rolled(leaf, axis) for leaf in self.base], result):
            place = leaf.along(axis)
            indices = sorted(indices_along(wrong, place)) if place is not None else []
            if indices and not self._is_random():
                after = indices[0]
                before = (after - 1) % size
                text = (
                    f"{axis} {before} moved to place {after} gives another result there: its place along {axis} matters"
                )
                raise self._error(axis, before, after, text, self._localize_moved(axis))

    def check_padding(self, parameter: str) -> None:
        """Raises if values past the lengths change a result before them. A call without lengths has no padding."""
        if not self.gives(parameter):
            return
        padding = Padding.of(self.call, parameter)
        changed = self._changed(padding.put)
        for leaf, wrong in differing(self.base, self._run(changed)):
            changed_places = padding.at_real(leaf, wrong)
            if bool(changed_places.any()):
                raise self._past_lengths(padding, leaf, changed_places, self._localize_padding(parameter, padding))

    def check_padded(self, parameter: str, side: str = RIGHT) -> None:
        """Raises if a sequence that is padded on this side has another result than the same sequence alone."""
        if not self.gives(parameter) or not Padding.of(self.call, parameter).is_possible(side):
            return
        padded = self._padded_on(side, parameter)
        padding = Padding.of(padded.call, parameter)
        index = int(padding.real.sum(-1).argmin())
        count = int(padding.real[index].sum())
        alone = as_call(padded.call.target, padded._with_each(lambda leaf: padding.alone(leaf, index, count, side)))
        if 0 < count < padding.real.shape[-1] and alone.target.accepts(alone.args, alone.kwargs):
            self._compare_alone(padded, padding, alone, index, side)

    def _padded_on(self, side: str, parameter: str) -> IndependenceCheck:
        """The check with a mask whose padding is on one side of each sequence; that of lengths is always behind."""

        def moved(leaf: Leaf) -> Tensor:
            is_mask = leaf.path == (parameter,) and leaf.tensor.dtype is torch.bool
            return Padding.of(self.call, parameter).mask_on(side, leaf.tensor) if is_mask else leaf.tensor

        return IndependenceCheck(as_call(self.call.target, self._with_each(moved)), self.double, self.seed)

    def _compare_alone(self, padded: IndependenceCheck, padding: Padding, alone: Call, index: int, side: str) -> None:
        try:
            results = zip(padded.base, self._run(alone), strict=False)
        except Exception:  # noqa: BLE001  # a user's own code; other calls test shorter sequences
            return
        count = int(padding.real[index].sum())
        for leaf, other in results:
            found = padding.alone(leaf, index, count, side)
            if leaf.along(padding.batch) is None or found.shape != other.tensor.shape:
                continue
            if bool(differs(found, other.tensor).any()) and not padded._is_random():
                where = "" if side == RIGHT else " in front"
                text = (
                    f"padded to {padding.real.shape[-1]}{where}, {padding.batch} {index} gives another {leaf} than alone, "
                    f"{count} long"
                )
                raise padded._error(padding.axis, index, index, text, Beginning())

    def matters(self, parameter: str) -> tuple[bool, bool] | None:
        """True if the last real place of some sequence matters, and if an earlier one does; None if none is longer than 1."""
        if not self.gives(parameter):
            return None
        padding = Padding.of(self.call, parameter)
        if not bool(padding.is_earlier.any()):
            return None
        last, earlier = padding.within(padding.is_last), padding.within(padding.is_earlier)
        return self._is_changed_by(last.put), self._is_changed_by(earlier.put)

    def check_mean(self, axis: str, reduction: str) -> None:
        """Raises if a scalar result is not the mean, or the sum, of the results of each sample alone."""
        size = self._size(axis)
        alone = [self._run(as_call(self.call.target, self._sliced(axis, index))) for index in range(size)]
        for number, leaf in enumerate(self.base):
            if leaf.along(axis) is not None:
                continue
            parts = torch.stack([leaves[number].tensor for leaves in alone])
            expected = parts.mean(0) if reduction == "mean" else parts.sum(0)
            if leaf.tensor.shape != expected.shape or bool(differs(leaf.tensor, expected).any()):
                raise self._error(
                    axis,
                    0,
                    0,
                    f"the {leaf} is not the {reduction} of the results of each {axis} alone: samples mix",
                    Beginning(),
                )

    def check_separable(self, axis: str) -> None:
        """Raises if two samples interact in a scalar: changing both differs from changing one and then the other."""
        size = self._size(axis)
        if size == 1:
            return
        first, second = 0, 1 + self.seed % (size - 1)
        runs = [self.base, *(self._run(self._with_values(axis, at)) for at in ({first}, {second}, {first, second}))]
        for leaf, *changed in zip(*runs, strict=False):
            if leaf.along(axis) is not None:
                continue
            one, other, both = changed
            meeting = (leaf.tensor - one.tensor) - (other.tensor - both.tensor)
            scale = max(float(part.tensor.abs().max()) for part in (leaf, one, other, both))
            if bool(differs(meeting / (1 + scale), torch.zeros_like(meeting)).any()):
                text = f"changing {axis} {first} changes what {axis} {second} adds to the {leaf}: samples mix"
                raise self._error(axis, first, second, text, Beginning())

    def gives(self, parameter: str) -> bool:
        """True if the call gives a tensor for the parameter."""
        return any(leaf.path == (parameter,) for leaf in self.call.leaves)

    def has(self, axis: str) -> bool:
        """True if a tensor of the call has the axis."""
        return any(leaf.along(axis) is not None for leaf in self.call.leaves)

    def _size(self, axis: str) -> int:
        sizes = {leaf.tensor.shape[place] for leaf in self.call.leaves if (place := leaf.along(axis)) is not None}
        if len(sizes) != 1:
            raise no_axis(self.call.target, axis, "parameter")
        return sizes.pop()

    def _run(self, call: Call) -> list[Leaf]:
        return result_leaves(call, run(call, double=self.double))

    def _run_in_domain(self, call: Call) -> list[Leaf]:
        """The result; empty if the call is outside the model's domain, such as lengths that are no longer sorted."""
        try:
            return self._run(call)
        except Exception as error:
            if is_out_of_domain(call, error):
                return []
            raise

    def _is_in_expression(self, axis: str) -> bool:
        """True if a tensor has the samples inside a longer axis, `batch*heads`, where they cannot be moved."""
        axes = [a for leaf in self.call.leaves for a in leaf.hint.axes if a.kind is Kind.EXPRESSION]
        return any(axis in names_in(a.name) for a in axes)

    def _is_random(self) -> bool:
        """True if the module draws random numbers even in eval mode, as by a dropout that is always on."""
        again = result_leaves(self.call, run(self.call, double=self.double, seed=1))
        return any(
            bool(differs(a.tensor, b.tensor).any())
            for a, b in zip(self.base, again, strict=False)
            if a.tensor.shape == b.tensor.shape
        )

    # Changes ----------------------------------------------------------------------------------------------------------

    def _changed(self, change: Callable[[Leaf, Tensor], Tensor], only: Leaf | None = None) -> Call:
        """The call with other numbers of the same kind in each tensor."""
        bound = self.call.target.bound(self.call.args, self.call.kwargs)
        for leaf in self.call.leaves:
            if only is None or leaf.path == only.path:
                bound[leaf.path[0]] = replaced(bound[leaf.path[0]], leaf.path[1:], change(leaf, self._other(leaf)))
        return as_call(self.call.target, bound)

    def _with_others(self, axis: str, indices: set[int], only: Leaf | None = None) -> Call:
        """The call with other numbers at some indices of an axis."""
        return self._changed(lambda leaf, other: put(leaf, other, axis, indices), only)

    def _with_values(self, axis: str, indices: set[int]) -> Call:
        """The call with other numbers at some indices, except in masks and lengths: those change a mean's divisor."""

        def change(leaf: Leaf, other: Tensor) -> Tensor:
            counts = leaf.tensor.dtype is torch.bool or is_lengths(str(leaf.path[0]))
            return leaf.tensor if counts else put(leaf, other, axis, indices)

        return self._changed(change)

    def _other(self, leaf: Leaf, shape: tuple[int, ...] | None = None, sizes: Sizes | None = None) -> Tensor:
        fill = fill_of(self.call.target, sizes or Sizes(self.call.sizes), leaf.path[0], leaf.hint)
        fill = dataclasses.replace(fill, dtype=leaf.tensor.dtype)
        return fill.make(shape or tuple(leaf.tensor.shape), self.seed + 1).to(leaf.tensor.device)

    def _is_changed_by(self, change: Callable[[Leaf, Tensor], Tensor]) -> bool:
        return any(bool(wrong.any()) for _, wrong in differing(self.base, self._run(self._changed(change))))

    def _check_change(self, axis: str, indices: set[int], allowed: Callable[[int], set[int]]) -> None:
        """Changes several samples at once. If another one is affected, finds the sample and the tensor that cause it."""
        may_follow = set[int]().union(*map(allowed, indices))
        if not self._affected(axis, self._with_others(axis, indices)) - may_follow:
            return
        index, wrong = next(self._wrong_alone(axis, indices, allowed), (min(indices), set[int]()))
        if not wrong:
            wrong = self._affected(axis, self._with_others(axis, indices)) - may_follow
        leaf = next((leaf for leaf in self.call.leaves if self._affected_by(leaf, axis, index) - allowed(index)), None)
        how = f"changing only {axis} {index}"
        if leaf is not None:
            wrong = self._affected_by(leaf, axis, index) - allowed(index)
            how += f" of `{leaf}`"
        text = f"{how} changes {axis} {min(wrong)} of the result"
        found = self._localize_change(axis, index, leaf, is_causal=len(allowed(0)) > 1)
        raise self._error(axis, index, min(wrong), text, found)

    def _wrong_alone(
        self, axis: str, indices: set[int], allowed: Callable[[int], set[int]]
    ) -> Iterator[tuple[int, set[int]]]:
        """Each sample that affects others when only it is changed."""
        for index in sorted(indices):
            wrong = self._affected(axis, self._with_others(axis, {index})) - allowed(index)
            if wrong:
                yield index, wrong

    def _affected_by(self, leaf: Leaf, axis: str, index: int) -> set[int]:
        if leaf.along(axis) is None:
            return set()
        return self._affected(axis, self._with_others(axis, {index}, leaf))

    def _affected(self, axis: str, changed: Call) -> set[int]:
        """The indices along the axis at which the result of a changed call differs."""
        found: set[int] = set()
        pairs = [
            (leaf, wrong) for leaf, wrong in differing(self.base, self._run(changed)) if leaf.along(axis) is not None
        ]
        if not pairs:
            raise no_axis(self.call.target, axis, "result")
        for leaf, wrong in pairs:
            found.update(indices_along(wrong, leaf.along(axis) or 0))
        return found

    def _moved(self, axis: str) -> dict[str, Any]:
        return self._with_each(lambda leaf: rolled(leaf, axis).tensor)

    def _sliced(self, axis: str, index: int) -> dict[str, Any]:
        """The call of one sample alone."""

        def one(leaf: Leaf) -> Tensor:
            place = leaf.along(axis)
            return leaf.tensor if place is None else leaf.tensor.narrow(place, index, 1)

        return self._with_each(one)

    def _with_each(self, change: Callable[[Leaf], Tensor]) -> dict[str, Any]:
        bound = self.call.target.bound(self.call.args, self.call.kwargs)
        for leaf in self.call.leaves:
            bound[leaf.path[0]] = replaced(bound[leaf.path[0]], leaf.path[1:], change(leaf))
        return bound

    # Where it begins --------------------------------------------------------------------------------------------------

    def _localize_change(self, axis: str, index: int, leaf: Leaf | None, *, is_causal: bool) -> Beginning:
        """The place where a change of one sample first affects others; empty if it cannot be found."""
        for other in self._resized((axis,)):
            size = other._size(axis)
            same = next((found for found in other.call.leaves if leaf is not None and found.path == leaf.path), None)
            for at in dict.fromkeys([min(index, size - 1), *range(size)]):
                allowed = set(range(at, size)) if is_causal else {at}
                changed = other._with_others(axis, {at}, same)
                if other._affected(axis, changed) - allowed:
                    agrees = functools.partial(keeps_to, size=size, allowed=allowed)
                    return localize(other.call, changed, agrees, double=self.double, size=size)
        return Beginning()

    def _localize_moved(self, axis: str) -> Beginning:
        """The place where moved samples first have another result; empty if it cannot be found."""
        for other in self._resized((axis,)):
            moved = as_call(other.call.target, other._moved(axis))
            pairs = differing([rolled(leaf, axis) for leaf in other.base], other._run(moved))
            if any(bool(wrong.any()) for _, wrong in pairs):
                agrees = functools.partial(has_moved, size=other._size(axis))
                return localize(other.call, moved, agrees, double=self.double, size=other._size(axis))
        return Beginning()

    def _localize_padding(self, parameter: str, padding: Padding) -> Beginning:
        """The place where values past the lengths first change a result; empty if it cannot be found."""
        tried = itertools.chain(self._resized((padding.batch, padding.axis)), self._resized((padding.axis,)))
        for other in tried:
            wide = Padding.of(other.call, parameter)
            changed = other._changed(wide.put)
            pairs = differing(other.base, other._run(changed))
            if any(bool(wide.at_real(leaf, wrong).any()) for leaf, wrong in pairs):
                return localize(other.call, changed, wide.has_kept, double=self.double)
        return Beginning()

    def _resized(self, axes: tuple[str, ...]) -> Iterator[IndependenceCheck]:
        """Checks of calls in which these axes have unique sizes, if the model takes them."""
        taken = sizes_within(self.call, double=self.double)
        free = [size for size in _UNUSUAL if not any(other and other % size == 0 for other in taken)]
        sizes = Sizes({**self.call.sizes, **dict(zip(axes, free, strict=False))})
        for seed in range(self.seed, self.seed + _LOCALIZED) if len(free) >= len(axes) else ():
            call = self._at_sizes(axes, sizes, seed)
            found = IndependenceCheck(call, self.double, seed + _LOCALIZED) if call is not None else None
            if found is not None and found._runs():
                yield found

    def _at_sizes(self, axes: tuple[str, ...], sizes: Sizes, seed: int) -> Call | None:
        """The call with these axes at other sizes; None where its annotations do not take them."""
        bound = self.call.target.bound(self.call.args, self.call.kwargs)
        for leaf in self.call.leaves:
            shape = shape_with(leaf, axes, sizes)
            if shape is None:
                return None
            made = IndependenceCheck(self.call, self.double, seed)._other(leaf, shape, sizes)
            bound[leaf.path[0]] = replaced(bound[leaf.path[0]], leaf.path[1:], made)
        call = as_call(self.call.target, bound)
        return call if call.target.accepts(call.args, call.kwargs) else None

    def _runs(self) -> bool:
        try:
            self.base  # noqa: B018  # the property caches its result
        except Exception:  # noqa: BLE001  # a user's own code, which may not take these sizes; then no place is reported
            return False
        return True

    # Errors -----------------------------------------------------------------------------------------------------------

    def _error(self, axis: str, changed: int, affected: int, text: str, where: Beginning) -> MixedError:
        shapes = [f"    {leaf!s:<12} {leaf.hint}  {shape_text(tuple(leaf.tensor.shape))}" for leaf in self.call.leaves]
        ending = f"\n\n  {where}" if str(where) else ""
        error = MixedError(f"{self.call.target.name}: axis `{axis}` mixes: {text}\n\n" + "\n".join(shapes) + ending)
        error.axis, error.changed, error.affected, error.where = axis, changed, affected, str(where)
        error.place = where.place
        return error

    def _past_lengths(self, padding: Padding, leaf: Leaf, differing: Tensor, where: Beginning) -> MixedError:
        place = tuple(int(index) for index in differing.nonzero()[0])
        text = f"values past `{padding.parameter}` change the {leaf} at {shape_text(place)}, outside the padding"
        return self._error(padding.axis, padding.first, place[0] if place else 0, text, where)


def no_axis(target: Target, axis: str, what: str) -> DeclarationError:
    """The error for an axis to be tested that no annotation has."""
    return DeclarationError(
        f"{target.name}: no {what} has an axis named `{axis}`, so mixing along it cannot be tested\n"
        f'  Name the axis in the annotations: Float[Tensor, "{axis} ..."].'
    )
