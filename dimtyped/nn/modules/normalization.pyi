from torch.nn.modules.normalization import (
    CrossMapLRN2d as CrossMapLRN2d,
    LocalResponseNorm as LocalResponseNorm,
)

from dimtyped.nn.layers.norm import (
    GroupNorm as GroupNorm,
    LayerNorm as LayerNorm,
    RMSNorm as RMSNorm,
)
