from torch.nn.modules.instancenorm import (
    _InstanceNorm as _InstanceNorm,
)

from dimtyped.nn.layers.lazy import (
    LazyInstanceNorm1d as LazyInstanceNorm1d,
    LazyInstanceNorm2d as LazyInstanceNorm2d,
    LazyInstanceNorm3d as LazyInstanceNorm3d,
)
from dimtyped.nn.layers.norm import (
    InstanceNorm1d as InstanceNorm1d,
    InstanceNorm2d as InstanceNorm2d,
    InstanceNorm3d as InstanceNorm3d,
)
