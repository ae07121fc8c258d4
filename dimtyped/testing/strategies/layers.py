"""The typed layers as targets: the annotations of each call form, and the sizes in them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from dimtyped.annotations import Kind, Signature, arrays_in, read_signature
from dimtyped.engine import Form, is_of_form
from dimtyped.nn.contract import Contract, Layer, axis_role, has_own_forward
from dimtyped.testing.strategies.rare_forms import rare_forms

_Annotations = Mapping[str, Any]
_FEW = 2  # the size of an axis that is not the layer's, when a form is tried


def has_forms(module: torch.nn.Module) -> bool:
    """True for a typed layer that is called as its contract says."""
    return isinstance(module, Layer) and has_own_forward(module)


def forms_of(layer: Any) -> list[Signature]:
    """The signature of the layer in each form that a call of it may have."""
    forward = inspect.unwrap(type(layer).forward)
    contract: Contract = layer.contract
    if isinstance(layer, torch.nn.LayerNorm | torch.nn.RMSNorm):
        found = [_normed(layer, next(iter(contract.last_usual.inputs or ())))]
    else:
        found = rare_forms(layer) or _declared(layer, forward)
    return [read_signature(forward, annotations=form, attributes=contract.sizes) for form in found]


def sizes_of(layer: Any) -> dict[str, int]:
    """The layer's sizes, by the names in its annotations."""
    shape: tuple[int, ...] = getattr(layer, "normalized_shape", ())
    outer = {axis_role("features", axis): shape[axis] for axis in range(-len(shape), -1)}
    sizes = {**layer._dim_sizes, **outer}
    if isinstance(layer, torch.nn.RNNBase):
        sizes["directions"] = 2 if layer.bidirectional else 1
    return sizes


def _normed(layer: Any, argument: str) -> _Annotations:
    """The layer's sizes before the last axis. Torch checks them, so the contract does not name them."""
    names = [axis_role("features", axis) for axis in range(-len(layer.normalized_shape), 0)]
    features = Shaped[Tensor, " ".join(["...", *names])]
    return {argument: features, "return": features}


def _declared(layer: Layer, forward: Any) -> list[_Annotations]:
    """The forms of the contract that this layer takes for a call without keywords."""
    usual = [form for form in layer.contract.calls if form.inputs is not None and not form.rare]
    rare = [form for form in layer.contract.calls if form.inputs is not None and form.rare]
    taken = [form for form in usual if _first_of(usual, layer, forward, form) is form]
    taken += [form for form in rare if is_of_form(forward, form, _example_call(layer, forward, form))]
    return [{**(form.inputs or {}), **_result(layer, form)} for form in taken]


def _first_of(forms: list[Form], layer: Layer, forward: Any, example: Form) -> Form | None:
    """The form of a call with tensors of the annotations of `example`."""
    values = _example_call(layer, forward, example)
    return next((form for form in forms if is_of_form(forward, form, values)), None)


def _result(layer: Layer, form: Form) -> _Annotations:
    """The annotation of a form's result; empty where the layer's options change the result."""
    if getattr(layer, "reduction", "") == "none" or form.output is None:
        return {}
    return {"return": tuple[form.output, form.output] if getattr(layer, "return_indices", False) else form.output}


def _example_call(layer: Layer, forward: Any, form: Form) -> tuple[Any, ...]:
    """The arguments of a call without keywords, with tensors of the form's annotations."""
    inputs, parameters = form.inputs or {}, list(inspect.signature(forward).parameters.values())[1:]
    given = [
        _example(layer, inputs.get(each.name)) if each.default is each.empty else each.default for each in parameters
    ]
    return (layer, *given)


def _example(layer: Layer, annotation: Any) -> Any:
    """A tensor with the axes of the annotation, or any tensor if there is none."""
    if annotation is PackedSequence:
        return pack_sequence([torch.zeros(_FEW, layer._dim_sizes["embed"])])
    if annotation is None:
        return torch.zeros(1)
    signature = read_signature(lambda given: given, annotations={"given": annotation})
    axes = arrays_in(signature.parameters[0].hint)[0].axes
    return torch.zeros([layer._dim_sizes.get(axis.name, _FEW) for axis in axes if axis.kind is not Kind.ANY])
