"""Lazy layers: torch's own until the first call gives their sizes, and typed from then on."""

from __future__ import annotations

import torch

from dimtyped.nn.contract.lazy_layer import LazyLayer, becomes
from dimtyped.nn.layers.conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from dimtyped.nn.layers.linear import Linear
from dimtyped.nn.layers.norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)


@becomes(Linear)
class LazyLinear(LazyLayer, torch.nn.LazyLinear):
    """`torch.nn.LazyLinear`; becomes a typed `Linear` at its first call.

    Args: as `torch.nn.LazyLinear`; `out_features` may be a Dim.
    """


@becomes(Conv1d)
class LazyConv1d(LazyLayer, torch.nn.LazyConv1d):
    """`torch.nn.LazyConv1d`; becomes a typed `Conv1d` at its first call.

    Args: as `torch.nn.LazyConv1d`; `out_channels` may be a Dim.
    """


@becomes(Conv2d)
class LazyConv2d(LazyLayer, torch.nn.LazyConv2d):
    """`torch.nn.LazyConv2d`; becomes a typed `Conv2d` at its first call.

    Args: as `torch.nn.LazyConv2d`; `out_channels` may be a Dim.
    """


@becomes(Conv3d)
class LazyConv3d(LazyLayer, torch.nn.LazyConv3d):
    """`torch.nn.LazyConv3d`; becomes a typed `Conv3d` at its first call.

    Args: as `torch.nn.LazyConv3d`; `out_channels` may be a Dim.
    """


@becomes(ConvTranspose1d)
class LazyConvTranspose1d(LazyLayer, torch.nn.LazyConvTranspose1d):
    """`torch.nn.LazyConvTranspose1d`; becomes a typed `ConvTranspose1d` at its first call.

    Args: as `torch.nn.LazyConvTranspose1d`; `out_channels` may be a Dim.
    """


@becomes(ConvTranspose2d)
class LazyConvTranspose2d(LazyLayer, torch.nn.LazyConvTranspose2d):
    """`torch.nn.LazyConvTranspose2d`; becomes a typed `ConvTranspose2d` at its first call.

    Args: as `torch.nn.LazyConvTranspose2d`; `out_channels` may be a Dim.
    """


@becomes(ConvTranspose3d)
class LazyConvTranspose3d(LazyLayer, torch.nn.LazyConvTranspose3d):
    """`torch.nn.LazyConvTranspose3d`; becomes a typed `ConvTranspose3d` at its first call.

    Args: as `torch.nn.LazyConvTranspose3d`; `out_channels` may be a Dim.
    """


@becomes(BatchNorm1d)
class LazyBatchNorm1d(LazyLayer, torch.nn.LazyBatchNorm1d):
    """`torch.nn.LazyBatchNorm1d`; becomes a typed `BatchNorm1d` at its first call.

    Args: as `torch.nn.LazyBatchNorm1d`.
    """


@becomes(BatchNorm2d)
class LazyBatchNorm2d(LazyLayer, torch.nn.LazyBatchNorm2d):
    """`torch.nn.LazyBatchNorm2d`; becomes a typed `BatchNorm2d` at its first call.

    Args: as `torch.nn.LazyBatchNorm2d`.
    """


@becomes(BatchNorm3d)
class LazyBatchNorm3d(LazyLayer, torch.nn.LazyBatchNorm3d):
    """`torch.nn.LazyBatchNorm3d`; becomes a typed `BatchNorm3d` at its first call.

    Args: as `torch.nn.LazyBatchNorm3d`.
    """


@becomes(InstanceNorm1d)
class LazyInstanceNorm1d(LazyLayer, torch.nn.LazyInstanceNorm1d):
    """`torch.nn.LazyInstanceNorm1d`; becomes a typed `InstanceNorm1d` at its first call.

    Args: as `torch.nn.LazyInstanceNorm1d`.
    """


@becomes(InstanceNorm2d)
class LazyInstanceNorm2d(LazyLayer, torch.nn.LazyInstanceNorm2d):
    """`torch.nn.LazyInstanceNorm2d`; becomes a typed `InstanceNorm2d` at its first call.

    Args: as `torch.nn.LazyInstanceNorm2d`.
    """


@becomes(InstanceNorm3d)
class LazyInstanceNorm3d(LazyLayer, torch.nn.LazyInstanceNorm3d):
    """`torch.nn.LazyInstanceNorm3d`; becomes a typed `InstanceNorm3d` at its first call.

    Args: as `torch.nn.LazyInstanceNorm3d`.
    """
