"""Linear and bilinear layers."""

from __future__ import annotations

import torch
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.engine import ALWAYS
from dimtyped.errors import DimensionIndexError
from dimtyped.nn.contract import Layer, declares


@declares(
    sizes={"in_features": "in_features", "out_features": "out_features"},
    inputs={"input": Shaped[Tensor, "... in_features"]},
    output=Shaped[Tensor, "... out_features"],
    parameters={"weight": "out_features in_features", "bias": "out_features"},
    flow=("in_features", "out_features"),
    check_after_error=ALWAYS,
)
class Linear(Layer, torch.nn.Linear):
    """`torch.nn.Linear`, checked by name: `(..., in_features) -> (..., out_features)`.

    Example:
        >>> import torch
        >>> from dimtyped import dims, nn
        >>> embed, hidden = dims(embed=128, hidden=256)
        >>> nn.Linear(embed, hidden)
        Linear(embed=128 -> hidden=256, bias=True)
    """


@declares(
    sizes={"in1_features": "in1_features", "in2_features": "in2_features", "out_features": "out_features"},
    inputs={"input1": Shaped[Tensor, "*batch in1_features"], "input2": Shaped[Tensor, "*batch in2_features"]},
    output=Shaped[Tensor, "*batch out_features"],
    parameters={"weight": "out_features in1_features in2_features", "bias": "out_features"},
    rank_error=DimensionIndexError,
    check_after_error=ALWAYS,
)
class Bilinear(Layer, torch.nn.Bilinear):
    """`torch.nn.Bilinear`, checked by name: `(*batch, in1_features), (*batch, in2_features) -> (*batch, out_features)`."""
