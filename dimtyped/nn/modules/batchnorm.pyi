from torch.nn.modules.batchnorm import (
    _BatchNorm as _BatchNorm,
    _LazyNormBase as _LazyNormBase,
    _NormBase as _NormBase,
)

from dimtyped.nn.layers.lazy import (
    LazyBatchNorm1d as LazyBatchNorm1d,
    LazyBatchNorm2d as LazyBatchNorm2d,
    LazyBatchNorm3d as LazyBatchNorm3d,
)
from dimtyped.nn.layers.norm import (
    BatchNorm1d as BatchNorm1d,
    BatchNorm2d as BatchNorm2d,
    BatchNorm3d as BatchNorm3d,
    SyncBatchNorm as SyncBatchNorm,
)
