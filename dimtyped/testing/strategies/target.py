"""What is called with made inputs: a function or a module, its annotations, and the sizes that it declares."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from dimtyped.annotations import AnythingHint, ArrayHint, Parameter, Signature, arrays_in, read_signature
from dimtyped.engine import ReferenceCheck, entry_of, mode
from dimtyped.errors import DeclarationError
from dimtyped.names import scope_of
from dimtyped.nn.contract import Layer, typed_class_of
from dimtyped.nn.layers.recurrent_states import StateBridge
from dimtyped.testing.strategies.fill import ValueConstraint
from dimtyped.testing.strategies.layers import forms_of, has_forms, sizes_of
from dimtyped.testing.strategies.rare_forms import as_one, has_more_forms, held_by, unchecked_by
from dimtyped.testing.strategies.sizes import check_fixed, fixed_twice
from dimtyped.testing.strategies.tensors import VOCABULARY, present

_MANY_IDS = 4
_COMPILED = "_orig_mod"  # where torch.compile keeps the module


@dataclass(frozen=True)
class Target:
    """One way of calling a function or a module.

    Args:
        call: What is called.
        signature: Its annotations, its `self` among the parameters where it is a method.
        owner: The module whose method it is, if it is one.
        sizes: The names that have a size before the call.
        device: Where tensors are made.
        dtype: The dtype of floats.
        ids: Integers stay below this.
        is_enforced: Whether a call that does not fit is refused by us.
        labels: What errors call the names of a layer. Default: what the annotations do.
        is_only_form: Whether there is no other way of calling it. Default: True.
        given: Sizes of other names, that inputs are to have. Default: none.
        holds: What the numbers of a parameter must be, where its annotation does not say. Default: nothing.
        unchecked: Parameters for which inputs are made, and which nothing checks. Default: none.
    """

    call: Callable[..., Any]
    signature: Signature
    owner: Any
    sizes: Mapping[str, int]
    device: torch.device
    dtype: torch.dtype
    ids: int
    is_enforced: bool
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    is_only_form: bool = True
    given: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])
    holds: Mapping[str, ValueConstraint] = dataclasses.field(default_factory=dict[str, ValueConstraint])
    unchecked: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What errors call it."""
        return type(self.call).__name__ if isinstance(self.call, torch.nn.Module) else self.signature.where

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What a call gives: all but `self`."""
        return self.signature.parameters[1:] if self.owner is not None else self.signature.parameters

    @property
    def arrays(self) -> tuple[ArrayHint, ...]:
        """Every tensor annotation of the parameters."""
        return tuple(array for parameter in self.parameters for array in arrays_in(parameter.hint))

    @property
    def values(self) -> dict[str, Any]:
        """What the `{self.width}` of an annotation reads."""
        return {self.signature.parameters[0].name: self.owner} if self.owner is not None else {}

    @functools.cached_property
    def reference(self) -> ReferenceCheck:
        """The meaning of the annotations."""
        return ReferenceCheck(self.signature, self.sizes)

    def accepts(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Whether a call fits the annotations; False also where an annotation cannot be evaluated for it."""
        try:
            return self.reference.accepts(self._given(args), kwargs)
        except (DeclarationError, NameError, ArithmeticError):
            return False

    def accepts_result(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> bool:
        """Whether a result fits the annotation of this call's."""
        return self.reference.accepts_result(self._given(args), kwargs, result)

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """What is given, by the parameters' names."""
        shape = inspect.Signature([inspect.Parameter(p.name, p.kind, default=p.default) for p in self.parameters])
        return dict(shape.bind(*args, **kwargs).arguments)

    def _given(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self.owner, *args) if self.owner is not None else args


def targets_of(thing: Any, sizes: Mapping[str, int] | None = None) -> list[Target]:
    """Every way of calling a function, a method or a module.

    Args:
        thing: What is to be called.
        sizes: Sizes of names that it does not declare. Default: none.

    Raises:
        DeclarationError: it is not annotated, is on a device that is not there, or declares a name of `sizes`.
    """
    if not callable(thing):
        raise DeclarationError(
            f"inputs are made for a function or a module, not for {thing!r} of type {type(thing).__name__}"
        )
    if isinstance(thing, torch.nn.Module) and hasattr(thing, _COMPILED):
        return [dataclasses.replace(target, call=thing) for target in targets_of(getattr(thing, _COMPILED), sizes)]
    _reject_unready(thing)
    if isinstance(thing, torch.nn.Sequential) and len(thing):
        return [_of_sequence(thing, target) for target in targets_of(thing[0], sizes)]
    module, function = _parts(thing)
    if module is not None and thing is module and has_forms(module):
        found = _layer_targets(thing, module)
    else:
        found = [_target(thing, module, function)]
    return [_with_sizes(target, sizes or {}) for target in found]


def _of_sequence(sequence: torch.nn.Sequential, first: Target) -> Target:
    """Layers in a row take what the first one takes; what the last one gives, torch alone knows."""
    signature = dataclasses.replace(first.signature, result=AnythingHint(Any), result_annotation=Any)
    return dataclasses.replace(first, call=sequence, signature=signature)


def module_of(thing: Any) -> torch.nn.Module | None:
    """The module that is called, or whose method it is."""
    return _parts(thing)[0]


def _parts(thing: Any) -> tuple[torch.nn.Module | None, Any]:
    if isinstance(thing, torch.nn.Module):
        held: Any = thing.__dict__.get("forward", type(thing).forward)
        return thing, getattr(held, "__func__", held)
    if isinstance(thing, types.MethodType) and isinstance(thing.__self__, torch.nn.Module):
        return thing.__self__, thing.__func__
    return None, thing


def _target(thing: Any, module: torch.nn.Module | None, function: Any) -> Target:
    entry = entry_of(function)
    signature = entry.signature if entry is not None else read_signature(function)
    _reject_unannotated(signature, module)
    declared = dict(signature.fixed) if module is None else {**scope_of(module).names, **signature.fixed}
    members = list(module.modules()) if module is not None else []
    tables = [member.num_embeddings for member in members if isinstance(member, torch.nn.Embedding)]
    device, dtype = _place(module)
    return Target(
        call=thing,
        signature=signature,
        owner=module,
        sizes=declared,
        device=device,
        dtype=dtype,
        ids=min([*tables, *(size for name, size in declared.items() if name in VOCABULARY)], default=_MANY_IDS),
        is_enforced=entry is not None and mode() != "off",
    )


def _layer_targets(thing: Any, layer: torch.nn.Module) -> list[Target]:
    """A layer of ours in each of the forms that it is called in."""
    forms = forms_of(layer)
    device, dtype = _place(layer)
    return [
        Target(
            call=thing,
            signature=signature,
            owner=layer,
            sizes=sizes_of(layer),
            device=device,
            dtype=dtype,
            ids=getattr(layer, "num_embeddings", _MANY_IDS),
            is_enforced=isinstance(layer, Layer) and mode() != "off",
            labels=_labels(layer, signature),
            is_only_form=len(forms) == 1 and not has_more_forms(layer),
            holds=held_by(layer),
            unchecked=unchecked_by(layer),
        )
        for signature in forms
    ]


def _labels(layer: torch.nn.Module, signature: Signature) -> Mapping[str, str]:
    """What the layer's errors call the names of one of its forms."""
    if as_one(layer):
        arrays = [array for parameter in signature.parameters for array in arrays_in(parameter.hint)]
        return {axis.name: "*shape" for array in arrays for axis in array.axes}
    labels = layer._dim_labels if isinstance(layer, Layer) else {}
    return {**labels, "batch": "*batch"} if isinstance(layer, StateBridge) else labels


def _reject_unready(thing: Any) -> None:
    """Refuses what cannot be called yet, or ever."""
    name = type(thing).__name__
    if (
        isinstance(thing, torch.nn.Module)
        and type(thing).forward is torch.nn.Module.forward
        and "forward" not in vars(thing)
    ):
        raise DeclarationError(f"{name} has no forward, so it cannot be called\n  Give the module that holds it.")
    if isinstance(thing, torch.nn.Module) and any(is_lazy(held) for held in thing.parameters(recurse=False)):
        raise DeclarationError(f"{name} has no sizes yet\n  Call it once: its first input says what they are.")


def _reject_unannotated(signature: Signature, module: torch.nn.Module | None) -> None:
    if not signature.expressible:
        raise DeclarationError(
            f"{signature.where}: inputs cannot be made for an annotation of jaxtyping's own, such as PyTree or `?name`\n"
            "  Write the containers out: tuple[Float[Tensor, ...], ...], list[...], dict[str, ...]."
        )
    if not any(arrays_in(parameter.hint) for parameter in signature.parameters):
        names = [p.name for p in signature.parameters if p.name != "self"]
        example = f'{names[0] if names else "x"}: Float[Tensor, "batch seq"]'
        if module is not None and type(module).__module__.startswith("torch."):
            name = type(module).__name__
            typed = f"Use dimtyped.nn.{name}, or dimtyped.retype(model)." if typed_class_of(type(module)) else ""
            raise DeclarationError(
                f"{name}: torch's own layer does not say which tensors it takes, so no inputs can be made\n  "
                + (typed or f"Put it in a module of your own: def forward(self, {example}).")
            )
        raise DeclarationError(
            f"{signature.where}: no annotation says which tensors it takes, so no inputs can be made\n  Write def "
            f"{signature.where.rpartition('.')[2]}({'self, ' if '.' in signature.where else ''}{example})."
        )


def _with_sizes(target: Target, sizes: Mapping[str, int]) -> Target:
    for name, size in sizes.items():
        if target.sizes.get(name, size) != size:
            raise fixed_twice(name, target.sizes[name], target.name, size)
    return dataclasses.replace(target, given=check_fixed(sizes))


def _place(module: torch.nn.Module | None) -> tuple[torch.device, torch.dtype]:
    held: list[Tensor] = [*module.parameters(), *module.buffers()] if module is not None else []
    floats = [tensor for tensor in held if tensor.is_floating_point()]
    device = present(held[0].device) if held else torch.device("cpu")
    return device, floats[0].dtype if floats else torch.get_default_dtype()
