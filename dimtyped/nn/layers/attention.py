"""Multi-head attention: query, key and value, and the masks that must fit them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.engine import Form, of_call, of_owner
from dimtyped.errors import DimensionAssertionError
from dimtyped.nn.contract import Inputs, Layer, declares, is_none
from dimtyped.nn.layers.attention_inputs import (
    BATCH_FIRST,
    SEQUENCE_FIRST,
    UNBATCHED,
    mask,
    padding,
    rare_forms,
    sequence,
)

_BATCH_COMES_FIRST = of_owner("batch_first")
_SELF = of_call("value is key") & of_call("key is query") & of_owner("_qkv_same_embed_dim")
_ALONE = is_none("key_padding_mask") & is_none("attn_mask") & _SELF
DROPS_MASK = of_call("is_causal") & is_none("key_padding_mask") & ~of_call("need_weights")
"""The condition of a causal call in which torch drops `attn_mask`."""


def _inputs(layout: str) -> Inputs:
    return {
        "query": sequence(layout, "target"),
        "key": sequence(layout, "source", "kdim"),
        "value": sequence(layout, "source", "vdim"),
        "key_padding_mask": padding(layout, "source"),
        "attn_mask": mask(layout, "target", "source"),
    }


def _self_inputs(layout: str) -> Inputs:
    """The inputs of self-attention: query, key and value are one tensor, which is checked once."""
    return {
        "query": sequence(layout, "source"),
        "key_padding_mask": padding(layout, "source"),
        "attn_mask": mask(layout, "source", "source"),
    }


def _output(layout: str) -> Any:
    heads_together = "target source" if layout == UNBATCHED else "batch target source"
    return tuple[sequence(layout, "target"), Shaped[Tensor, heads_together] | None]


@declares(
    sizes={"embed": "embed_dim", "kdim": "kdim", "vdim": "vdim", "heads": "num_heads"},
    calls=(
        Form(_self_inputs(BATCH_FIRST), _output(BATCH_FIRST), _SELF & _BATCH_COMES_FIRST),
        Form(_self_inputs(SEQUENCE_FIRST), _output(SEQUENCE_FIRST), _SELF),
        Form(_inputs(BATCH_FIRST), _output(BATCH_FIRST), _BATCH_COMES_FIRST),
        Form(_inputs(SEQUENCE_FIRST), _output(SEQUENCE_FIRST)),
        *rare_forms("query", _BATCH_COMES_FIRST, DROPS_MASK, _inputs, _output, "attn_mask"),
    ),
    parameters={
        "in_proj_weight": "3*embed embed",
        "q_proj_weight": "embed embed",
        "k_proj_weight": "embed kdim",
        "v_proj_weight": "embed vdim",
        "in_proj_bias": "3*embed",
        "bias_k": "1 1 embed",
        "bias_v": "1 1 embed",
    },
    multiples={"embed_dim": "num_heads"},
    check_after_error=_ALONE,
    error=DimensionAssertionError,
)
class MultiheadAttention(Layer, torch.nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention`, checked by name: query, key and value, and masks that fit them.

    Shape:
        query: `(target, batch, embed)`, with `batch_first` `(batch, target, embed)`, or without batch.
        key, value: the same of `source`, and of width `kdim` and `vdim`.
        key_padding_mask: `(batch, source)`.
        attn_mask: `(target, source)` or `(batch*heads, target, source)`.

    Example:
        >>> from dimtyped import dims, nn
        >>> embed, = dims(embed=128)
        >>> nn.MultiheadAttention(embed, 3)
        Traceback (most recent call last):
        dimtyped.DeclarationError: MultiheadAttention: embed=128 is not divisible by num_heads=3
          Make embed a multiple of num_heads: 126 or 129.
    """

    if TYPE_CHECKING:
        __call__: Callable[..., tuple[Tensor, Tensor | None]]  # pyright: ignore[reportIncompatibleMethodOverride]  # most layers return a single tensor

    @property
    def _dim_labels(self) -> dict[str, str]:
        labels = super()._dim_labels
        same = [role for role in ("kdim", "vdim") if labels[role] == role and getattr(self, role) == self.embed_dim]
        return {**labels, **dict.fromkeys(same, labels["embed"])}

    def _dim_arrow(self) -> str:
        labels, sizes = self._dim_labels, self._dim_sizes
        return ", ".join(dict.fromkeys(f"{labels[role]}={size}" for role, size in sizes.items()))
