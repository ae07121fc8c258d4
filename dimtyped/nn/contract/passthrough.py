"""The modules of `torch.nn` without a typed layer, and the reason that `status` shows."""

from __future__ import annotations

import torch

_KEEPS = "keeps the shape of its input"
_FREE = {
    _KEEPS: (
        "AlphaDropout CELU CrossMapLRN2d Dropout Dropout1d Dropout2d Dropout3d ELU FeatureAlphaDropout GELU Hardshrink "
        "Hardsigmoid Hardswish Hardtanh Identity LeakyReLU LocalResponseNorm LogSigmoid LogSoftmax Mish PReLU RReLU ReLU ReLU6 "
        "SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus Softshrink Softsign Tanh Tanhshrink Threshold"
    ),
    "passes its layers through": "Sequential ModuleList ModuleDict ParameterList ParameterDict DataParallel DistributedDataParallel",
    "never called: the attention around it reads its weight": "NonDynamicallyQuantizableLinear",
}
_LEFT_TO_TORCH = {
    "adds its padding to any input; only torch checks that": (
        "CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d ReflectionPad2d "
        "ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d"
    ),
    "halves an axis; only torch checks that it is even": "GLU",
    "no rule is declared for it; only torch checks it": "CosineSimilarity NLLLoss2d PairwiseDistance",
    "a base class of torch's, which computes nothing": "Container Module RNNBase RNNCellBase",
}
_REASONS = {
    name: (state, why)
    for state, reasons in (("free", _FREE), ("skipped", _LEFT_TO_TORCH))
    for why, names in reasons.items()
    for name in names.split()
}


def reason_of(cls: type[torch.nn.Module]) -> tuple[str, str] | None:
    """The state of a module of exactly this torch class, and the reason; None for other classes."""
    return _REASONS.get(cls.__name__) if cls.__module__.startswith("torch.nn.") else None


def keeps_shape(cls: type[torch.nn.Module]) -> bool:
    """True if the output of a module of exactly this class has the shape of its input."""
    return reason_of(cls) == ("free", _KEEPS)
