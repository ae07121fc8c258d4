"""Layers that only move elements. Torch checks their shapes; its errors are explained by name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.nn.contract import Layer, SizeViolation, declares, empty

_ANY = Shaped[Tensor, "..."]
_RANKS = {"linear": (3,), "bilinear": (4,), "bicubic": (4,), "trilinear": (5,)}


def _needed(*axes: int) -> int:
    """The minimum number of axes of a tensor that has these axes."""
    return max(axis + 1 if axis >= 0 else -axis for axis in axes)


def _has_no_axis(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    least = _needed(layer.start_dim, layer.end_dim)
    if input.dim() < least:
        yield SizeViolation("input", None, "", least)


@declares(inputs={"input": _ANY}, output=_ANY, violations=_has_no_axis)
class Flatten(Layer, torch.nn.Flatten):
    """`torch.nn.Flatten` of any tensor that has the axes from `start_dim` to `end_dim`."""


def _does_not_split(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    axis, sizes = layer.dim, layer.unflattened_size
    if not isinstance(axis, int):  # a named tensor, whose axes torch names itself
        return
    if input.dim() < _needed(axis):
        yield SizeViolation("input", None, "", _needed(axis))
        return
    known = math.prod(size for size in sizes if size != -1)
    fits = known > 0 and input.shape[axis] % known == 0 if -1 in sizes else input.shape[axis] == known
    if not fits:
        yield SizeViolation("input", axis, f"axis {axis}", f"a multiple of {known}" if -1 in sizes else known)


@declares(inputs={"input": _ANY}, output=_ANY, violations=_does_not_split)
class Unflatten(Layer, torch.nn.Unflatten):
    """`torch.nn.Unflatten` of any tensor whose axis `dim` has the product of the new sizes."""


def _does_not_shuffle(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    parts = layer.upscale_factor**2
    if input.shape[-3] % parts:
        yield SizeViolation("input", -3, "channels", f"a multiple of {parts}")


@declares(
    inputs={"input": Shaped[Tensor, "... channels height width"]},
    output=Shaped[Tensor, "... _ _ _"],
    violations=_does_not_shuffle,
)
class PixelShuffle(Layer, torch.nn.PixelShuffle):
    """`torch.nn.PixelShuffle` of `(..., channels, height, width)`; the channels must be a multiple of the factor's square."""


def _does_not_unshuffle(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    for axis, name in ((-2, "height"), (-1, "width")):
        if input.shape[axis] % layer.downscale_factor:
            yield SizeViolation("input", axis, name, f"a multiple of {layer.downscale_factor}")


@declares(
    inputs={"input": Shaped[Tensor, "... channels height width"]},
    output=Shaped[Tensor, "... _ _ _"],
    violations=_does_not_unshuffle,
)
class PixelUnshuffle(Layer, torch.nn.PixelUnshuffle):
    """`torch.nn.PixelUnshuffle` of `(..., channels, height, width)`; height and width must be multiples of the factor."""


def _has_no_groups(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    if input.shape[1] % layer.groups:
        yield SizeViolation("input", 1, "channels", f"a multiple of {layer.groups}")


@declares(
    inputs={"input": Shaped[Tensor, "batch channels _ ..."]},
    output=Shaped[Tensor, "batch channels _ ..."],
    violations=_has_no_groups,
)
class ChannelShuffle(Layer, torch.nn.ChannelShuffle):
    """`torch.nn.ChannelShuffle` of `(batch, channels, ...)`; the channels must be a multiple of the groups."""


def _has_wrong_rank(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    sizes = layer.size if layer.size is not None else layer.scale_factor
    allowed = {len(sizes) + 2} if isinstance(sizes, tuple | list) else {3, 4, 5}
    ranks = sorted(allowed.intersection(_RANKS.get(layer.mode, (3, 4, 5))))
    if ranks and input.dim() not in ranks:
        yield SizeViolation("input", None, "", " or ".join(str(rank) for rank in ranks))
    elif 3 <= input.dim() <= 5:
        yield from empty(input.dim() - 2)(layer, input)


@declares(inputs={"input": _ANY}, output=_ANY, violations=_has_wrong_rank)
class Upsample(Layer, torch.nn.Upsample):
    """`torch.nn.Upsample` of `(batch, channels, ...)` with the number of spatial axes that the mode and the sizes require."""


@declares(inputs={"input": _ANY}, output=_ANY, violations=_has_wrong_rank)
class UpsamplingNearest2d(Layer, torch.nn.UpsamplingNearest2d):
    """`torch.nn.UpsamplingNearest2d` of `(batch, channels, height, width)`."""


@declares(inputs={"input": _ANY}, output=_ANY, violations=_has_wrong_rank)
class UpsamplingBilinear2d(Layer, torch.nn.UpsamplingBilinear2d):
    """`torch.nn.UpsamplingBilinear2d` of `(batch, channels, height, width)`."""
