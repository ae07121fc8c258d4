"""The transformer, its stacks and its layers: sequences of one width, and the masks that must fit them.

The submodules of a layer stay torch's own, so that torch's fused paths still run; the check of the whole covers them. If
a submodule was replaced by another class, its sizes are not known and only torch checks them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from dimtyped.engine import Form, Predicate, of_call, of_owner
from dimtyped.errors import DimensionAssertionError
from dimtyped.nn.contract import ROLES, UNCHECKED, Inputs, Layer, declares, is_none, make_ready, typed_class_of
from dimtyped.nn.layers.attention_inputs import BATCH_FIRST, SEQUENCE_FIRST, mask, padding, rare_forms, sequence

# the same as `_dim_attention` without a Python call, which would cost 2 % of a small layer's call
_ATTENTION = "_modules.get('self_attn')"
_SIZES = {"embed": f"{_ATTENTION}.embed_dim", "heads": f"{_ATTENTION}.num_heads"}
_STACK_SIZES = {"embed": "_dim_attention.embed_dim", "heads": "_dim_attention.num_heads"}
_ARGUMENTS = {"d_model": "embed", "nhead": "heads", "dim_feedforward": "feedforward"}
# Torch's own attention raises; another may not, and the fused path accepts any empty `src`. Only a plain tensor is tested
# for emptiness, because in an export a length may be unknown.
_TORCH_REFUSES = (
    is_none("src_mask")
    & is_none("src_key_padding_mask")
    & of_owner(_ATTENTION, "type({}) is MultiheadAttention")
    & of_call("type(src) is Tensor")
    & of_call("src.numel()")
)
_ENCODER_DROPS_MASK = of_call("is_causal") & is_none("src_key_padding_mask")
_DECODER_DROPS_MASK = (of_call("tgt_is_causal") & is_none("tgt_key_padding_mask")) | (
    of_call("memory_is_causal") & is_none("memory_key_padding_mask")
)


def _forms(
    attention: str,
    inputs: Callable[[str], Inputs],
    output: Callable[[str], Any],
    drops_mask: Predicate,
    *masks: str,
) -> tuple[Form, ...]:
    """The call forms of a layer or a stack, whose first parameter is the first of its inputs."""
    has_attention = of_owner(attention, "isinstance({}, MultiheadAttention)")
    batch_comes_first = of_owner(f"{attention}.batch_first")
    first = next(iter(inputs(BATCH_FIRST)))
    return (
        Form(UNCHECKED, when=~has_attention),
        *_layouts(batch_comes_first, inputs, output),
        *rare_forms(first, batch_comes_first, drops_mask, inputs, output, *masks),
    )


def _layouts(
    batch_comes_first: Predicate, inputs: Callable[[str], Inputs], output: Callable[[str], Any]
) -> tuple[Form, Form]:
    return (
        Form(inputs(BATCH_FIRST), output(BATCH_FIRST), batch_comes_first),
        Form(inputs(SEQUENCE_FIRST), output(SEQUENCE_FIRST)),
    )


def _source(layout: str) -> Any:
    return sequence(layout, "source")


def _target(layout: str) -> Any:
    return sequence(layout, "target")


def _encoder_inputs(layout: str) -> Inputs:
    return {
        "src": sequence(layout, "source"),
        "mask": mask(layout, "source", "source"),
        "src_mask": mask(layout, "source", "source"),
        "src_key_padding_mask": padding(layout, "source"),
    }


def _decoder_inputs(layout: str) -> Inputs:
    return {
        "tgt": sequence(layout, "target"),
        "memory": sequence(layout, "source"),
        "tgt_mask": mask(layout, "target", "target"),
        "memory_mask": mask(layout, "target", "source"),
        "tgt_key_padding_mask": padding(layout, "target"),
        "memory_key_padding_mask": padding(layout, "source"),
    }


def _transformer_inputs(layout: str) -> Inputs:
    return {**_encoder_inputs(layout), **_decoder_inputs(layout)}


class _OfAttention(Layer):
    """The base of the layers and the stacks: their sizes are those of their self-attention."""

    @property
    def _dim_attention(self) -> torch.nn.MultiheadAttention | None:
        found = self._modules.get("self_attn")  # read at each call: inlined from `_attention_of` to save a call
        return found if isinstance(found, torch.nn.MultiheadAttention) else None

    @property
    def _dim_sizes(self) -> dict[str, int]:
        return super()._dim_sizes if self._dim_attention is not None else {}


def _attention_of(layer: torch.nn.Module) -> torch.nn.MultiheadAttention | None:
    """The layer's self-attention, if it is torch's or a typed one."""
    found = layer._modules.get("self_attn")
    return found if isinstance(found, torch.nn.MultiheadAttention) else None


class _Stack(_OfAttention):
    """The base of the stacks. Their layers are copies, so the sizes are read from the first one."""

    @property
    def _dim_attention(self) -> torch.nn.MultiheadAttention | None:
        first = self._dim_first
        return _attention_of(first) if first is not None else None

    @property
    def _dim_first(self) -> torch.nn.Module | None:
        layers = self._modules["layers"]
        return next(iter(layers._modules.values()), None) if layers is not None else None

    @property
    def _dim_labels(self) -> dict[str, str]:
        first = self._dim_first
        return first._dim_labels if isinstance(first, _OfAttention) else super()._dim_labels


@declares(
    sizes=_SIZES,
    calls=_forms(_ATTENTION, _encoder_inputs, _source, _ENCODER_DROPS_MASK, "src_mask"),
    flow=("embed", "embed"),
    arguments=_ARGUMENTS,
    multiples={"d_model": "nhead"},
    check_after_error=_TORCH_REFUSES,
    error=DimensionAssertionError,
)
class TransformerEncoderLayer(_OfAttention, torch.nn.TransformerEncoderLayer):
    """`torch.nn.TransformerEncoderLayer`, checked by name: `(source, batch, embed)`, or `batch_first`, or without batch.

    Shape:
        src_mask: `(source, source)` or `(batch*heads, source, source)`.
        src_key_padding_mask: `(batch, source)`.
    """


@declares(
    sizes=_SIZES,
    calls=_forms(_ATTENTION, _decoder_inputs, _target, _DECODER_DROPS_MASK, "tgt_mask", "memory_mask"),
    flow=("embed", "embed"),
    arguments=_ARGUMENTS,
    multiples={"d_model": "nhead"},
    error=DimensionAssertionError,
)
class TransformerDecoderLayer(_OfAttention, torch.nn.TransformerDecoderLayer):
    """`torch.nn.TransformerDecoderLayer`, checked by name: a target, and the memory that it attends to.

    Shape:
        tgt: `(target, batch, embed)`, with `batch_first` `(batch, target, embed)`, or without batch.
        memory: the same of `source`.
        tgt_mask: `(target, target)` or `(batch*heads, target, target)`.
        memory_mask: `(target, source)` or `(batch*heads, target, source)`.
        tgt_key_padding_mask, memory_key_padding_mask: `(batch, target)` and `(batch, source)`.
    """


@declares(
    sizes=_STACK_SIZES,
    calls=_forms("_dim_attention", _encoder_inputs, _source, _ENCODER_DROPS_MASK, "mask"),
    flow=("embed", "embed"),
    error=DimensionAssertionError,
)
class TransformerEncoder(_Stack, torch.nn.TransformerEncoder):
    """`torch.nn.TransformerEncoder`, checked by name as its layers are; see `TransformerEncoderLayer`."""


@declares(
    sizes=_STACK_SIZES,
    calls=_forms("_dim_attention", _decoder_inputs, _target, _DECODER_DROPS_MASK, "tgt_mask", "memory_mask"),
    flow=("embed", "embed"),
    error=DimensionAssertionError,
)
class TransformerDecoder(_Stack, torch.nn.TransformerDecoder):
    """`torch.nn.TransformerDecoder`, checked by name as its layers are; see `TransformerDecoderLayer`."""


@declares(
    sizes={"embed": "d_model", "heads": "nhead"},
    arguments={"dim_feedforward": "feedforward"},
    calls=(
        Form(UNCHECKED, when=~of_owner("_dim_is_whole")),
        *_layouts(of_owner("batch_first"), _transformer_inputs, _target),
        *rare_forms(
            "src",
            of_owner("batch_first"),
            (of_call("src_is_causal") & is_none("src_key_padding_mask")) | _DECODER_DROPS_MASK,
            _transformer_inputs,
            _target,
            "src_mask",
            "tgt_mask",
            "memory_mask",
        ),
    ),
    flow=("embed", "embed"),
    multiples={"d_model": "nhead"},
    error=DimensionAssertionError,
)
class Transformer(Layer, torch.nn.Transformer):
    """`torch.nn.Transformer`, checked by name: a source for the encoder, a target for the decoder, and their masks.

    The stacks that it makes, and their layers, are typed too. With a `custom_encoder` or `custom_decoder` that is not
    a stack of torch's, only torch checks the call.

    Shape:
        src: `(source, batch, embed)`, with `batch_first` `(batch, source, embed)`, or without batch.
        tgt: the same of `target`.
        src_mask, tgt_mask, memory_mask: `(source, source)`, `(target, target)` and `(target, source)`, each also for
            every head: `(batch*heads, ...)`.
        src_key_padding_mask, tgt_key_padding_mask, memory_key_padding_mask: `(batch, source)`, `(batch, target)` and
            `(batch, source)`.
    """

    def _reset_parameters(self) -> None:
        super()._reset_parameters()  # torch's constructor calls it once the parts exist
        parts: list[Any] = [part for part in self.modules() if isinstance(part, _PARTS)]
        for part in parts:
            typed = typed_class_of(type(part))
            if typed is not None:
                part.__class__ = typed
                part.__dict__[ROLES] = dict(self.__dict__.get(ROLES, {}).items())
                make_ready(part, typed)

    @property
    def _dim_is_whole(self) -> bool:
        """True if both stacks are torch's or typed ones."""
        parts = self._modules
        return isinstance(parts["encoder"], torch.nn.TransformerEncoder) and isinstance(
            parts["decoder"], torch.nn.TransformerDecoder
        )


_PARTS = (
    torch.nn.TransformerEncoder,
    torch.nn.TransformerDecoder,
    torch.nn.TransformerEncoderLayer,
    torch.nn.TransformerDecoderLayer,
)
