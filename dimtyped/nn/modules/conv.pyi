from torch.nn.modules.conv import (
    _ConvNd as _ConvNd,
    _ConvTransposeMixin as _ConvTransposeMixin,
    _ConvTransposeNd as _ConvTransposeNd,
    _LazyConvXdMixin as _LazyConvXdMixin,
)

from dimtyped.nn.layers.conv import (
    Conv1d as Conv1d,
    Conv2d as Conv2d,
    Conv3d as Conv3d,
    ConvTranspose1d as ConvTranspose1d,
    ConvTranspose2d as ConvTranspose2d,
    ConvTranspose3d as ConvTranspose3d,
)
from dimtyped.nn.layers.lazy import (
    LazyConv1d as LazyConv1d,
    LazyConv2d as LazyConv2d,
    LazyConv3d as LazyConv3d,
    LazyConvTranspose1d as LazyConvTranspose1d,
    LazyConvTranspose2d as LazyConvTranspose2d,
    LazyConvTranspose3d as LazyConvTranspose3d,
)
