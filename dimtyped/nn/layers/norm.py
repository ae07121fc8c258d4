"""Normalizations. The output has the shape of the input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.engine import ALWAYS, Form, of_call, of_owner
from dimtyped.errors import DimensionValueError, RankError
from dimtyped.nn.contract import (
    ALL_AXES,
    ROLES,
    Layer,
    SizeViolation,
    axis_role,
    batched_space,
    declares,
    make_ready,
    odd_groups,
    space,
    too_few_for_batch,
    too_few_in_space,
)

_CHANNELS = {"channels": "num_features"}
_OF_CHANNELS = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), "channels")


def _forms(sized: Any, any_size: Any) -> tuple[Form, Form]:
    """The call forms. Without parameters and statistics torch normalizes any number of channels, so it is not checked."""
    uses_size = of_owner("affine") | of_owner("track_running_stats")
    return Form({"input": sized}, sized), Form({"input": any_size}, any_size, ~uses_size, rare=True)


_ANY, _ANY_SIZE = Shaped[Tensor, "batch channels ..."], Shaped[Tensor, "batch _ ..."]

# Torch normalizes an empty input whatever its channels. Only a plain tensor is tested, because in an export a length may
# be unknown.
_TORCH_REFUSES = of_call("type(input) is Tensor") & of_call("input.numel()")


# Over the batch, or over each item ------------------------------------------------------------------------------------


class _OfChannels(Layer):
    """The part that BatchNorm and InstanceNorm share."""

    @property
    def _dim_flow(self) -> tuple[str, str] | None:
        layer: Any = self
        return self.contract.flow if layer.affine or layer.track_running_stats else None


@declares(
    sizes=_CHANNELS,
    calls=_forms(
        batched_space(1) | Shaped[Tensor, "batch channels"], batched_space(1, "_") | Shaped[Tensor, "batch _"]
    ),
    parameters=_OF_CHANNELS,
    keeps=ALL_AXES,
    rank_error=RankError,
    violations=too_few_for_batch,
    check_after_error=_TORCH_REFUSES,
)
class BatchNorm1d(_OfChannels, torch.nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d`, checked by name: `(batch, channels)` or `(batch, channels, length)`."""


@declares(
    sizes=_CHANNELS,
    calls=_forms(batched_space(2), batched_space(2, "_")),
    parameters=_OF_CHANNELS,
    flow=("channels", "channels"),
    axis=-3,
    keeps=ALL_AXES,
    rank_error=RankError,
    violations=too_few_for_batch,
    check_after_error=_TORCH_REFUSES,
)
class BatchNorm2d(_OfChannels, torch.nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d`, checked by name: `(batch, channels, height, width)`."""


@declares(
    sizes=_CHANNELS,
    calls=_forms(batched_space(3), batched_space(3, "_")),
    parameters=_OF_CHANNELS,
    flow=("channels", "channels"),
    axis=-4,
    keeps=ALL_AXES,
    rank_error=RankError,
    violations=too_few_for_batch,
    check_after_error=_TORCH_REFUSES,
)
class BatchNorm3d(_OfChannels, torch.nn.BatchNorm3d):
    """`torch.nn.BatchNorm3d`, checked by name: `(batch, channels, depth, height, width)`."""


@declares(
    sizes=_CHANNELS,
    calls=_forms(_ANY, _ANY_SIZE),
    parameters=_OF_CHANNELS,
    keeps=ALL_AXES,
    rank_error=RankError,
    violations=too_few_for_batch,
)
class SyncBatchNorm(_OfChannels, torch.nn.SyncBatchNorm):
    """`torch.nn.SyncBatchNorm`, checked by name: `(batch, channels, ...)`."""

    @classmethod
    def convert_sync_batchnorm(cls, module: torch.nn.Module, process_group: Any = None) -> torch.nn.Module:
        """Converts as torch does; a typed BatchNorm becomes a typed SyncBatchNorm with its names."""
        converted: torch.nn.Module = super().convert_sync_batchnorm(module, process_group)
        if type(converted) is torch.nn.SyncBatchNorm and isinstance(module, Layer):
            converted.__class__ = cls
            converted.__dict__[ROLES] = module.__dict__.get(ROLES, {})
            make_ready(converted, cls)
        return converted


@declares(
    sizes=_CHANNELS,
    calls=_forms(space(1), space(1, "_")),
    parameters=_OF_CHANNELS,
    flow=("channels", "channels"),
    axis=-2,
    keeps=ALL_AXES,
    error=DimensionValueError,
    rank_error=RankError,
    violations=too_few_in_space,
)
class InstanceNorm1d(_OfChannels, torch.nn.InstanceNorm1d):
    """`torch.nn.InstanceNorm1d`, checked by name: `(batch, channels, length)`, or without batch."""


@declares(
    sizes=_CHANNELS,
    calls=_forms(space(2), space(2, "_")),
    parameters=_OF_CHANNELS,
    flow=("channels", "channels"),
    axis=-3,
    keeps=ALL_AXES,
    error=DimensionValueError,
    rank_error=RankError,
    violations=too_few_in_space,
)
class InstanceNorm2d(_OfChannels, torch.nn.InstanceNorm2d):
    """`torch.nn.InstanceNorm2d`, checked by name: `(batch, channels, height, width)`, or without batch."""


@declares(
    sizes=_CHANNELS,
    calls=_forms(space(3), space(3, "_")),
    parameters=_OF_CHANNELS,
    flow=("channels", "channels"),
    axis=-4,
    keeps=ALL_AXES,
    error=DimensionValueError,
    rank_error=RankError,
    violations=too_few_in_space,
)
class InstanceNorm3d(_OfChannels, torch.nn.InstanceNorm3d):
    """`torch.nn.InstanceNorm3d`, checked by name: `(batch, channels, depth, height, width)`, or without batch."""


# Over groups of channels ----------------------------------------------------------------------------------------------


@declares(
    sizes={"channels": "num_channels"},
    calls=(
        Form({"input": _ANY}, _ANY),
        Form({"input": _ANY_SIZE}, _ANY_SIZE, ~of_owner("affine"), rare=True),
    ),
    parameters=_OF_CHANNELS,
    keeps=ALL_AXES,
    multiples={"num_channels": "num_groups"},
    violations=odd_groups,
    check_after_error=ALWAYS,
)
class GroupNorm(Layer, torch.nn.GroupNorm):
    """`torch.nn.GroupNorm`, checked by name: `(batch, channels, ...)`."""

    def extra_repr(self) -> str:
        """Torch's text, with `num_groups` named where dimensions are."""
        text = super().extra_repr()
        return text.replace(f" {self.num_groups},", f" num_groups={self.num_groups},", 1) if self._dim_names else text


# Over the last axes ---------------------------------------------------------------------------------------------------

_FEATURES = Shaped[Tensor, "... features"]


class _OfFeatures(Layer):
    """The part that LayerNorm and RMSNorm share: one axis, or several, counted from the end."""

    @property
    def _dim_sizes(self) -> dict[str, int]:
        layer: Any = self
        count = len(layer.normalized_shape)
        return {axis_role("features", axis): layer.normalized_shape[axis] for axis in range(-count, 0)}

    def _dim_parameter_axes(self, name: str) -> str | None:
        return " ".join(self._dim_sizes) if name in ("weight", "bias") else None

    def _dim_arrow(self) -> str:
        return ", ".join(f"{self._dim_labels[role]}={size}" for role, size in self._dim_sizes.items())

    def extra_repr(self) -> str:
        layer: Any = self
        return super().extra_repr().replace(f"{layer.normalized_shape}, ", "", 1 if self._dim_names else 0)


def _other_axes(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    """Axes before the last that differ from `normalized_shape`."""
    wanted = layer.normalized_shape
    argument = "x" if isinstance(layer, torch.nn.RMSNorm) else "input"
    if input.dim() < len(wanted):
        yield SizeViolation(argument, None, "", len(wanted))
        return
    for axis in range(-len(wanted), -1):
        if input.shape[axis] != wanted[axis]:
            yield SizeViolation(argument, axis, axis_role("features", axis), wanted[axis])


@declares(
    sizes={"features": "normalized_shape[-1]"},
    inputs={"input": _FEATURES},
    output=_FEATURES,
    flow=("features", "features"),
    keeps=ALL_AXES,
    arguments={"normalized_shape": "features"},
    violations=_other_axes,
    check_after_error=ALWAYS,
)
class LayerNorm(_OfFeatures, torch.nn.LayerNorm):
    """`torch.nn.LayerNorm`, checked by name: `(..., features)`.

    Example:
        >>> from dimtyped import dims, nn
        >>> embed, = dims(embed=128)
        >>> nn.LayerNorm(embed)
        LayerNorm(embed=128, eps=1e-05, elementwise_affine=True, bias=True)
    """


@declares(
    sizes={"features": "normalized_shape[-1]"},
    inputs={"x": _FEATURES},
    output=_FEATURES,
    flow=("features", "features"),
    keeps=ALL_AXES,
    arguments={"normalized_shape": "features"},
    violations=_other_axes,
    check_after_error=ALWAYS,
)
class RMSNorm(_OfFeatures, torch.nn.RMSNorm):
    """`torch.nn.RMSNorm`, checked by name: `(..., features)`."""
