"""Bilinear layers."""

from __future__ import annotations

import torch
from jaxtyping import Shaped
from torch import Tensor

from dimtyped._errors import DimensionIndexError
from dimtyped.nn._layer import Layer, declares


@declares(
    sizes={"in1_features": "in1_features", "in2_features": "in2_features", "out_features": "out_features"},
    inputs={"input1": Shaped[Tensor, "*batch in1_features"], "input2": Shaped[Tensor, "*batch in2_features"]},
    output=Shaped[Tensor, "*batch out_features"],
    parameters={"weight": "out_features in1_features in2_features", "bias": "out_features"},
    rank_error=DimensionIndexError,
)
class Bilinear(Layer, torch.nn.Bilinear):
    """`torch.nn.Bilinear`, checked by name: `(*batch, in1_features), (*batch, in2_features) -> (*batch, out_features)`.

    Args: as `torch.nn.Bilinear`; each size may be a Dim.

    Raises:
        DimensionError: at a call whose widths are others, or whose two inputs have other axes before them.
        TyingError: at the assignment of a parameter of the wrong shape.
    """
