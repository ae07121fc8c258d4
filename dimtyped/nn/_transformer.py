"""The transformer, its stacks and its layers: sequences of one width, and masks that must fit them.

What these layers are made of stays torch's own, so that its fused paths are taken as before: the check of the whole
covers it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from dimtyped._errors import DimensionAssertionError
from dimtyped.nn._attention import layout, with_causal
from dimtyped.nn._forms import UNCHECKED
from dimtyped.nn._layer import ROLES, Layer, declares, make_ready, typed_class_of

_SOURCE = {
    "batch first": Shaped[Tensor, "batch source embed"],
    "sequence first": Shaped[Tensor, "source batch embed"],
    "unbatched": Shaped[Tensor, "source embed"],
}
_TARGET = {
    "batch first": Shaped[Tensor, "batch target embed"],
    "sequence first": Shaped[Tensor, "target batch embed"],
    "unbatched": Shaped[Tensor, "target embed"],
}


def _mask(form: str, rows: str, columns: str) -> Any:
    many = "heads" if form == "unbatched" else "batch*heads"
    return None | Shaped[Tensor, f"{rows} {columns}"] | Shaped[Tensor, f"{many} {rows} {columns}"]


def _padding(form: str, columns: str) -> Any:
    return None | Shaped[Tensor, columns if form == "unbatched" else f"batch {columns}"]


def _encoder_inputs(form: str, mask: str) -> dict[str, Any]:
    return {
        "src": _SOURCE[form],
        mask: _mask(form, "source", "source"),
        "src_key_padding_mask": _padding(form, "source"),
    }


def _decoder_inputs(form: str) -> dict[str, Any]:
    return {
        "tgt": _TARGET[form],
        "memory": _SOURCE[form],
        "tgt_mask": _mask(form, "target", "target"),
        "memory_mask": _mask(form, "target", "source"),
        "tgt_key_padding_mask": _padding(form, "target"),
        "memory_key_padding_mask": _padding(form, "source"),
    }


def _transformer_inputs(form: str) -> dict[str, Any]:
    inputs = {**_encoder_inputs(form, "src_mask"), **_decoder_inputs(form)}
    return {name: inputs[name] for name in ("src", *inputs) if name != "memory"}


_DECODER_FORMS = with_causal({form: _decoder_inputs(form) for form in _SOURCE}, ("tgt_mask", "memory_mask"))


# What a stack is made of may be others' own: then its sizes are not known ---------------------------------------------


def _attention(layer: Any) -> Any:
    found = layer._modules.get("self_attn")
    return found if isinstance(found, torch.nn.MultiheadAttention) else None


def _first_attention(stack: Any) -> Any:
    layers = stack._modules["layers"]
    return _attention(layers[0]) if len(layers) > 0 else None


def _encoder_layer_form(layer: Any, first: Any, keywords: Mapping[str, Any]) -> Hashable:
    attention = _attention(layer)
    return layout(first, attention.batch_first, keywords.get("is_causal")) if attention is not None else UNCHECKED


def _encoder_form(layer: Any, first: Any, keywords: Mapping[str, Any]) -> Hashable:
    attention = _first_attention(layer)
    return layout(first, attention.batch_first, keywords.get("is_causal")) if attention is not None else UNCHECKED


def _is_causal(keywords: Mapping[str, Any]) -> Any:
    return keywords.get("tgt_is_causal") or keywords.get("memory_is_causal") or keywords.get("src_is_causal")


def _decoder_layer_form(layer: Any, first: Any, keywords: Mapping[str, Any]) -> Hashable:
    attention = _attention(layer)
    return layout(first, attention.batch_first, _is_causal(keywords)) if attention is not None else UNCHECKED


def _decoder_form(layer: Any, first: Any, keywords: Mapping[str, Any]) -> Hashable:
    attention = _first_attention(layer)
    return layout(first, attention.batch_first, _is_causal(keywords)) if attention is not None else UNCHECKED


def _transformer_form(layer: Any, first: Any, keywords: Mapping[str, Any]) -> Hashable:
    own = isinstance(layer.encoder, torch.nn.TransformerEncoder) and isinstance(
        layer.decoder, torch.nn.TransformerDecoder
    )
    return layout(first, layer.batch_first, _is_causal(keywords)) if own else UNCHECKED
