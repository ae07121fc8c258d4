from torch.nn.modules.linear import (
    Identity as Identity,
    NonDynamicallyQuantizableLinear as NonDynamicallyQuantizableLinear,
)

from dimtyped.nn.layers.lazy import (
    LazyLinear as LazyLinear,
)
from dimtyped.nn.layers.linear import (
    Bilinear as Bilinear,
    Linear as Linear,
)
