"""Pooling: the channels stay, the spatial axes shrink. The batch axis may be missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from dimtyped.engine import Form, of_call, of_owner
from dimtyped.errors import DimensionIndexError
from dimtyped.nn.contract import (
    UNCHECKED,
    Layer,
    Rule,
    declares,
    empty,
    is_tensor,
    space,
    too_small_for_fraction,
    too_small_for_window,
)


def _pool(axes: int) -> dict[str, Any]:
    """The contract of pooling with a window."""
    return _adaptive(axes, violations=too_small_for_window(axes))


def _adaptive(axes: int, violations: Rule | None = None) -> dict[str, Any]:
    """The contract of pooling with a given output size."""
    return {
        "calls": (Form({"input": space(axes)}, space(axes, prefix="out_")),),
        "axis": -axes - 1,
        "keeps": (-axes - 1,),
        "rank_error": DimensionIndexError,
        "violations": violations or empty(axes),
    }


def _adaptive_mean(axes: int) -> dict[str, Any]:
    """The contract of an adaptive mean. For output size 1 torch accepts any number of axes before the spatial ones."""
    one = of_owner("output_size", "{} == 1") & of_call(f"input.dim() >= {axes}")
    ones = of_owner("output_size", f"{{}} in ({(1,) * axes}, {[1] * axes})")
    to_one = one | (ones & of_call(f"input.dim() > {axes}"))  # torch requires one more axis if several sizes are given
    declared = _adaptive(axes)
    rare = Form(UNCHECKED, when=is_tensor("input") & to_one, rare=True)
    return {**declared, "calls": (*declared["calls"], rare)}


@declares(**_pool(1))
class MaxPool1d(Layer, torch.nn.MaxPool1d):
    """`torch.nn.MaxPool1d` of `(batch, channels, length)`, or without batch."""

    if TYPE_CHECKING:
        __call__: Callable[..., Any]  # with return_indices, a pair


@declares(**_pool(2))
class MaxPool2d(Layer, torch.nn.MaxPool2d):
    """`torch.nn.MaxPool2d` of `(batch, channels, height, width)`, or without batch."""

    if TYPE_CHECKING:
        __call__: Callable[..., Any]  # with return_indices, a pair


@declares(**_pool(3))
class MaxPool3d(Layer, torch.nn.MaxPool3d):
    """`torch.nn.MaxPool3d` of `(batch, channels, depth, height, width)`, or without batch."""

    if TYPE_CHECKING:
        __call__: Callable[..., Any]  # with return_indices, a pair


@declares(**_pool(1))
class AvgPool1d(Layer, torch.nn.AvgPool1d):
    """`torch.nn.AvgPool1d` of `(batch, channels, length)`, or without batch."""


@declares(**_pool(2))
class AvgPool2d(Layer, torch.nn.AvgPool2d):
    """`torch.nn.AvgPool2d` of `(batch, channels, height, width)`, or without batch."""


@declares(**_pool(3))
class AvgPool3d(Layer, torch.nn.AvgPool3d):
    """`torch.nn.AvgPool3d` of `(batch, channels, depth, height, width)`, or without batch."""


@declares(**_pool(1))
class LPPool1d(Layer, torch.nn.LPPool1d):
    """`torch.nn.LPPool1d` of `(batch, channels, length)`, or without batch."""


@declares(**_pool(2))
class LPPool2d(Layer, torch.nn.LPPool2d):
    """`torch.nn.LPPool2d` of `(batch, channels, height, width)`, or without batch."""


@declares(**_pool(3))
class LPPool3d(Layer, torch.nn.LPPool3d):
    """`torch.nn.LPPool3d` of `(batch, channels, depth, height, width)`, or without batch."""


@declares(**_adaptive(1))
class AdaptiveMaxPool1d(Layer, torch.nn.AdaptiveMaxPool1d):
    """`torch.nn.AdaptiveMaxPool1d` of `(batch, channels, length)`, or without batch."""

    if TYPE_CHECKING:
        __call__: Callable[..., Any]  # with return_indices, a pair


@declares(**_adaptive(2))
class AdaptiveMaxPool2d(Layer, torch.nn.AdaptiveMaxPool2d):
    """`torch.nn.AdaptiveMaxPool2d` of `(batch, channels, height, width)`, or without batch."""

    if TYPE_CHECKING:
        __call__: Callable[..., Any]  # with return_indices, a pair


@declares(**_adaptive(3))
class AdaptiveMaxPool3d(Layer, torch.nn.AdaptiveMaxPool3d):
    """`torch.nn.AdaptiveMaxPool3d` of `(batch, channels, depth, height, width)`, or without batch."""

    if TYPE_CHECKING:
        __call__: Callable[..., Any]  # with return_indices, a pair


@declares(**_adaptive(1))
class AdaptiveAvgPool1d(Layer, torch.nn.AdaptiveAvgPool1d):
    """`torch.nn.AdaptiveAvgPool1d` of `(batch, channels, length)`, or without batch."""


@declares(**_adaptive_mean(2))
class AdaptiveAvgPool2d(Layer, torch.nn.AdaptiveAvgPool2d):
    """`torch.nn.AdaptiveAvgPool2d` of `(batch, channels, height, width)`, or without batch."""


@declares(**_adaptive_mean(3))
class AdaptiveAvgPool3d(Layer, torch.nn.AdaptiveAvgPool3d):
    """`torch.nn.AdaptiveAvgPool3d` of `(batch, channels, depth, height, width)`, or without batch."""


@declares(**_adaptive(2, violations=too_small_for_fraction(2)))
class FractionalMaxPool2d(Layer, torch.nn.FractionalMaxPool2d):
    """`torch.nn.FractionalMaxPool2d` of `(batch, channels, height, width)`, or without batch."""

    if TYPE_CHECKING:
        __call__: Callable[..., Any]  # with return_indices, a pair


@declares(**_adaptive(3, violations=too_small_for_fraction(3)))
class FractionalMaxPool3d(Layer, torch.nn.FractionalMaxPool3d):
    """`torch.nn.FractionalMaxPool3d` of `(batch, channels, depth, height, width)`, or without batch."""

    if TYPE_CHECKING:
        __call__: Callable[..., Any]  # with return_indices, a pair


# Back again -----------------------------------------------------------------------------------------------------------

_SAME = {"input": Shaped[Tensor, "*shape"], "indices": Int64[Tensor, "*shape"]}
_UNPOOLED = dict.fromkeys(("kernel_size", "stride", "padding"))
"""These parameters only set the output size if a call gives none."""


@declares(
    inputs=_SAME,
    output=space(1, prefix="out_"),
    axis=-2,
    keeps=(-2,),
    counts=_UNPOOLED,
    violations=empty(1),
)
class MaxUnpool1d(Layer, torch.nn.MaxUnpool1d):
    """`torch.nn.MaxUnpool1d` of the output of a `MaxPool1d` and its indices."""


@declares(
    inputs=_SAME,
    output=space(2, prefix="out_"),
    axis=-3,
    keeps=(-3,),
    counts=_UNPOOLED,
    violations=empty(2),
)
class MaxUnpool2d(Layer, torch.nn.MaxUnpool2d):
    """`torch.nn.MaxUnpool2d` of the output of a `MaxPool2d` and its indices."""


@declares(
    inputs=_SAME,
    output=space(3, prefix="out_"),
    axis=-4,
    keeps=(-4,),
    counts=_UNPOOLED,
    violations=empty(3),
)
class MaxUnpool3d(Layer, torch.nn.MaxUnpool3d):
    """`torch.nn.MaxUnpool3d` of the output of a `MaxPool3d` and its indices."""
