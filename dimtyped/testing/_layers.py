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

from dimtyped._axes import Kind
from dimtyped._hints import arrays_in
from dimtyped._signature import Signature, read_signature
from dimtyped.nn._layer import Layer, axis_role, has_own_forward
from dimtyped.nn._states import StateBridge

_Annotations = Mapping[str, Any]
_FEW = 2  # an axis that is not the layer's, where a form is tried


def has_forms(module: torch.nn.Module) -> bool:
    """Whether this is a layer of ours, called as its contract says."""
    return isinstance(module, Layer) and has_own_forward(module)


def forms_of(layer: Any) -> list[Signature]:
    """The signature of the layer in each form that a call of it may have."""
    forward = inspect.unwrap(type(layer).forward)
    attributes = layer.contract.sizes
    if isinstance(layer, StateBridge):
        found = [_bridged(layer)]
    elif isinstance(layer, torch.nn.RNNBase):
        found = list(_recurrent(layer))
    elif isinstance(layer, torch.nn.LayerNorm | torch.nn.RMSNorm):
        found = [_normed(layer, next(iter(layer.contract.inputs)))]
    else:
        found = _declared(layer, forward)
    return [read_signature(forward, annotations=form, attributes=attributes) for form in found]


def sizes_of(layer: Any) -> dict[str, int]:
    """The layer's sizes, by the names in its annotations."""
    shape: tuple[int, ...] = getattr(layer, "normalized_shape", ())
    outer = {axis_role("features", axis): shape[axis] for axis in range(-len(shape), -1)}
    return {**layer._dim_sizes, **outer}


def _recurrent(layer: torch.nn.RNNBase) -> Iterator[_Annotations]:
    is_lstm = layer.mode == "LSTM"
    batched, result = (
        ("batch seq embed", "batch seq _") if layer.batch_first else ("seq batch embed", "seq batch _")
    )
    state: Any = Shaped[Tensor, "layers batch state"]
    flat: Any = Shaped[Tensor, "layers state"]
    if is_lstm:
        state, flat = tuple[state, Shaped[Tensor, "layers batch hidden"]], tuple[flat, Shaped[Tensor, "layers hidden"]]
    yield {"input": Shaped[Tensor, batched], "hx": state | None, "return": tuple[Shaped[Tensor, result], state]}
    yield {"input": Shaped[Tensor, "seq embed"], "hx": flat | None, "return": tuple[Shaped[Tensor, "seq _"], flat]}
    yield {"input": PackedSequence}


def _bridged(bridge: Any) -> _Annotations:
    hidden: Any = Shaped[Tensor, "layers batch hidden"]
    mapped: Any = Shaped[Tensor, "_ batch _"]
    return {
        "state": tuple[hidden, Shaped[Tensor, "layers batch cell"]] if bridge.source.cell else hidden,
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
    usual = dict(contract.forms) or {"": contract.inputs}
    usual_form = next((inputs for condition, inputs in usual.items() if _holds(layer, forward, condition, inputs)), None)
    rare = [i for condition, i in contract.otherwise.items() if i is not None and _holds(layer, forward, condition, i)]
    forms = [*([usual_form] if usual_form is not None else []), *rare]
    return [{**form, **_result(layer, form, is_only=len(forms) == 1)} for form in forms]


def _result(layer: Layer, form: _Annotations, *, is_only: bool) -> _Annotations:
    """What comes out of a form; nothing where the contract tells of another form."""
    output = layer.contract.output
    if isinstance(layer, torch.nn.MultiheadAttention):
        return {"return": tuple[form["query"], None | Shaped[Tensor, "..."]]}
    is_any_form = is_only or typing.get_origin(output) in (typing.Union, types.UnionType)
    return {"return": output} if output is not None and is_any_form else {}


def _holds(layer: Layer, forward: Any, condition: str, inputs: _Annotations) -> bool:
    """Whether a call with tensors of these annotations is of this form."""
    if not condition:
        return True
    names = [name for name in inspect.signature(forward).parameters if name != "self"]
    defaults = {name: p.default for name, p in inspect.signature(forward).parameters.items() if p.default is not p.empty}
    needed = [name for name in names if name not in defaults]
    given = {name: _example(layer, inputs[name]) if name in inputs else torch.zeros(1) for name in needed}
    return bool(eval(condition, dict(vars(inspect.getmodule(forward))), {**defaults, **given, "self": layer}))  # a contract's own text


def _example(layer: Layer, annotation: Any) -> Any:
    """A tensor with the axes of the annotation."""
    signature = read_signature(lambda given: given, annotations={"given": annotation})
    axes = arrays_in(signature.parameters[0].hint)[0].axes
    return torch.zeros([layer._dim_sizes.get(axis.name, _FEW) for axis in axes if axis.kind is not Kind.ANY])
