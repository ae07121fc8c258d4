"""For every typed layer with sizes, arguments that it takes."""

from __future__ import annotations

from typing import Any

from dimtyped import nn

SPACES = (1, 2, 3)
CONVOLUTION = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
RECURRENT = {"input_size": 2, "hidden_size": 3, "num_layers": 1}
ENCODER_LAYER = {"d_model": 4, "nhead": 2, "dim_feedforward": 3}

# For each layer arguments that it takes.
RIGHT: dict[str, dict[str, Any]] = {
    "Linear": {"in_features": 2, "out_features": 3},
    "LazyLinear": {"out_features": 3},
    "Bilinear": {"in1_features": 2, "in2_features": 3, "out_features": 4},
    "Embedding": {"num_embeddings": 5, "embedding_dim": 2, "padding_idx": 1},
    "EmbeddingBag": {"num_embeddings": 5, "embedding_dim": 2, "padding_idx": 1},
    "TiedDecoder": {"hidden": 3, "project": True},
    "RNN": RECURRENT,
    "GRU": RECURRENT,
    "LSTM": {**RECURRENT, "proj_size": 2},
    **{f"{kind}Cell": {"input_size": 2, "hidden_size": 3} for kind in ("RNN", "GRU", "LSTM")},
    **{f"Conv{n}d": {"in_channels": 2, "out_channels": 2, **CONVOLUTION} for n in SPACES},
    **{f"LazyConv{n}d": {"out_channels": 2, **CONVOLUTION} for n in SPACES},
    **{f"ConvTranspose{n}d": {"in_channels": 2, "out_channels": 2, **CONVOLUTION, "output_padding": 0} for n in SPACES},
    **{f"LazyConvTranspose{n}d": {"out_channels": 2, **CONVOLUTION, "output_padding": 0} for n in SPACES},
    **{f"{kind}Norm{n}d": {"num_features": 2} for kind in ("Batch", "Instance") for n in SPACES},
    **{f"Lazy{kind}Norm{n}d": {} for kind in ("Batch", "Instance") for n in SPACES},
    "SyncBatchNorm": {"num_features": 2},
    "GroupNorm": {"num_groups": 2, "num_channels": 4},
    "LayerNorm": {"normalized_shape": 3},
    "RMSNorm": {"normalized_shape": 3},
    "MultiheadAttention": {"embed_dim": 4, "num_heads": 2, "kdim": 4, "vdim": 4},
    "TransformerEncoderLayer": ENCODER_LAYER,
    "TransformerDecoderLayer": ENCODER_LAYER,
    "TransformerEncoder": {"num_layers": 1},
    "TransformerDecoder": {"num_layers": 1},
    "Transformer": {**ENCODER_LAYER, "num_encoder_layers": 1, "num_decoder_layers": 1},
    "AdaptiveLogSoftmaxWithLoss": {"in_features": 4, "n_classes": 10, "cutoffs": [3]},
    **{f"MaxPool{n}d": {"kernel_size": 2, "stride": 2, "padding": 0, "dilation": 1} for n in SPACES},
    **{f"AvgPool{n}d": {"kernel_size": 2, "stride": 2, "padding": 0} for n in SPACES},
    **{f"LPPool{n}d": {"norm_type": 2.0, "kernel_size": 2, "stride": 2} for n in SPACES},
    **{f"Adaptive{kind}Pool{n}d": {"output_size": 2} for kind in ("Max", "Avg") for n in SPACES},
    **{f"FractionalMaxPool{n}d": {"kernel_size": 2, "output_size": 2} for n in SPACES[1:]},
    **{f"MaxUnpool{n}d": {"kernel_size": 2, "stride": 2, "padding": 0} for n in SPACES},
    "Flatten": {"start_dim": 1, "end_dim": -1},
    "Fold": {"output_size": 4, "kernel_size": 2, "dilation": 1, "padding": 0, "stride": 1},
    "Unfold": {"kernel_size": 2, "dilation": 1, "padding": 0, "stride": 1},
    "PixelShuffle": {"upscale_factor": 2},
    "PixelUnshuffle": {"downscale_factor": 2},
    "ChannelShuffle": {"groups": 2},
    "Upsample": {"size": 2},
    "UpsamplingNearest2d": {"size": 2},
    "UpsamplingBilinear2d": {"size": 2},
    "CrossEntropyLoss": {"ignore_index": -100},
    "NLLLoss": {"ignore_index": -100},
    "CTCLoss": {"blank": 0},
    "LinearCrossEntropyLoss": {"in_features": 4, "num_classes": 5},
}

_WITHOUT = (
    "Lazy",
    "Max",
    "Avg",
    "LP",
    "AdaptiveMax",
    "AdaptiveAvg",
    "Fractional",
    "Flatten",
    "Fold",
    "Unfold",
    "Pixel",
    "Channel",
    "Upsampl",
)
# The kinds that hold something from the start, in themselves or in what they are made of.
WITH_PARAMETERS = [
    k for k in RIGHT if not k.startswith(_WITHOUT) and not k.endswith(("EntropyLoss", "NLLLoss", "CTCLoss"))
]


def make(namespace: Any, kind: str, **changed: Any) -> Any:
    """The layer, of torch's or of ours, with some arguments changed."""
    arguments = {**RIGHT[kind], **changed}
    if "num_embeddings" in changed:  # the padding is to be one of the rows
        arguments.pop("padding_idx")
    if kind == "TiedDecoder":
        return nn.TiedDecoder(nn.Embedding(4, 2), **arguments)
    if kind in ("TransformerEncoder", "TransformerDecoder"):
        return getattr(namespace, kind)(getattr(namespace, f"{kind}Layer")(4, 2, 3), **arguments)
    return getattr(namespace, kind)(**arguments)


def affine(kind: str) -> dict[str, bool]:
    """What makes a layer have all the parameters and statistics that it can have."""
    return {"affine": True, "track_running_stats": True} if kind.startswith("InstanceNorm") else {}
