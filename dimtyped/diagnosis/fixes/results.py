"""Fixes of results, if their axes show which operator in the body is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from dimtyped.annotations import ArrayHint, Axis, Kind
from dimtyped.diagnosis.fixes.fix import Fix, FixContext, reshaped, sizes_of, wanted_array
from dimtyped.diagnosis.fixes.tensor import known_size
from dimtyped.diagnosis.snapshots import Snapshot


def reduced_axis(context: FixContext) -> Iterator[Fix]:
    """A sum, mean or norm that reduced the wrong axis of an argument."""
    result, array = _result(context), wanted_array(context, "return")
    if result is None or array is None or not _is_named(array):
        return
    found = {
        (name, gone, wanted)
        for name, shape, axes in _arguments(context)
        for wanted in range(len(axes))
        for gone in range(len(axes))
        if _without(axes, wanted) == tuple(axis.name for axis in array.axes)
        and _without(shape, gone) == sizes_of(result)
        and shape[gone] != shape[wanted]
    }
    if len(found) == 1:
        ((name, gone, wanted),) = found
        text = f"Axis {gone} of `{name}` was reduced, axis {wanted} should be: dim={wanted}."
        yield _changed_result(context, result, array, text)


def every_pair(context: FixContext) -> Iterator[Fix]:
    """A result of (n, n) instead of (n), from broadcasting (n, 1) with (n)."""
    result, array = _result(context), wanted_array(context, "return")
    shape = sizes_of(result) if result is not None else None
    if result is None or array is None or not shape or not _is_named(array) or len(array.axes) != 1:
        return
    size = known_size(context, array.axes[0])
    if size > 1 and shape == (size, size):
        text = (
            f"({size}, {size}) comes from broadcasting ({size}, 1) with ({size},): "
            "give both the same axes, with squeeze(1) or unsqueeze(1)."
        )
        yield _changed_result(context, result, array, text)


def batch_first(context: FixContext) -> Iterator[Fix]:
    """A result with one row for each step of an argument: a recurrent layer took the batch for the steps."""
    result, array, module = _result(context), wanted_array(context, "return"), context.owner
    if result is None or array is None or not _is_named(array) or not isinstance(module, torch.nn.Module):
        return
    layers = {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, torch.nn.RNNBase) and not layer.batch_first
    }
    wrong = context.mismatches[0]
    steps = {
        axes[0].name == wrong.dim and shape[1] == wrong.actual and shape[0] == wrong.expected
        for _, shape, axes in _arguments(context)
        if len(axes) > 1
    }
    if len(layers) == 1 and steps == {True} and len(context.mismatches) == 1:
        ((name, layer),) = layers.items()
        kind = type(layer).__name__
        text = f"`{name}` expects the batch second. Is its batch first? Then make it {kind}(..., batch_first=True)."
        yield _changed_result(context, result, array, text)


def _result(context: FixContext) -> Snapshot | None:
    """The result, if it is the only value that does not fit."""
    result: Snapshot | None = context.call.result
    return result if context.places == ["return"] and result is not None and sizes_of(result) is not None else None


def _arguments(context: FixContext) -> Iterator[tuple[str, tuple[int, ...], tuple[Axis, ...]]]:
    """The tensors given for parameters whose axes all have names."""
    for parameter in context.call.signature.parameters:
        value = context.argument(parameter.name)
        shape = sizes_of(value) if value is not None else None
        hint = parameter.hint
        if isinstance(hint, ArrayHint) and _is_named(hint) and shape is not None:
            yield parameter.name, shape, hint.axes


def _is_named(array: ArrayHint) -> bool:
    return all(axis.kind is Kind.NAME and not axis.many for axis in array.axes)


def _without(items: tuple[Axis, ...] | tuple[int, ...], index: int) -> tuple[str | int, ...]:
    """The names or sizes without one of them."""
    rest = (*items[:index], *items[index + 1 :])
    return tuple(item.name if isinstance(item, Axis) else item for item in rest)


def _changed_result(context: FixContext, result: Snapshot, array: ArrayHint, text: str) -> Fix:
    sizes = tuple(known_size(context, axis) or 1 for axis in array.axes)
    return Fix(text, {}, {"return": reshaped(result, sizes)})
