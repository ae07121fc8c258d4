"""One or more of every typed layer, for `fuzz`: a class that is not in the table fails the test of the table."""

from collections.abc import Callable
from typing import Any

import torch

from dimtyped import nn
from dimtyped.nn.contract import Layer


def typed_classes() -> dict[str, type[torch.nn.Module]]:
    """Every layer class of `dimtyped.nn` that can be called as it is made."""
    listed = {**{name: getattr(nn, name) for name in dir(nn)}, **vars(nn)}  # a family is imported when it is asked for
    public = {name: cls for name, cls in listed.items() if isinstance(cls, type) and issubclass(cls, Layer)}
    return {name: cls for name, cls in public.items() if not name.startswith("Lazy")}


def encoder_layer() -> torch.nn.Module:
    return nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)


def decoder_layer() -> torch.nn.Module:
    return nn.TransformerDecoderLayer(4, 2, 8)


MAKERS: dict[str, list[Callable[[], Any]]] = {
    "Linear": [lambda: nn.Linear(3, 4)],
    "Bilinear": [lambda: nn.Bilinear(2, 3, 4)],
    "Embedding": [lambda: nn.Embedding(5, 3), lambda: nn.Embedding(5, 3, padding_idx=0)],
    "EmbeddingBag": [lambda: nn.EmbeddingBag(5, 3), lambda: nn.EmbeddingBag(5, 3, mode="sum")],
    "TiedDecoder": [
        lambda: nn.TiedDecoder(nn.Embedding(5, 3)),
        lambda: nn.TiedDecoder(nn.Embedding(5, 3), 4, project=True),
    ],
    "RNN": [lambda: nn.RNN(3, 4), lambda: nn.RNN(3, 4, bidirectional=True)],
    "GRU": [lambda: nn.GRU(3, 4), lambda: nn.GRU(3, 4, 2, batch_first=True)],
    "LSTM": [
        lambda: nn.LSTM(3, 4),
        lambda: nn.LSTM(3, 4, 2, batch_first=True),
        lambda: nn.LSTM(3, 4, proj_size=2),
        lambda: nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2, batch_first=True),
    ],
    "RNNCell": [lambda: nn.RNNCell(3, 4)],
    "GRUCell": [lambda: nn.GRUCell(3, 4)],
    "LSTMCell": [lambda: nn.LSTMCell(3, 4)],
    "StateBridge": [
        lambda: nn.StateBridge(nn.GRU(3, 4), nn.GRU(3, 5)),
        lambda: nn.StateBridge(nn.LSTM(3, 4, 2), nn.LSTM(3, 5)),
        lambda: nn.StateBridge(nn.GRU(3, 4, bidirectional=True), nn.LSTM(3, 5)),
    ],
    "Conv1d": [lambda: nn.Conv1d(4, 6, 3), lambda: nn.Conv1d(4, 6, 2, groups=2, padding=1)],
    "Conv2d": [lambda: nn.Conv2d(4, 6, 2)],
    "Conv3d": [lambda: nn.Conv3d(2, 3, 2)],
    "ConvTranspose1d": [lambda: nn.ConvTranspose1d(4, 6, 3), lambda: nn.ConvTranspose1d(4, 6, 3, stride=2)],
    "ConvTranspose2d": [lambda: nn.ConvTranspose2d(2, 3, 2, stride=2)],
    "ConvTranspose3d": [lambda: nn.ConvTranspose3d(2, 3, 2, stride=2)],
    "BatchNorm1d": [lambda: nn.BatchNorm1d(3), lambda: nn.BatchNorm1d(3, track_running_stats=False)],
    "BatchNorm2d": [lambda: nn.BatchNorm2d(3)],
    "BatchNorm3d": [lambda: nn.BatchNorm3d(3)],
    "SyncBatchNorm": [lambda: nn.SyncBatchNorm(3)],
    "InstanceNorm1d": [lambda: nn.InstanceNorm1d(3, affine=True)],
    "InstanceNorm2d": [lambda: nn.InstanceNorm2d(3, affine=True, track_running_stats=True)],
    "InstanceNorm3d": [lambda: nn.InstanceNorm3d(3)],
    "GroupNorm": [lambda: nn.GroupNorm(2, 4)],
    "LayerNorm": [lambda: nn.LayerNorm(4), lambda: nn.LayerNorm((2, 3))],
    "RMSNorm": [lambda: nn.RMSNorm(4), lambda: nn.RMSNorm((2, 3))],
    "MultiheadAttention": [
        lambda: nn.MultiheadAttention(4, 2, batch_first=True),
        lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=2),
    ],
    "TransformerEncoderLayer": [encoder_layer],
    "TransformerDecoderLayer": [decoder_layer],
    "TransformerEncoder": [lambda: nn.TransformerEncoder(encoder_layer(), 1)],
    "TransformerDecoder": [lambda: nn.TransformerDecoder(decoder_layer(), 1)],
    "Transformer": [lambda: nn.Transformer(4, 2, 1, 1, 8, batch_first=True)],
    "Flatten": [nn.Flatten, lambda: nn.Flatten(0, 1)],
    "Unflatten": [lambda: nn.Unflatten(1, (2, 3)), lambda: nn.Unflatten(-1, (2, -1))],
    "Fold": [lambda: nn.Fold((3, 4), 2)],
    "Unfold": [lambda: nn.Unfold(2), lambda: nn.Unfold((1, 2), padding=1, stride=2)],
    "PixelShuffle": [lambda: nn.PixelShuffle(2)],
    "PixelUnshuffle": [lambda: nn.PixelUnshuffle(2)],
    "ChannelShuffle": [lambda: nn.ChannelShuffle(2)],
    "Upsample": [
        lambda: nn.Upsample(scale_factor=2),
        lambda: nn.Upsample(4),
        lambda: nn.Upsample((2, 3), mode="bilinear"),
        lambda: nn.Upsample(scale_factor=2, mode="linear"),
        lambda: nn.Upsample(scale_factor=2, mode="trilinear"),
    ],
    "UpsamplingNearest2d": [lambda: nn.UpsamplingNearest2d(scale_factor=2), lambda: nn.UpsamplingNearest2d((3, 4))],
    "UpsamplingBilinear2d": [lambda: nn.UpsamplingBilinear2d(scale_factor=2), lambda: nn.UpsamplingBilinear2d((3, 4))],
    "MaxPool1d": [lambda: nn.MaxPool1d(2), lambda: nn.MaxPool1d(2, return_indices=True)],
    "MaxPool2d": [lambda: nn.MaxPool2d(2)],
    "MaxPool3d": [lambda: nn.MaxPool3d(2)],
    "AvgPool1d": [lambda: nn.AvgPool1d(2)],
    "AvgPool2d": [lambda: nn.AvgPool2d(2)],
    "AvgPool3d": [lambda: nn.AvgPool3d(2)],
    "LPPool1d": [lambda: nn.LPPool1d(2, 2)],
    "LPPool2d": [lambda: nn.LPPool2d(2, 2)],
    "LPPool3d": [lambda: nn.LPPool3d(2, 2)],
    "AdaptiveMaxPool1d": [lambda: nn.AdaptiveMaxPool1d(2)],
    "AdaptiveMaxPool2d": [lambda: nn.AdaptiveMaxPool2d(2)],
    "AdaptiveMaxPool3d": [lambda: nn.AdaptiveMaxPool3d(2)],
    "AdaptiveAvgPool1d": [lambda: nn.AdaptiveAvgPool1d(2)],
    "AdaptiveAvgPool2d": [lambda: nn.AdaptiveAvgPool2d(2), lambda: nn.AdaptiveAvgPool2d(1)],
    "AdaptiveAvgPool3d": [lambda: nn.AdaptiveAvgPool3d(2)],
    "FractionalMaxPool2d": [lambda: nn.FractionalMaxPool2d(2, output_size=2)],
    "FractionalMaxPool3d": [lambda: nn.FractionalMaxPool3d(2, output_ratio=0.5)],
    "MaxUnpool1d": [lambda: nn.MaxUnpool1d(2)],
    "MaxUnpool2d": [lambda: nn.MaxUnpool2d(2), lambda: nn.MaxUnpool2d((1, 3), stride=2)],
    "MaxUnpool3d": [lambda: nn.MaxUnpool3d(2)],
    "MSELoss": [nn.MSELoss, lambda: nn.MSELoss(reduction="none")],
    "L1Loss": [nn.L1Loss],
    "SmoothL1Loss": [nn.SmoothL1Loss],
    "HuberLoss": [nn.HuberLoss],
    "BCELoss": [nn.BCELoss],
    "BCEWithLogitsLoss": [nn.BCEWithLogitsLoss],
    "KLDivLoss": [lambda: nn.KLDivLoss(reduction="batchmean")],
    "PoissonNLLLoss": [nn.PoissonNLLLoss],
    "GaussianNLLLoss": [nn.GaussianNLLLoss, lambda: nn.GaussianNLLLoss(reduction="none")],
    "SoftMarginLoss": [nn.SoftMarginLoss],
    "HingeEmbeddingLoss": [nn.HingeEmbeddingLoss],
    "MultiLabelSoftMarginLoss": [nn.MultiLabelSoftMarginLoss],
    "MultiLabelMarginLoss": [nn.MultiLabelMarginLoss],
    "CrossEntropyLoss": [nn.CrossEntropyLoss, lambda: nn.CrossEntropyLoss(reduction="none")],
    "NLLLoss": [nn.NLLLoss],
    "LinearCrossEntropyLoss": [
        lambda: nn.LinearCrossEntropyLoss(3, 5),
        lambda: nn.LinearCrossEntropyLoss(3, 5, reduction="none"),
    ],
    "MultiMarginLoss": [nn.MultiMarginLoss],
    "AdaptiveLogSoftmaxWithLoss": [lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 6, [2, 4], div_value=2)],
    "CosineEmbeddingLoss": [nn.CosineEmbeddingLoss],
    "MarginRankingLoss": [nn.MarginRankingLoss],
    "TripletMarginLoss": [nn.TripletMarginLoss],
    "TripletMarginWithDistanceLoss": [nn.TripletMarginWithDistanceLoss],
    "CTCLoss": [nn.CTCLoss, lambda: nn.CTCLoss(reduction="none", zero_infinity=True)],
    "Sequential": [
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)),
        lambda: nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Flatten()),
    ],
}
