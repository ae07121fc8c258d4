"""All of `torch.nn`, with typed layers in place of the shape-bearing ones: `from dimtyped import nn`.

A family of layers is imported when one of its layers is first used.
"""

import typing as _typing  # private, so a star import leaves it out

import torch.nn as _torch_nn
from torch.nn import (
    attention as attention,
    init as init,
    parallel as parallel,
    parameter as parameter,
)

from dimtyped.nn import exact_types as exact_types  # registers callbacks for tools that may be imported later
from dimtyped.nn.contract.families import MODULES as _MODULES
from dimtyped.nn.submodules import load as _load  # makes `import dimtyped.nn.functional` work
from dimtyped.runtime import on_demand as _on_demand

if _typing.TYPE_CHECKING:  # mypy uses the first import of a name, so it must see this package's Linear first
    from dimtyped.nn import functional as functional, modules as modules, utils as utils
    from dimtyped.nn.layers.attention import MultiheadAttention as MultiheadAttention
    from dimtyped.nn.layers.container import (
        ModuleDict as ModuleDict,
        ModuleList as ModuleList,
        Sequential as Sequential,
    )
    from dimtyped.nn.layers.conv import (
        Conv1d as Conv1d,
        Conv2d as Conv2d,
        Conv3d as Conv3d,
        ConvTranspose1d as ConvTranspose1d,
        ConvTranspose2d as ConvTranspose2d,
        ConvTranspose3d as ConvTranspose3d,
    )
    from dimtyped.nn.layers.embedding import Embedding as Embedding
    from dimtyped.nn.layers.embedding_bag import EmbeddingBag as EmbeddingBag
    from dimtyped.nn.layers.lazy import (
        LazyBatchNorm1d as LazyBatchNorm1d,
        LazyBatchNorm2d as LazyBatchNorm2d,
        LazyBatchNorm3d as LazyBatchNorm3d,
        LazyConv1d as LazyConv1d,
        LazyConv2d as LazyConv2d,
        LazyConv3d as LazyConv3d,
        LazyConvTranspose1d as LazyConvTranspose1d,
        LazyConvTranspose2d as LazyConvTranspose2d,
        LazyConvTranspose3d as LazyConvTranspose3d,
        LazyInstanceNorm1d as LazyInstanceNorm1d,
        LazyInstanceNorm2d as LazyInstanceNorm2d,
        LazyInstanceNorm3d as LazyInstanceNorm3d,
        LazyLinear as LazyLinear,
    )
    from dimtyped.nn.layers.linear import Bilinear as Bilinear, Linear as Linear
    from dimtyped.nn.layers.linear_loss import *  # noqa: F403  # what this torch has of it  # noqa: F403
    from dimtyped.nn.layers.loss import (
        AdaptiveLogSoftmaxWithLoss as AdaptiveLogSoftmaxWithLoss,
        BCELoss as BCELoss,
        BCEWithLogitsLoss as BCEWithLogitsLoss,
        CosineEmbeddingLoss as CosineEmbeddingLoss,
        CrossEntropyLoss as CrossEntropyLoss,
        CTCLoss as CTCLoss,
        GaussianNLLLoss as GaussianNLLLoss,
        HingeEmbeddingLoss as HingeEmbeddingLoss,
        HuberLoss as HuberLoss,
        KLDivLoss as KLDivLoss,
        L1Loss as L1Loss,
        MarginRankingLoss as MarginRankingLoss,
        MSELoss as MSELoss,
        MultiLabelMarginLoss as MultiLabelMarginLoss,
        MultiLabelSoftMarginLoss as MultiLabelSoftMarginLoss,
        MultiMarginLoss as MultiMarginLoss,
        NLLLoss as NLLLoss,
        PoissonNLLLoss as PoissonNLLLoss,
        SmoothL1Loss as SmoothL1Loss,
        SoftMarginLoss as SoftMarginLoss,
        TripletMarginLoss as TripletMarginLoss,
        TripletMarginWithDistanceLoss as TripletMarginWithDistanceLoss,
    )
    from dimtyped.nn.layers.norm import (
        BatchNorm1d as BatchNorm1d,
        BatchNorm2d as BatchNorm2d,
        BatchNorm3d as BatchNorm3d,
        GroupNorm as GroupNorm,
        InstanceNorm1d as InstanceNorm1d,
        InstanceNorm2d as InstanceNorm2d,
        InstanceNorm3d as InstanceNorm3d,
        LayerNorm as LayerNorm,
        RMSNorm as RMSNorm,
        SyncBatchNorm as SyncBatchNorm,
    )
    from dimtyped.nn.layers.pooling import (
        AdaptiveAvgPool1d as AdaptiveAvgPool1d,
        AdaptiveAvgPool2d as AdaptiveAvgPool2d,
        AdaptiveAvgPool3d as AdaptiveAvgPool3d,
        AdaptiveMaxPool1d as AdaptiveMaxPool1d,
        AdaptiveMaxPool2d as AdaptiveMaxPool2d,
        AdaptiveMaxPool3d as AdaptiveMaxPool3d,
        AvgPool1d as AvgPool1d,
        AvgPool2d as AvgPool2d,
        AvgPool3d as AvgPool3d,
        FractionalMaxPool2d as FractionalMaxPool2d,
        FractionalMaxPool3d as FractionalMaxPool3d,
        LPPool1d as LPPool1d,
        LPPool2d as LPPool2d,
        LPPool3d as LPPool3d,
        MaxPool1d as MaxPool1d,
        MaxPool2d as MaxPool2d,
        MaxPool3d as MaxPool3d,
        MaxUnpool1d as MaxUnpool1d,
        MaxUnpool2d as MaxUnpool2d,
        MaxUnpool3d as MaxUnpool3d,
    )
    from dimtyped.nn.layers.recurrent import GRU as GRU, LSTM as LSTM, RNN as RNN
    from dimtyped.nn.layers.recurrent_cells import GRUCell as GRUCell, LSTMCell as LSTMCell, RNNCell as RNNCell
    from dimtyped.nn.layers.recurrent_state_bridge import StateBridge as StateBridge
    from dimtyped.nn.layers.shape import (
        ChannelShuffle as ChannelShuffle,
        Flatten as Flatten,
        Fold as Fold,
        PixelShuffle as PixelShuffle,
        PixelUnshuffle as PixelUnshuffle,
        Unflatten as Unflatten,
        Unfold as Unfold,
        Upsample as Upsample,
        UpsamplingBilinear2d as UpsamplingBilinear2d,
        UpsamplingNearest2d as UpsamplingNearest2d,
    )
    from dimtyped.nn.layers.tied import TiedDecoder as TiedDecoder
    from dimtyped.nn.layers.transformer import (
        Transformer as Transformer,
        TransformerDecoder as TransformerDecoder,
        TransformerDecoderLayer as TransformerDecoderLayer,
        TransformerEncoder as TransformerEncoder,
        TransformerEncoderLayer as TransformerEncoderLayer,
    )
    from dimtyped.nn.module import Module as Module
    from dimtyped.nn.reexports import *  # noqa: F403
else:
    _get, _ = _on_demand(__name__, _MODULES)
    _torchs = [name for name in dir(_torch_nn) if not name.startswith("_")]
    _ours = " ".join(_MODULES.values()).split()
    __all__ = _torchs + _ours  # noqa: PLE0605  # a list, as ruff cannot see

    modules, utils = _load("modules"), _load("utils")

    def __getattr__(name: str) -> object:
        """A typed layer, or torch's object of this name."""
        if name == "functional":
            return _load(name)
        try:
            return _get(name)
        except AttributeError:
            if name.startswith("_") or not hasattr(_torch_nn, name):
                raise
        return getattr(_torch_nn, name)

    def __dir__() -> list[str]:
        return sorted(set(__all__))
