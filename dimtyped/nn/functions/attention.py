"""Attention: query, key, value and mask; and the samples of a grid."""

from __future__ import annotations

from typing import Any, Optional

import torch.nn.functional as torch_functional
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.engine import Form, of_call
from dimtyped.nn.contract import has_axes, is_tensor
from dimtyped.nn.functions.function import Function


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: Any = None,
    enable_gqa: bool = False,
) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )


_MASK: Any = Shaped[Tensor, "*#batch #target #source"]
_SHORT_MASK: Any = Shaped[Tensor, "#source"] | Shaped[Tensor, ""]
_ATTENTION: Any = {
    "query": Shaped[Tensor, "*#batch target embed"],
    "key": Shaped[Tensor, "*#batch source embed"],
    "value": Shaped[Tensor, "*#batch source width"],
    "attn_mask": Optional[_MASK],  # noqa: UP045  # pyright knows no | of these
}
_GROUPED: Any = {
    "query": Shaped[Tensor, "*#batch heads target embed"],
    "key": Shaped[Tensor, "*#batch groups source embed"],
    "value": Shaped[Tensor, "*#batch groups source width"],
    "attn_mask": Optional[Shaped[Tensor, "..."]],  # noqa: UP045  # as above
}

FUNCTIONS = (
    Function(
        scaled_dot_product_attention,
        (
            Form(_ATTENTION, Shaped[Tensor, "*batch target width"]),
            Form(_GROUPED, when=of_call("enable_gqa"), rare=True),
            Form(
                {**_ATTENTION, "attn_mask": _SHORT_MASK},
                when=is_tensor("attn_mask") & of_call("attn_mask.dim() < 2"),
                rare=True,
            ),
        ),
        checks_first=True,  # kernels take a value of another length than the key
    ),
    Function(
        torch_functional.grid_sample,
        (
            Form(
                {
                    "input": Shaped[Tensor, "batch channels height width"],
                    "grid": Shaped[Tensor, "batch out_height out_width 2"],
                }
            ),
            Form(
                {
                    "input": Shaped[Tensor, "batch channels depth height width"],
                    "grid": Shaped[Tensor, "batch out_depth out_height out_width 3"],
                },
                when=has_axes("input", 5),
                rare=True,
            ),
        ),
    ),
)
