"""`multi_head_attention_forward`: the inputs of the layer, and beside them the weights that it would hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

import torch.nn.functional as torch_functional
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.engine import Form, Predicate, of_call
from dimtyped.nn.contract import UNCHECKED, Inputs, SizeViolation, has_axes, is_none, without
from dimtyped.nn.functions.function import Function
from dimtyped.nn.layers.attention import DROPS_MASK, MultiheadAttention
from dimtyped.nn.layers.attention_inputs import SEQUENCE_FIRST, UNBATCHED, mask, padding, sequence

_OWN_WEIGHTS = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
_WEIGHTS = ("in_proj_weight", *_OWN_WEIGHTS, "in_proj_bias", "bias_k", "bias_v", "out_proj_weight", "out_proj_bias")
_HAS_OWN, _IS_UNBATCHED = of_call("use_separate_proj_weight"), has_axes("query", 2)
_IS_STATIC = ~(is_none("static_k") & is_none("static_v"))


def _tensor(axes: str) -> Any:
    return Optional[Shaped[Tensor, axes]]  # noqa: UP045  # pyright knows no | of these


def _parameters(*names: str) -> Inputs:
    declared = MultiheadAttention.contract.parameters
    return {name: _tensor(declared[name]) for name in names}


def _inputs(layout: str, *, own: bool) -> Inputs:
    """The annotations of a call; `own` if query, key and value have a weight each, and key and value a width each."""
    return {
        "query": sequence(layout, "target"),
        "key": sequence(layout, "source", "kdim" if own else "embed"),
        "value": sequence(layout, "source", "vdim" if own else "embed"),
        "key_padding_mask": padding(layout, "source"),
        "attn_mask": mask(layout, "target", "source", "{num_heads}"),
        **_parameters(*(_OWN_WEIGHTS if own else ("in_proj_weight",)), "in_proj_bias"),
        **dict.fromkeys(("bias_k", "bias_v"), _tensor("... embed")),  # torch repeats them, so axes of 1 may be missing
        "out_proj_weight": Shaped[Tensor, "out_features embed"],
        "out_proj_bias": _tensor("#out_features"),
    }


def _forms(layout: str, when: Predicate, *dropped: str) -> tuple[Form, Form]:
    """The rare forms of a layout, with a weight each and with one for all."""
    own, packed = (without(_inputs(layout, own=own), *dropped) for own in (True, False))
    return Form(own, when=when & _HAS_OWN, rare=True), Form(packed, when=when, rare=True)


def _other_heads(*, query: Any, embed_dim_to_check: int, num_heads: int, **_: Any) -> Iterator[SizeViolation]:
    """A width that is not the one to check, or that the heads do not divide."""
    if query.shape[-1] != embed_dim_to_check:
        yield SizeViolation("query", -1, "embed", int(embed_dim_to_check))
    elif num_heads > 0 and query.shape[-1] % num_heads:
        yield SizeViolation("query", -1, "embed", f"a multiple of num_heads={num_heads}")


FUNCTIONS = (
    Function(
        torch_functional.multi_head_attention_forward,
        (
            Form(_inputs(SEQUENCE_FIRST, own=True), when=_HAS_OWN),
            Form(_inputs(SEQUENCE_FIRST, own=False)),
            Form(UNCHECKED, when=_IS_STATIC, rare=True),  # keys and values in another layout
            *_forms(UNBATCHED, DROPS_MASK & _IS_UNBATCHED, "attn_mask"),
            *_forms(SEQUENCE_FIRST, DROPS_MASK, "attn_mask"),
            *_forms(UNBATCHED, _IS_UNBATCHED),
        ),
        weights=_WEIGHTS,
        checks_first=True,
        error=MultiheadAttention.contract.error,
        violations=_other_heads,
    ),
)
