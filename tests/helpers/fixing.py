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
from dimtyped.testing.strategies.leaves import leaves_of, mapped

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
    """The arguments once the fix is applied; one that is given several times is one variable of the user's."""
    changed = dict(arguments)
    for place, value in evaluated(fix, arguments).items():
        root = re.split(r"[\[.]", place)[0]
        new = _with_part(changed[root], _STEP.findall(place[len(root) :]), value)
        same = [name for name, given in arguments.items() if given is arguments[root] and name not in fix.code]
        changed.update(dict.fromkeys([root, *same], new))
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


def mixed_places(fix: Fix, context: FixContext, arguments: Mapping[str, Any]) -> list[str]:
    """The arguments in which the fix lets a value of one sample reach another: a fix that runs and mixes is worse than none."""
    parameters = [p for p in context.call.signature.parameters if any(place.startswith(p.name) for place in fix.code)]
    return [p.name for p in parameters if p.name in arguments and _mixes(fix, p.name, p.hint, arguments)]


def _mixes(fix: Fix, name: str, hint: Any, arguments: Mapping[str, Any]) -> bool:
    """True if no axis of the argument stays apart: its slices would each make one sample of the fixed argument."""
    drawn = {**arguments, name: mapped(arguments[name], _redrawn)}
    before = _samples(fix, name, hint, drawn)
    tensors = tensors_in(drawn[name])
    count = len(before[0]) if before else 0
    if count < 2 or not tensors:
        return False
    if not any(size >= count for tensor in tensors for size in tensor.shape):  # what was one sample is repeated
        return any(not torch.equal(part, samples[0]) for samples in before for part in samples)
    axes = range(min(tensor.dim() for tensor in tensors))
    return not any(_keeps_apart(fix, name, hint, drawn, before, axis) for axis in axes)


def _keeps_apart(
    fix: Fix, name: str, hint: Any, drawn: Mapping[str, Any], before: list[tuple[torch.Tensor, ...]], axis: int
) -> bool:
    sizes = {tensor.shape[axis] for tensor in tensors_in(drawn[name])}
    for index in range(min(sizes)) if len(sizes) == 1 and min(sizes) >= len(before[0]) else ():
        other = mapped(drawn[name], lambda tensor, index=index: _with_slice(tensor, axis, index))
        after = _samples(fix, name, hint, {**drawn, name: other})
        for old, new in zip(before, after, strict=True):
            if any(not torch.equal(a, b) for at, (a, b) in enumerate(zip(old, new, strict=True)) if at != index):
                return False
    return len(sizes) == 1 and min(sizes) >= len(before[0])


def _samples(fix: Fix, name: str, hint: Any, arguments: Mapping[str, Any]) -> list[tuple[torch.Tensor, ...]]:
    """Each annotated tensor of a fixed argument that has a batch, as its samples."""
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the fix may be a new layer
        value = fixed(fix, arguments)[name]
    found = [(leaf.tensor, leaf.along("batch")) for leaf in leaves_of(hint, value, (name,))]
    return [tensor.unbind(along) for tensor, along in found if along is not None]


def tensors_in(value: Any) -> list[torch.Tensor]:
    """The tensors in a value."""
    found: list[torch.Tensor] = []
    mapped(value, lambda tensor: found.append(tensor) or tensor)
    return found


def _redrawn(tensor: torch.Tensor) -> torch.Tensor:
    return (
        torch.randn(tensor.shape).mul(100).to(tensor.dtype)
        if tensor.dtype is not torch.bool
        else torch.rand(tensor.shape) > 0.5
    )


def _with_slice(tensor: torch.Tensor, axis: int, index: int) -> torch.Tensor:
    """The tensor with other numbers at one index of an axis."""
    other = ~tensor if tensor.dtype is torch.bool else _redrawn(tensor)
    return tensor.index_copy(axis, torch.tensor([index]), other.select(axis, index).unsqueeze(axis))


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
