from torch.nn.modules.adaptive import (
    _ASMoutput as _ASMoutput,
)

from dimtyped.nn.layers.loss import (
    AdaptiveLogSoftmaxWithLoss as AdaptiveLogSoftmaxWithLoss,
)
