"""`linear` and `bilinear`."""

from __future__ import annotations

from typing import Any, Optional

import torch
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.engine import Form
from dimtyped.errors import DimensionIndexError
from dimtyped.nn.contract import UNCHECKED, has_axes
from dimtyped.nn.functions.function import Function
from dimtyped.nn.layers.linear import Bilinear, Linear

_BIAS = Optional[Shaped[Tensor, "#out_features"] | Shaped[Tensor, ""]]  # noqa: UP045  # torch adds it, so it may broadcast


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch.nn.functional.linear(input, weight, bias)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch.nn.functional.bilinear(input1, input2, weight, bias)


_OF_LINEAR, _OF_BILINEAR = Linear.contract, Bilinear.contract
FUNCTIONS = (
    Function(
        linear,
        (
            Form(
                {
                    **(_OF_LINEAR.last_usual.inputs or {}),
                    "weight": Shaped[Tensor, _OF_LINEAR.parameters["weight"]],
                    "bias": _BIAS,
                }
            ),
            Form(UNCHECKED, when=has_axes("weight", 1), rare=True),  # the product with one vector
        ),
        weights=("weight", "bias"),
    ),
    Function(
        bilinear,
        (
            Form(
                {
                    **(_OF_BILINEAR.last_usual.inputs or {}),
                    "weight": Shaped[Tensor, _OF_BILINEAR.parameters["weight"]],
                    "bias": _BIAS,
                }
            ),
        ),
        weights=("weight", "bias"),
        rank_error=DimensionIndexError,
    ),
)
