"""Layers that move elements, and sum them where they meet. Torch checks their shapes; its errors are explained by name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.engine import ALWAYS
from dimtyped.errors import DimensionIndexError
from dimtyped.nn.contract import COUNTS, Layer, SizeViolation, declares, each, empty, space, too_small_for_window

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


def uneven_channels(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    """Channels that the square of the factor does not divide."""
    parts = layer.upscale_factor**2
    if input.shape[-3] % parts:
        yield SizeViolation("input", -3, "channels", f"a multiple of {parts}")


@declares(
    inputs={"input": Shaped[Tensor, "... channels height width"]},
    output=Shaped[Tensor, "... _ _ _"],
    violations=uneven_channels,
)
class PixelShuffle(Layer, torch.nn.PixelShuffle):
    """`torch.nn.PixelShuffle` of `(..., channels, height, width)`; the channels must be a multiple of the factor's square."""


def uneven_space(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    """A height or width that the factor does not divide."""
    for axis, name in ((-2, "height"), (-1, "width")):
        if input.shape[axis] % layer.downscale_factor:
            yield SizeViolation("input", axis, name, f"a multiple of {layer.downscale_factor}")


@declares(
    inputs={"input": Shaped[Tensor, "... channels height width"]},
    output=Shaped[Tensor, "... _ _ _"],
    violations=uneven_space,
)
class PixelUnshuffle(Layer, torch.nn.PixelUnshuffle):
    """`torch.nn.PixelUnshuffle` of `(..., channels, height, width)`; height and width must be multiples of the factor."""


def uneven_groups(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    """Channels that the groups do not divide."""
    if input.shape[1] % layer.groups:
        yield SizeViolation("input", 1, "channels", f"a multiple of {layer.groups}")


@declares(
    inputs={"input": Shaped[Tensor, "batch channels _ ..."]},
    output=Shaped[Tensor, "batch channels _ ..."],
    violations=uneven_groups,
)
class ChannelShuffle(Layer, torch.nn.ChannelShuffle):
    """`torch.nn.ChannelShuffle` of `(batch, channels, ...)`; the channels must be a multiple of the groups."""


def other_rank(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    """Another number of axes than the mode and the sizes require, or an axis of size 0."""
    sizes = layer.size if layer.size is not None else layer.scale_factor
    allowed = {len(sizes) + 2} if isinstance(sizes, tuple | list) else {3, 4, 5}
    ranks = sorted(allowed.intersection(_RANKS.get(layer.mode, (3, 4, 5))))
    if ranks and input.dim() not in ranks:
        yield SizeViolation("input", None, "", " or ".join(str(rank) for rank in ranks))
    elif 3 <= input.dim() <= 5:
        yield from empty(input.dim() - 2)(layer, input)


@declares(inputs={"input": _ANY}, output=_ANY, violations=other_rank)
class Upsample(Layer, torch.nn.Upsample):
    """`torch.nn.Upsample` of `(batch, channels, ...)` with the number of spatial axes that the mode and the sizes require."""


@declares(inputs={"input": _ANY}, output=_ANY, violations=other_rank)
class UpsamplingNearest2d(Layer, torch.nn.UpsamplingNearest2d):
    """`torch.nn.UpsamplingNearest2d` of `(batch, channels, height, width)`."""


@declares(inputs={"input": _ANY}, output=_ANY, violations=other_rank)
class UpsamplingBilinear2d(Layer, torch.nn.UpsamplingBilinear2d):
    """`torch.nn.UpsamplingBilinear2d` of `(batch, channels, height, width)`."""


# Blocks of an image ---------------------------------------------------------------------------------------------------


def uneven_blocks(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    """Values that are no whole number of channels, or blocks that are not those of the image."""
    size, kernel, stride = each(layer.output_size, 2), each(layer.kernel_size, 2), each(layer.stride, 2)
    padding, dilation = each(layer.padding, 2), each(layer.dilation, 2)
    if input.shape[-2] == 0 or input.shape[-2] % math.prod(kernel):
        yield SizeViolation("input", -2, "values", f"a multiple of {math.prod(kernel)}")
    blocks = [
        (size[axis] + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1
        for axis in range(2)
    ]
    if min(blocks) > 0 and input.shape[-1] != math.prod(
        blocks
    ):  # else the image is smaller than the kernel, as torch says
        yield SizeViolation("input", -1, "blocks", math.prod(blocks))


_COUNTS = {**COUNTS, "output_size": 1}  # other layers may make an output without elements
_BLOCKS = Shaped[Tensor, "batch values blocks"] | Shaped[Tensor, "values blocks"]


@declares(
    inputs={"input": _BLOCKS},
    output=space(2),
    axis=-3,
    counts=_COUNTS,
    violations=uneven_blocks,
    check_after_error=ALWAYS,
)
class Fold(Layer, torch.nn.Fold):
    """`torch.nn.Fold` of `(batch, values, blocks)`, or without batch, to `(batch, channels, height, width)`.

    The values of a block are `channels` times the size of the kernel; `output_size` says how many blocks there are.
    """


@declares(
    inputs={"input": space(2)},
    output=_BLOCKS,
    axis=-3,
    rank_error=DimensionIndexError,  # as torch raises for too few axes
    violations=too_small_for_window(2),
    check_after_error=ALWAYS,
)
class Unfold(Layer, torch.nn.Unfold):
    """`torch.nn.Unfold` of `(batch, channels, height, width)`, or without batch, to `(batch, values, blocks)`."""
