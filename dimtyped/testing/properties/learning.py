"""Learns from failed calls which inputs a model takes: the size of a name, the range of its integers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from hypothesis import given, reject, settings
from torch import Tensor

from dimtyped.annotations import ClassHint, Kind, Parameter
from dimtyped.errors import DimensionError
from dimtyped.nn.contract import Layer
from dimtyped.testing.properties.deterministic import LOOKING, fresh, run
from dimtyped.testing.properties.domain import ONLY_COUNTED
from dimtyped.testing.properties.subject import Subject
from dimtyped.testing.strategies.calls import Call, as_call, drawn_calls
from dimtyped.testing.strategies.layers import sizes_of
from dimtyped.testing.strategies.leaves import mapped
from dimtyped.testing.strategies.lengths import is_lengths, padded_axis
from dimtyped.testing.strategies.sizes import Sides, Sizes
from dimtyped.testing.strategies.target import InputOptions, modules_of
from dimtyped.testing.strategies.values import MOST_PLAIN, fill_of

_T = TypeVar("_T")
_LESSONS = 20  # restarts of a search
_LOOKS = 6  # calls in which to search for the range of an integer
_FAR = 64  # the end of that search
_APART = Sides(2, 7, distinct=True)
_INDEX = re.compile(r"out of (bounds|range)|Class values must be|index .*(is|are) invalid")


class Lesson(BaseException):
    """Ends a search, to begin again with other options. Not an Exception, which hypothesis would report as a failure."""

    def __init__(self, options: InputOptions) -> None:
        super().__init__()
        self.options = options


def taught(subject: Subject, search: Callable[[Subject], _T]) -> tuple[_T, Subject]:
    """The result of a search with inputs that the model takes, and the subject with these."""
    for _ in range(_LESSONS):
        try:
            return search(subject), subject
        except Lesson as lesson:
            subject = subject.with_options(lesson.options)
    return search(subject), subject


def learn(call: Call, error: Exception, subject: Subject) -> None:
    """Ends the search if a call's error shows which inputs the model takes; rejects a call whose error is ambiguous.

    A typed layer that receives a parameter's tensor itself shows, by its declared size, the size of a free name.
    An index out of range shows that a parameter's integers must be smaller, if the call runs with smaller ones.

    Raises:
        Lesson: the error shows a size or a range.
    """
    if isinstance(error, DimensionError) and isinstance(error.expected, int) and error.argument != "return":
        names = _names_rejected(call, error)
        if len(names) > 1:
            reject()  # two names have the same size here, so either may be wrong; another call tells them apart
        if names:
            raise Lesson(_with(subject.options, sizes={names.pop(): error.expected}))
    if _is_index_error(error):
        found = {name: _bound(subject, name) for name in _culprits(call)}
        values = {name: bound for name, bound in found.items() if bound is not None}
        if values:
            raise Lesson(_with(subject.options, values=values))


def _with(options: InputOptions, **more: dict[str, Any]) -> InputOptions:
    return dataclasses.replace(
        options, **{field: {**getattr(options, field), **known} for field, known in more.items()}
    )


# Sizes ----------------------------------------------------------------------------------------------------------------


def _names_rejected(call: Call, error: DimensionError) -> set[str]:
    """The free names of the axes that do not fit a typed layer's declared size, in a tensor of the call itself."""
    again = Call(call.target, *fresh(call))
    layer, tensors = _rejecting_layer(again)
    if layer is None or not _declares(layer, error):
        return set()
    known = {*call.target.sizes, *call.target.given, *ONLY_COUNTED}
    return {
        axis.name
        for leaf in again.leaves
        if any(leaf.tensor is tensor for tensor in tensors)
        # an axis of this name with another size: the axes are in another order than the layer's
        if all(axis.name != error.dim or leaf.tensor.shape[at] == error.actual for axis, at in leaf.axes)
        for axis, index in leaf.axes
        if axis.kind is Kind.NAME and axis.name not in known and leaf.tensor.shape[index] == error.actual
    }


def _declares(layer: Layer, error: DimensionError) -> bool:
    """True if the expected size is one that the layer itself declares."""
    labels = layer._dim_labels
    return any(labels.get(name, name) == error.dim and size == error.expected for name, size in sizes_of(layer).items())


def _rejecting_layer(call: Call) -> tuple[Layer | None, list[Tensor]]:
    """The typed layer in which a call fails, and the tensors that it was given."""
    begun: list[tuple[Layer, list[Tensor]]] = []
    with _watched(call, begun):
        try:
            _run_as_it_is(call)
        except Exception:  # noqa: BLE001  # the failure that is examined
            return begun[-1] if begun else (None, [])
    return None, []


def _run_as_it_is(call: Call) -> Any:
    """Runs the call with its own arguments, not copies."""
    with torch.no_grad():
        return call.target.call(*call.args, **call.kwargs)


@contextmanager
def _watched(call: Call, begun: list[tuple[Layer, list[Tensor]]]) -> Generator[None]:
    """Keeps the running calls of typed layers in `begun`."""

    def before(layer: Any, args: Any, kwargs: Any) -> None:
        begun.append((layer, _tensors_in((args, kwargs))))

    def after(*_: Any) -> None:
        begun.pop()

    layers = [m for module in modules_of(call.target.call) for m in module.modules() if isinstance(m, Layer)]
    handles = [layer.register_forward_pre_hook(before, with_kwargs=True) for layer in layers]
    handles += [layer.register_forward_hook(after) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors_in(value: Any) -> list[Tensor]:
    """The tensors in a value, not copies."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    mapped(value, keep)
    return found


# Values ---------------------------------------------------------------------------------------------------------------


def _is_index_error(error: Exception) -> bool:
    return isinstance(error, IndexError) or (
        isinstance(error, RuntimeError | ValueError) and bool(_INDEX.search(str(error)))
    )


def _culprits(call: Call) -> list[str]:
    """The parameters whose integers may be drawn too large: the call runs if all are 0, and fails with the highest."""
    bound = call.target.bound(call.args, call.kwargs)
    indices = [p.name for p in call.target.parameters if p.name in bound and _may_index(call, p, bound[p.name])]
    zeros = dict.fromkeys(indices, 0)
    if not indices or _is_out_of_range(call, zeros):
        return []
    return [name for name in indices if _is_out_of_range(call, {**zeros, name: _highest(call, name)})]


def _highest(call: Call, name: str) -> int:
    """The highest integer that is drawn for a parameter."""
    hints = [leaf.hint for leaf in call.leaves if leaf.path[0] == name]
    fills = [fill_of(call.target, Sizes(call.sizes), name, hint) for hint in hints]
    return max((fill.high - 1 for fill in fills), default=MOST_PLAIN)


def _may_index(call: Call, parameter: Parameter, value: Any) -> bool:
    """True for a plain integer and for tensors of them; not for lengths, nor if the user has given their range."""
    hint, given = parameter.hint, call.target.holds.get(parameter.name)
    if isinstance(hint, ClassHint):
        return isinstance(value, int) and not isinstance(value, bool) and not (given and isinstance(given.below, str))
    arrays = [leaf.hint for leaf in call.leaves if leaf.path[0] == parameter.name]
    is_given = given is not None and isinstance(given.below, str)
    is_padded = is_lengths(parameter.name) and any(padded_axis(call.target, parameter.name, hint) for hint in arrays)
    return not is_given and not is_padded and any(_is_index(tensor) for tensor in _tensors_in(value))


def _is_index(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() and not tensor.is_complex() and tensor.dtype is not torch.bool


def _is_out_of_range(call: Call, numbers: dict[str, int]) -> bool:
    """True if the call raises an error of an index out of range, with these numbers in its parameters."""
    try:
        run(_with_numbers(call, numbers), double=False)
    except Exception as error:  # noqa: BLE001  # a user's own code; its error is examined, not swallowed
        return _is_index_error(error)
    return False


def _with_numbers(call: Call, numbers: dict[str, int]) -> Call:
    bound = call.target.bound(call.args, call.kwargs)
    for name, number in numbers.items():
        bound[name] = number if isinstance(bound[name], int) else mapped(bound[name], _filled_with(number))
    return as_call(call.target, bound)


def _filled_with(number: int) -> Callable[[Tensor], Tensor]:
    return lambda tensor: torch.full_like(tensor, number) if _is_index(tensor) else tensor


def _bound(subject: Subject, name: str) -> str | int | None:
    """The bound of a parameter's integers: a name, if it has that size in several calls, or a number."""
    bounds = list(_bounds_in_calls(subject, name))
    if not bounds:
        return None
    names = set.intersection(*({n for n, size in sizes.items() if size == bound} for bound, sizes in bounds))
    free = names - set(subject.plain[0].sizes)
    return min(free or names, default=min(bound for bound, _ in bounds))


def _bounds_in_calls(subject: Subject, name: str) -> Iterator[tuple[int, dict[str, int]]]:
    """The smallest number that is too large in each of several calls, with the call's sizes."""
    calls: list[Call] = []

    @settings(max_examples=_LOOKS, **LOOKING)
    @given(drawn_calls(subject.plain, _APART))
    def look(call: Call) -> None:
        calls.append(call)

    look()
    for call in calls:
        bound = call.target.bound(call.args, call.kwargs)
        others = [p.name for p in call.target.parameters if p.name in bound and _may_index(call, p, bound[p.name])]
        if name in others:
            least = _least_too_large(call, name, dict.fromkeys(others, 0))
            if least is not None:
                yield least, call.sizes


def _least_too_large(call: Call, name: str, others: dict[str, int]) -> int | None:
    """The smallest number that is out of range, by bisection; None if there is none, or if 0 already is."""
    low, high = 0, _FAR
    if not _is_out_of_range(call, {**others, name: high}) or _is_out_of_range(call, others):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_out_of_range(call, {**others, name: middle}) else (middle, high)
    return high
