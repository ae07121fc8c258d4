"""Multi-head attention: query, key and value, and the masks that must fit them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from dimtyped._errors import DimensionAssertionError
from dimtyped.nn._forms import UNCHECKED
from dimtyped.nn._layer import Layer, declares

_MASK = None | Shaped[Tensor, "target source"] | Shaped[Tensor, "batch*heads target source"]
_FORMS = {
    "batch first": {
        "query": Shaped[Tensor, "batch target embed"],
        "key": Shaped[Tensor, "batch source kdim"],
        "value": Shaped[Tensor, "batch source vdim"],
        "key_padding_mask": None | Shaped[Tensor, "batch source"],
        "attn_mask": _MASK,
    },
    "sequence first": {
        "query": Shaped[Tensor, "target batch embed"],
        "key": Shaped[Tensor, "source batch kdim"],
        "value": Shaped[Tensor, "source batch vdim"],
        "key_padding_mask": None | Shaped[Tensor, "batch source"],
        "attn_mask": _MASK,
    },
    "unbatched": {
        "query": Shaped[Tensor, "target embed"],
        "key": Shaped[Tensor, "source kdim"],
        "value": Shaped[Tensor, "source vdim"],
        "key_padding_mask": None | Shaped[Tensor, "source"],
        "attn_mask": None | Shaped[Tensor, "target source"] | Shaped[Tensor, "heads target source"],
    },
}


def layout(first: Any, batch_first: bool, is_causal: Any) -> Hashable:
    """The form of a call with sequences. Torch drops the mask of a call that says it is causal, whatever its shape."""
    if not isinstance(first, Tensor):
        return "sequence first"
    if first.dim() == 2:
        form = "unbatched"
    elif first.is_nested:
        return UNCHECKED
    else:
        form = "batch first" if batch_first else "sequence first"
    return f"{form}, causal" if is_causal else form


def with_causal(forms: Mapping[str, Mapping[str, Any]], masks: tuple[str, ...]) -> dict[Hashable, Mapping[str, Any]]:
    """These forms, and each of them again for a call that says it is causal: there the masks are not looked at."""
    causal = {
        f"{form}, causal": {name: hint for name, hint in inputs.items() if name not in masks}
        for form, inputs in forms.items()
    }
    return {**forms, **causal}


def _form(layer: Any, first: Any, keywords: Mapping[str, Any]) -> Hashable:
    return layout(first, layer.batch_first, keywords.get("is_causal"))


@declares(
    sizes={"embed": "embed_dim", "kdim": "kdim", "vdim": "vdim", "heads": "num_heads"},
    form=_form,
    forms=with_causal(_FORMS, ("attn_mask",)),
    output=tuple[Shaped[Tensor, "batch target embed"], Shaped[Tensor, "batch target source"] | None],
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
    error=DimensionAssertionError,
)
class MultiheadAttention(Layer, torch.nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention`, checked by name: query, key and value, and masks that fit them.

    Args: as `torch.nn.MultiheadAttention`; each size may be a Dim.

    Shape:
        query: `(target, batch, embed)`, with `batch_first` `(batch, target, embed)`, or without batch.
        key, value: the same of `source`, and of width `kdim` and `vdim`.
        key_padding_mask: `(batch, source)`.
        attn_mask: `(target, source)` or `(batch*heads, target, source)`.

    Raises:
        DeclarationError: at construction, a width that the heads do not divide.
        DimensionError: at a call that does not fit; also an AssertionError, as torch's.
        TyingError: at the assignment of a parameter of the wrong shape.

    Example:
        >>> from dimtyped import dims, nn
        >>> embed, = dims(embed=128)
        >>> nn.MultiheadAttention(embed, 3)
        Traceback (most recent call last):
        dimtyped.DeclarationError: MultiheadAttention: embed=128 is not divisible by num_heads=3
          Make embed a multiple of num_heads: 126 or 129.
    """

    @property
    def _dim_labels(self) -> dict[str, str]:
        labels = super()._dim_labels
        given = {role for role in ("kdim", "vdim") if labels[role] == role and getattr(self, role) == self.embed_dim}
        return {role: labels["embed"] if role in given else label for role, label in labels.items()}

    def _dim_arrow(self) -> str:
        sizes = self._dim_sizes
        return ", ".join({self._dim_labels[role]: f"{self._dim_labels[role]}={sizes[role]}" for role in sizes}.values())
