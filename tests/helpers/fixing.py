"""Applies what an error proposes: the fixes' code on the very arguments of the call."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch

from dimtyped import nn
from dimtyped.diagnosis import explanation as _diagnosis, snapshot
from dimtyped.diagnosis.fixes import Fix, FixContext, fix_of

_STEP = re.compile(r"\[(?P<key>.*?)\]|\.(?P<name>\w+)")


@contextmanager
def recorded() -> Iterator[list[tuple[FixContext, Fix | None]]]:
    """Every fix that is looked for in here, with what it was tried on; what fails on the way is raised."""
    found: list[tuple[FixContext, Fix | None]] = []

    def record(context: FixContext) -> Fix | None:
        fix = fix_of(context)
        found.append((context, fix))
        return fix

    with (
        mock.patch("dimtyped.diagnosis.fixes.fix_of", record),
        mock.patch.object(_diagnosis, "_unless_it_fails", lambda explain, _: explain()),
    ):
        yield found


def evaluated(fix: Fix, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What the fix's code gives at each place."""
    names = {"torch": torch, "nn": nn, **arguments}
    return {place: eval(code, names) for place, code in fix.code.items()}


def fixed(fix: Fix, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments once the fix is applied."""
    changed = dict(arguments)
    for place, value in evaluated(fix, arguments).items():
        root = re.split(r"[\[.]", place)[0]
        changed[root] = _with_part(changed[root], _STEP.findall(place[len(root) :]), value)
    return changed


def arguments_of(function: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The arguments of a call by their parameters' names."""
    return dict(inspect.signature(function).bind(*args, **kwargs).arguments)


def call(function: Any, arguments: Mapping[str, Any]) -> Any:
    """Calls a function with arguments by its parameters' names."""
    signature = inspect.signature(function)
    given = inspect.BoundArguments(
        signature, {name: arguments[name] for name in signature.parameters if name in arguments}
    )
    return function(*given.args, **given.kwargs)


def assert_is_what_it_says(fix: Fix, values: Mapping[str, Any]) -> None:
    """The code gives the shapes and dtypes on which the fix was tried."""
    for place, value in evaluated(fix, values).items():
        seen, told = snapshot(value), fix.changes[place]
        assert (seen.shape, seen.dtype) == (told.shape, told.dtype), fix.code[place]


def _with_part(whole: Any, steps: list[tuple[str, str]], value: Any) -> Any:
    """A container with one part replaced, however deep."""
    if not steps:
        return value
    (key, name), *rest = steps
    if name and dataclasses.is_dataclass(whole):
        return dataclasses.replace(whole, **{name: _with_part(getattr(whole, name), rest, value)})
    if name:
        return whole._replace(**{name: _with_part(getattr(whole, name), rest, value)})
    index: Any = eval(key)
    if isinstance(whole, dict):
        return {**whole, index: _with_part(whole[index], rest, value)}
    items = list(whole)
    items[index] = _with_part(items[index], rest, value)
    return items if isinstance(whole, list) else tuple(items)
