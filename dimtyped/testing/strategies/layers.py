"""The typed layers as something to be called: the annotations of each form of a call, and the sizes in them."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from dimtyped.annotations import Kind, Signature, arrays_in, read_signature
from dimtyped.nn.contract import ALL_AXES, Contract, Layer, axis_role, has_own_forward
from dimtyped.nn.layers.recurrent_states import StateBridge
from dimtyped.testing.strategies.rare_forms import rare_forms

_Annotations = Mapping[str, Any]
_FEW = 2  # an axis that is not the layer's, where a form is tried


def has_forms(module: torch.nn.Module) -> bool:
    """True if this is a layer of ours, called as its contract says."""
    return isinstance(module, Layer) and has_own_forward(module)


def forms_of(layer: Any) -> list[Signature]:
    """The signature of the layer in each form that a call of it may have."""
    forward = inspect.unwrap(type(layer).forward)
    contract: Contract = layer.contract
    if isinstance(layer, StateBridge):
        found = [_bridged(layer, "batch "), _bridged(layer, "")]
    elif isinstance(layer, torch.nn.RNNBase):
        found = list(_recurrent(layer))
    elif isinstance(layer, torch.nn.LayerNorm | torch.nn.RMSNorm):
        found = [_normed(layer, next(iter(contract.inputs)))]
    else:
        found = rare_forms(layer) or _declared(layer, forward)
    return [read_signature(forward, annotations=form, attributes=contract.sizes) for form in found]


def sizes_of(layer: Any) -> dict[str, int]:
    """The layer's sizes, by the names in its annotations."""
    shape: tuple[int, ...] = getattr(layer, "normalized_shape", ())
    outer = {axis_role("features", axis): shape[axis] for axis in range(-len(shape), -1)}
    return {**layer._dim_sizes, **outer}


def _recurrent(layer: torch.nn.RNNBase) -> Iterator[_Annotations]:
    is_lstm = layer.mode == "LSTM"
    batched, result = ("batch seq embed", "batch seq _") if layer.batch_first else ("seq batch embed", "seq batch _")
    state: Any = Shaped[Tensor, "layers batch state"]
    flat: Any = Shaped[Tensor, "layers state"]
    if is_lstm:
        state, flat = tuple[state, Shaped[Tensor, "layers batch hidden"]], tuple[flat, Shaped[Tensor, "layers hidden"]]
    yield {"input": Shaped[Tensor, batched], "hx": state | None, "return": tuple[Shaped[Tensor, result], state]}
    yield {"input": Shaped[Tensor, "seq embed"], "hx": flat | None, "return": tuple[Shaped[Tensor, "seq _"], flat]}
    yield {"input": PackedSequence}


def _bridged(bridge: Any, batch: str) -> _Annotations:
    hidden: Any = Shaped[Tensor, f"layers {batch}hidden"]
    mapped: Any = Shaped[Tensor, f"_ {batch}_"]
    return {
        "state": tuple[hidden, Shaped[Tensor, f"layers {batch}cell"]] if bridge.source.cell else hidden,
        "return": tuple[mapped, mapped] if bridge.target.cell else mapped,
    }


def _normed(layer: Any, argument: str) -> _Annotations:
    """The axes before the last are torch's own to check, so the contract does not name them."""
    names = [axis_role("features", axis) for axis in range(-len(layer.normalized_shape), 0)]
    features = Shaped[Tensor, " ".join(["...", *names])]
    return {argument: features, "return": features}


def _declared(layer: Layer, forward: Any) -> list[_Annotations]:
    """The forms of the contract that this layer takes for a call without keywords."""
    contract = layer.contract
    usual: dict[str, Any] = {form: inputs for form, inputs in contract.forms.items() if inputs is not None}
    usual = usual or {"": contract.inputs}
    usual_form = next(
        (inputs for condition, inputs in usual.items() if _holds(layer, forward, condition, inputs)), None
    )
    rare = [(condition, inputs) for condition, inputs in contract.otherwise.items() if inputs is not None]
    others = [inputs for condition, inputs in rare if _holds(layer, forward, condition, inputs)]
    forms = [*([usual_form] if usual_form is not None else []), *others]
    return [{**form, **_result(layer, form, is_only=len(forms) == 1)} for form in forms]


def _result(layer: Layer, form: _Annotations, *, is_only: bool) -> _Annotations:
    """The annotation of a form's result; none where the contract is about another form."""
    if layer.contract.keeps is ALL_AXES:
        return {"return": next(iter(form.values()))}
    output: Any = layer.contract.output
    if isinstance(layer, torch.nn.MultiheadAttention):
        return {"return": tuple[form["query"], Shaped[Tensor, "..."] | None]}
    if getattr(layer, "reduction", "") == "none":
        return {}
    if getattr(layer, "return_indices", False):
        output = tuple[output, output]
    is_any_form = is_only or typing.get_origin(output) in (typing.Union, types.UnionType)
    return {"return": output} if output is not None and is_any_form else {}


def _holds(layer: Layer, forward: Any, condition: str, inputs: _Annotations) -> bool:
    """True if a call with tensors of these annotations is of this form."""
    if not condition:
        return True
    values: dict[str, Any] = {}
    for name, parameter in inspect.signature(forward).parameters.items():
        has_default = parameter.default is not parameter.empty
        values[name] = parameter.default if has_default else _example(layer, inputs.get(name))
    known = dict(vars(inspect.getmodule(forward)))
    return bool(eval(condition, known, {**values, "self": layer}))  # a contract's own text


def _example(layer: Layer, annotation: Any) -> Any:
    """A tensor with the axes of the annotation; some other one where there is none."""
    if annotation is None:
        return torch.zeros(1)
    signature = read_signature(lambda given: given, annotations={"given": annotation})
    axes = arrays_in(signature.parameters[0].hint)[0].axes
    return torch.zeros([layer._dim_sizes.get(axis.name, _FEW) for axis in axes if axis.kind is not Kind.ANY])
