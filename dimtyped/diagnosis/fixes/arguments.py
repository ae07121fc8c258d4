"""Fixes of whole arguments: one changed, several changed alike, two swapped."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch

from dimtyped.annotations import arrays_in
from dimtyped.diagnosis.fixes.fix import Fix, FixContext, wanted_array
from dimtyped.diagnosis.fixes.tensor import Change, axis_changes, changes_at, known_size, sentence_of, value_at, written
from dimtyped.diagnosis.mismatch import is_within
from dimtyped.diagnosis.snapshots import Snapshot

_MOST = 8  # changes of one place that are tried together with another's


def one_place(context: FixContext) -> Iterator[Fix]:
    """Changes one of the values that do not fit."""
    for place in context.places:
        value = value_at(context, place)
        if value is not None:
            yield from (_fix(place, change) for change in changes_at(context, place, value) if change.text)


def other_place(context: FixContext) -> Iterator[Fix]:
    """Changes an argument that fits but has bound names to sizes that others do not have. Not for a wrong result."""
    if any(is_within(place, "return") for place in context.places):
        return
    for name in _tensor_parameters(context):
        value = context.argument(name)
        if value is not None and name not in context.places:
            yield from (_fix(name, _naming(name, change)) for change in axis_changes(context, name, value))


def _naming(name: str, change: Change) -> Change:
    """The change with the argument's name in its sentence, where "it" would be the one that does not fit."""
    return dataclasses.replace(change, text=change.text.replace("It is", f"`{name}` is", 1))


def place_of_outer_calls(context: FixContext) -> Iterator[Fix]:
    """The fixes of `other_place`, if the enclosing calls agree with the size that does not fit."""
    if context.outer_calls_disagree:
        yield from other_place(context)


def other_kind(context: FixContext) -> Iterator[Fix]:
    """Floats of another shape where integers are expected: another tensor altogether, such as a state for token ids."""
    place = context.places[0]
    value, array = value_at(context, place), wanted_array(context, place)
    kinds = {mismatch.kind for mismatch in context.at(place)}
    if value is None or array is None or array.variadic is not None or not {"dtype"} < kinds:
        return
    is_float = value.dtype is not None and value.dtype.is_floating_point
    if is_float and array.axes and array.dtypes is not None and torch.int64 in array.dtypes:
        wanted = Snapshot(
            value.cls, dtype=torch.int64, shape=tuple(known_size(context, axis) or 1 for axis in array.axes)
        )
        axes = ", ".join(axis.text for axis in array.axes)
        text = f"Give it token ids or other integers of ({axes}), not a float tensor such as a state."
        yield Fix(text, {}, {place: wanted}, is_general=True)


def swapped(context: FixContext) -> Iterator[Fix]:
    """Swaps two arguments."""
    names = _tensor_parameters(context)
    wrong = {place.partition("[")[0].partition(".")[0] for place in context.places}
    for left, right in itertools.combinations(names, 2):
        first, second = context.argument(left), context.argument(right)
        if wrong & {left, right} and first is not None and second is not None:
            text = f"`{left}` and `{right}` are swapped: they fit the other way round."
            yield Fix(text, {left: right, right: left}, {left: second, right: first})


def swapped_kinds(context: FixContext) -> Iterator[Fix]:
    """The fixes of `swapped`, if a type, dtype or rank is wrong, so that no other cause is likelier."""
    if any(mismatch.kind in ("type", "dtype", "rank") for mismatch in context.mismatches):
        yield from swapped(context)


def all_alike(context: FixContext) -> Iterator[Fix]:
    """Makes one change to every item that does not fit."""
    argument = context.places[0].partition("[")[0]
    if len(context.places) < 2 or any(not place.startswith(f"{argument}[") for place in context.places):
        return
    choices = [_by_code(context, place) for place in context.places]
    for code, change in choices[0].items():
        if all(code in others for others in choices):
            changes = {place: others[code].value for place, others in zip(context.places, choices, strict=True)}
            each = _each(context, argument, code)
            text = (
                change.text.replace("{}", each[argument])
                if len(each) == 1
                else f"Change each of them: `{code[2:]}` fits."
            )
            yield Fix(text, each, changes)


def two_places(context: FixContext) -> Iterator[Fix]:
    """Changes both of two values that do not fit."""
    if len(context.places) != 2:
        return
    choices = [
        list(itertools.islice(_alone(context, place, lambda change: bool(change.text)), _MOST))
        for place in context.places
    ]
    first, second = context.places
    for left, right in itertools.product(*choices):
        code = {first: written(first, left), second: written(second, right)}
        text = f"`{code[first]}` and `{code[second]}` fit."
        yield Fix(text, code, {first: left.value, second: right.value})


def _tensor_parameters(context: FixContext) -> list[str]:
    """The parameters that take tensors and were given something other than None, each as one value."""
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = (p for p in context.call.signature.parameters if p.kind not in several and arrays_in(p.hint))
    given = ((parameter.name, context.argument(parameter.name)) for parameter in parameters)
    return [name for name, value in given if value is not None and value.cls is not type(None)]


def _fix(place: str, change: Change) -> Fix:
    return Fix(sentence_of(place, change), {place: written(place, change)}, {place: change.value})


def _by_code(context: FixContext, place: str) -> dict[str, Change]:
    return {change.code: change for change in _alone(context, place, lambda change: bool(change.text))}


def _alone(context: FixContext, place: str, wanted: Callable[[Change], bool]) -> Iterator[Change]:
    """The changes after which this place fits, even if other places do not."""
    value = value_at(context, place)
    if value is not None:
        for change in changes_at(context, place, value):
            if wanted(change) and context.fits_at(place, change.value):
                yield change


def _each(context: FixContext, argument: str, code: str) -> dict[str, str]:
    """The code that changes every item of an argument, or only the wrong ones."""
    value: Snapshot | None = context.argument(argument)
    items: Any = value.items if value is not None else None
    if items is not None and len(items) == len(context.places) and value is not None and value.cls in (tuple, list):
        inner = f"{code.replace('{}', 'part')} for part in {argument}"
        return {argument: f"[{inner}]" if value.cls is list else f"tuple({inner})"}
    return {place: code.replace("{}", place) for place in context.places}
