"""Fixes of whole arguments: one changed, several changed alike, two given the wrong way round."""

from __future__ import annotations

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


def one_place(trial: FixContext) -> Iterator[Fix]:
    """Changes one of the values that do not fit."""
    for place in trial.places:
        value = value_at(trial, place)
        if value is not None:
            yield from (_fix(place, change) for change in changes_at(trial, place, value) if change.text)


def other_place(trial: FixContext) -> Iterator[Fix]:
    """Changes an argument that fits but has bound names to sizes that others do not have. Not for a wrong result."""
    if any(is_within(place, "return") for place in trial.places):
        return
    for name in _tensor_parameters(trial):
        value = trial.argument(name)
        if value is not None and name not in trial.places:
            yield from (_fix(name, change) for change in axis_changes(trial, name, value))


def outvoted_place(trial: FixContext) -> Iterator[Fix]:
    """The fixes of `other_place`, if the enclosing calls agree with the size that does not fit."""
    if trial.outer_calls_disagree:
        yield from other_place(trial)


def other_kind(trial: FixContext) -> Iterator[Fix]:
    """Floats of another shape where integers are wanted: some other tensor, such as a state for token ids."""
    place = trial.places[0]
    value, array = value_at(trial, place), wanted_array(trial, place)
    kinds = {mismatch.kind for mismatch in trial.at(place)}
    if value is None or array is None or array.variadic is not None or not {"dtype"} < kinds:
        return
    is_float = value.dtype is not None and value.dtype.is_floating_point
    if is_float and array.axes and array.dtypes is not None and torch.int64 in array.dtypes:
        wanted = Snapshot(
            value.cls, dtype=torch.int64, shape=tuple(known_size(trial, axis) or 1 for axis in array.axes)
        )
        axes = ", ".join(axis.text for axis in array.axes)
        text = f"Give it token ids or other integers of ({axes}), not a float tensor such as a state."
        yield Fix(text, {}, {place: wanted}, is_general=True)


def swapped(trial: FixContext) -> Iterator[Fix]:
    """Swaps two arguments."""
    names = _tensor_parameters(trial)
    wrong = {place.partition("[")[0].partition(".")[0] for place in trial.places}
    for left, right in itertools.combinations(names, 2):
        first, second = trial.argument(left), trial.argument(right)
        if wrong & {left, right} and first is not None and second is not None:
            text = f"`{left}` and `{right}` are swapped: they fit the other way round."
            yield Fix(text, {left: right, right: left}, {left: second, right: first})


def swapped_kinds(trial: FixContext) -> Iterator[Fix]:
    """The fixes of `swapped`, if a type, dtype or rank is wrong, so that no other cause is likelier."""
    if any(mismatch.kind in ("type", "dtype", "rank") for mismatch in trial.mismatches):
        yield from swapped(trial)


def all_alike(trial: FixContext) -> Iterator[Fix]:
    """Makes one change to every item that does not fit."""
    argument = trial.places[0].partition("[")[0]
    if len(trial.places) < 2 or any(not place.startswith(f"{argument}[") for place in trial.places):
        return
    choices = [_by_code(trial, place) for place in trial.places]
    for code, change in choices[0].items():
        if all(code in others for others in choices):
            changes = {place: others[code].value for place, others in zip(trial.places, choices, strict=True)}
            each = _each(trial, argument, code)
            text = (
                change.text.replace("{}", each[argument]) if len(each) == 1 else f"Each of them as `{code[2:]}` fits."
            )
            yield Fix(text, each, changes)


def two_places(trial: FixContext) -> Iterator[Fix]:
    """Changes both of two values that do not fit."""
    if len(trial.places) != 2:
        return
    choices = [
        list(itertools.islice(_alone(trial, place, lambda change: bool(change.text)), _MOST)) for place in trial.places
    ]
    first, second = trial.places
    for left, right in itertools.product(*choices):
        code = {first: written(first, left), second: written(second, right)}
        text = f"`{code[first]}` and `{code[second]}` fit."
        yield Fix(text, code, {first: left.value, second: right.value})


def _tensor_parameters(trial: FixContext) -> list[str]:
    """The parameters that take tensors and were given something other than None, each as one value."""
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = (p for p in trial.call.signature.parameters if p.kind not in several and arrays_in(p.hint))
    given = ((parameter.name, trial.argument(parameter.name)) for parameter in parameters)
    return [name for name, value in given if value is not None and value.cls is not type(None)]


def _fix(place: str, change: Change) -> Fix:
    return Fix(sentence_of(place, change), {place: written(place, change)}, {place: change.value})


def _by_code(trial: FixContext, place: str) -> dict[str, Change]:
    return {change.code: change for change in _alone(trial, place, lambda change: bool(change.text))}


def _alone(trial: FixContext, place: str, wanted: Callable[[Change], bool]) -> Iterator[Change]:
    """The changes after which this place fits, even if other places do not."""
    value = value_at(trial, place)
    if value is not None:
        for change in changes_at(trial, place, value):
            if wanted(change) and trial.fits_at(place, change.value):
                yield change


def _each(trial: FixContext, argument: str, code: str) -> dict[str, str]:
    """The code that changes every item of an argument, or each of the wrong ones by itself."""
    value: Snapshot | None = trial.argument(argument)
    items: Any = value.items if value is not None else None
    if items is not None and len(items) == len(trial.places) and value is not None and value.cls in (tuple, list):
        inner = f"{code.replace('{}', 'part')} for part in {argument}"
        return {argument: f"[{inner}]" if value.cls is list else f"tuple({inner})"}
    return {place: code.replace("{}", place) for place in trial.places}
