"""The file of `nn/layers/` that declares each layer, so that a family is imported when one of its layers is first used."""

from __future__ import annotations

import importlib
from typing import Any

import torch

FAMILIES = {
    "attention": "MultiheadAttention",
    "container": "ModuleDict ModuleList Sequential",
    "conv": "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d",
    "embedding": "Embedding",
    "embedding_bag": "EmbeddingBag",
    "lazy": "LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyConv1d LazyConv2d LazyConv3d LazyConvTranspose1d "
    "LazyConvTranspose2d LazyConvTranspose3d LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d LazyLinear",
    "linear": "Bilinear Linear",
    "linear_loss": "LinearCrossEntropyLoss" if hasattr(torch.nn, "LinearCrossEntropyLoss") else "",  # new in torch 2.13
    "loss": "AdaptiveLogSoftmaxWithLoss BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss CrossEntropyLoss "
    "GaussianNLLLoss HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss MSELoss MarginRankingLoss MultiLabelMarginLoss "
    "MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss PoissonNLLLoss SmoothL1Loss SoftMarginLoss TripletMarginLoss "
    "TripletMarginWithDistanceLoss",
    "norm": "BatchNorm1d BatchNorm2d BatchNorm3d GroupNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d LayerNorm "
    "RMSNorm SyncBatchNorm",
    "pooling": "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d "
    "AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d FractionalMaxPool3d LPPool1d LPPool2d LPPool3d "
    "MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d",
    "recurrent": "GRU LSTM RNN",
    "recurrent_cells": "GRUCell LSTMCell RNNCell",
    "recurrent_state_bridge": "StateBridge",
    "shape": "ChannelShuffle Flatten Fold PixelShuffle PixelUnshuffle Unflatten Unfold Upsample UpsamplingBilinear2d "
    "UpsamplingNearest2d",
    "tied": "TiedDecoder",
    "transformer": "Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer",
}
"""The files, each with the layers that it declares."""
MODULES = {f"dimtyped.nn.layers.{family}": layers for family, layers in FAMILIES.items()} | {
    "dimtyped.nn.module": "Module"
}
"""The same by the modules' full names, with `Module`."""
_FAMILY_OF = {layer: module for module, layers in MODULES.items() for layer in layers.split()}


def import_family(layer: str) -> Any:
    """Imports the file that declares a layer of this name, if one does."""
    return importlib.import_module(_FAMILY_OF[layer]) if layer in _FAMILY_OF else None


def import_all_families() -> None:
    """Imports every file of layers."""
    for module in MODULES:
        importlib.import_module(module)
