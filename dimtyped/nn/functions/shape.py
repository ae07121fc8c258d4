"""Functions that move elements, and sum them where they meet: the sizes that must divide, and the ranks of images."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as torch_functional
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.engine import Form
from dimtyped.nn.contract import too_small_for_window
from dimtyped.nn.functions.function import Function, by_rule, of_layer
from dimtyped.nn.layers import shape


def pixel_shuffle(input: Any, upscale_factor: Any) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.pixel_shuffle(input, upscale_factor)


def pixel_unshuffle(input: Any, downscale_factor: Any) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.pixel_unshuffle(input, downscale_factor)


def channel_shuffle(input: Any, groups: Any) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.channel_shuffle(input, groups)


def native_channel_shuffle(input: Any, groups: Any) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.native_channel_shuffle(input, groups)


_ANY = Form({"input": Shaped[Tensor, "..."]})
_OF_MODE = by_rule(shape.other_rank)
FUNCTIONS = (
    *of_layer(shape.PixelShuffle, pixel_shuffle, violations=by_rule(shape.uneven_channels)),
    *of_layer(shape.PixelUnshuffle, pixel_unshuffle, violations=by_rule(shape.uneven_space)),
    *of_layer(shape.ChannelShuffle, channel_shuffle, native_channel_shuffle, violations=by_rule(shape.uneven_groups)),
    *of_layer(shape.Fold, torch_functional.fold, violations=by_rule(shape.uneven_blocks)),
    *of_layer(shape.Unfold, torch_functional.unfold, violations=by_rule(too_small_for_window(2))),
    Function(torch_functional.interpolate, (_ANY,), violations=_OF_MODE),
    Function(torch_functional.upsample, (_ANY,), violations=_OF_MODE),
    Function(torch_functional.upsample_nearest, (_ANY,), violations=by_rule(shape.other_rank, mode="nearest")),
    Function(torch_functional.upsample_bilinear, (_ANY,), violations=by_rule(shape.other_rank, mode="bilinear")),
)
