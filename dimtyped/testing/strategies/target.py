"""The target that inputs are made for: a function or a module, its annotations, and the sizes that it declares."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from dimtyped.annotations import AnythingHint, ArrayHint, Parameter, Signature, arrays_in, read_signature
from dimtyped.engine import ReferenceCheck, entry_of
from dimtyped.errors import DeclarationError
from dimtyped.names import scope_of
from dimtyped.nn import StateBridge
from dimtyped.nn.contract import Layer, typed_class_of
from dimtyped.runtime import mode
from dimtyped.testing.strategies.fill import ValueConstraint
from dimtyped.testing.strategies.layers import forms_of, has_forms, sizes_of
from dimtyped.testing.strategies.rare_forms import has_more_forms, has_one_shape, unchecked_by, value_constraints
from dimtyped.testing.strategies.sizes import Choice, check_fixed, fixed_twice
from dimtyped.testing.strategies.tensors import VOCABULARY, present

_MANY_IDS = 4
_MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_COMPILED = "_orig_mod"  # the attribute in which torch.compile keeps the module


@dataclass(frozen=True)
class Target:
    """One way of calling a function or a module.

    Args:
        call: The function or module that is called.
        signature: Its annotations, with `self` among the parameters of a method.
        owner: The module whose method it is, if it is one.
        sizes: The names that have a size before the call.
        device: The device of the tensors.
        dtype: The dtype of floats.
        ids: The upper bound of integers.
        is_enforced: True if dimtyped checks its calls.
        labels: The names that errors use for a layer's names. Default: those of the annotations.
        is_only_form: True if there is no other way of calling it. Default: True.
        given: The sizes of other names: one, or several to choose from. Default: none.
        lengths: The number of items in a list, by parameter. Default: a few.
        layouts: True if tensors are drawn in every memory layout. Default: contiguous.
        likely: Parameters that most calls are to give. Default: none; optional ones are left out half of the time.
        bound_first: The positional arguments that a `functools.partial` binds. Default: nothing.
        bound_by_name: The keyword arguments that it binds. Default: nothing.
        holds: The constraints on the values of parameters, beyond their annotations. Default: none.
        unchecked: Parameters for which inputs are made, but which are not checked. Default: none.
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
    given: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict[str, "tuple[int, ...]"])
    lengths: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict[str, "tuple[int, ...]"])
    layouts: bool = False
    likely: frozenset[str] = frozenset()
    bound_first: tuple[Any, ...] = ()
    bound_by_name: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    holds: Mapping[str, ValueConstraint] = dataclasses.field(default_factory=dict[str, ValueConstraint])
    unchecked: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name in errors."""
        return type(self.call).__name__ if isinstance(self.call, torch.nn.Module) else self.signature.where

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters that a call gives: all but `self` and bound ones. Those after one bound by name are keyword-only."""
        given: list[Parameter] = []
        is_after = False
        for parameter in self.signature.parameters[len(self._first) :]:
            if parameter.name in self.bound_by_name:
                is_after = True
            elif is_after and parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
                given.append(dataclasses.replace(parameter, kind=inspect.Parameter.KEYWORD_ONLY))
            else:
                given.append(parameter)
        return tuple(given)

    @functools.cached_property
    def arrays(self) -> tuple[ArrayHint, ...]:
        """Every tensor annotation of the parameters."""
        return tuple(array for parameter in self.parameters for array in arrays_in(parameter.hint))

    @property
    def values(self) -> dict[str, Any]:
        """The values that the `{self.width}` of an annotation reads."""
        return {self.signature.parameters[0].name: self.owner} if self.owner is not None else {}

    @functools.cached_property
    def reference(self) -> ReferenceCheck:
        """The names and values that the annotations use."""
        return ReferenceCheck(self.signature, self.sizes)

    def accepts(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """True if a call fits the annotations; False also if an annotation cannot be evaluated for it."""
        try:
            return self.reference.accepts((*self._first, *args), {**self.bound_by_name, **kwargs})
        except (DeclarationError, NameError, ArithmeticError):
            return False

    def accepts_result(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> bool:
        """True if a result fits the annotation for the result of this call."""
        return self.reference.accepts_result((*self._first, *args), {**self.bound_by_name, **kwargs}, result)

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The given arguments, by the parameters' names."""
        return dict(self._shape.bind(*args, **kwargs).arguments)

    @functools.cached_property
    def _shape(self) -> inspect.Signature:
        return inspect.Signature([inspect.Parameter(p.name, p.kind, default=p.default) for p in self.parameters])

    @property
    def _first(self) -> tuple[Any, ...]:
        """The bound arguments before the call's own."""
        return (self.owner, *self.bound_first) if self.owner is not None else self.bound_first


@dataclass(frozen=True)
class InputOptions:
    """The user's options for the inputs, beside the annotations.

    Args:
        sizes: The size of a name that the module does not declare, or sizes to choose from.
        values: The upper bound of a parameter's integers: a name, a size, or a range of them.
        lengths: The number of items in the list of a parameter, or a range.
        layouts: True if tensors are drawn in every memory layout.
        likely: Parameters that most calls are to give.
    """

    sizes: Mapping[str, Choice] = dataclasses.field(default_factory=dict[str, Choice])
    values: Mapping[str, str | int | range] = dataclasses.field(default_factory=dict[str, "str | int | range"])
    lengths: Mapping[str, Choice] = dataclasses.field(default_factory=dict[str, Choice])
    layouts: bool = False
    likely: frozenset[str] = frozenset()


def targets_of(thing: Any, options: InputOptions | None = None) -> list[Target]:
    """Every way of calling a function, a method or a module.

    Args:
        thing: The function, method or module to call.
        options: The user's options for the inputs. Default: none.

    Raises:
        DeclarationError: it is not annotated, is on a device that does not exist, or declares a name of `sizes`.
    """
    found = _ways_of(thing)
    return with_options(found, options) if options is not None else found


def _ways_of(thing: Any) -> list[Target]:
    if not callable(thing):
        raise DeclarationError(
            f"inputs are made for a function or a module, not for {thing!r} of type {type(thing).__name__}"
        )
    if isinstance(thing, type) and issubclass(thing, torch.nn.Module):
        raise _no_instance(thing)
    if isinstance(thing, functools.partial):
        return [_of_partial(thing, target) for target in _ways_of(thing.func)]
    if isinstance(thing, torch.nn.Module) and hasattr(thing, _COMPILED):
        return [dataclasses.replace(target, call=thing) for target in _ways_of(getattr(thing, _COMPILED))]
    _reject_unready(thing)
    if isinstance(thing, torch.nn.Sequential) and len(thing):
        return [_of_sequence(thing, target) for target in _ways_of(thing[0])]
    module, function = _parts(thing)
    if module is not None and thing is module and has_forms(module):
        return _layer_targets(thing, module)
    return [_target(thing, module, function)]


def _of_sequence(sequence: torch.nn.Sequential, first: Target) -> Target:
    """The target for a Sequential: it takes the inputs of its first layer; its result is unknown."""
    signature = dataclasses.replace(first.signature, result=AnythingHint(Any), result_annotation=Any)
    return dataclasses.replace(first, call=sequence, signature=signature)


def _of_partial(partial: functools.partial[Any], inner: Target) -> Target:
    """The target of a `functools.partial`: some of the arguments are bound."""
    device, dtype = _place(modules_of(partial))
    return dataclasses.replace(
        inner,
        call=partial,
        bound_first=partial.args,
        bound_by_name=partial.keywords,
        device=device,
        dtype=dtype,
        ids=min([inner.ids, *_tables(modules_of(partial))]),
    )


def modules_of(thing: Any) -> list[torch.nn.Module]:
    """The modules that a call runs: the one that is called, or those that a `functools.partial` gives."""
    if isinstance(thing, functools.partial):
        given = (*thing.args, *thing.keywords.values())
        return [*modules_of(thing.func), *(value for value in given if isinstance(value, torch.nn.Module))]
    module = module_of(thing)
    return [module] if module is not None else []


def module_of(thing: Any) -> torch.nn.Module | None:
    """The module that is called, or whose method it is."""
    return module_of(thing.func) if isinstance(thing, functools.partial) else _parts(thing)[0]


def _parts(thing: Any) -> tuple[torch.nn.Module | None, Any]:
    if isinstance(thing, torch.nn.Module):
        held: Any = thing.__dict__.get("forward", type(thing).forward)
        return thing, getattr(held, "__func__", held)
    if isinstance(thing, types.MethodType) and isinstance(thing.__self__, torch.nn.Module):
        return thing.__self__, thing.__func__
    is_object = not isinstance(thing, type) and isinstance(type(thing).__call__, types.FunctionType)
    return None, thing.__call__ if is_object else thing


def _target(thing: Any, module: torch.nn.Module | None, function: Any) -> Target:
    entry = entry_of(function)
    signature = _without_self(entry.signature, function) if entry is not None else read_signature(function)
    _reject_unannotated(signature, module)
    declared = dict(signature.fixed) if module is None else {**scope_of(module).names, **signature.fixed}
    modules = [module] if module is not None else []
    device, dtype = _place(modules)
    vocabularies = [size for name, size in declared.items() if name in VOCABULARY]
    return Target(
        call=thing,
        signature=signature,
        owner=module,
        sizes=declared,
        device=device,
        dtype=dtype,
        ids=min([*_tables(modules), *vocabularies], default=_MANY_IDS),
        is_enforced=entry is not None and mode() != "off",
    )


def _without_self(signature: Signature, function: Any) -> Signature:
    """The signature of a bound method of an object: its first argument is already bound."""
    is_bound = isinstance(function, types.MethodType)
    return dataclasses.replace(signature, parameters=signature.parameters[1:]) if is_bound else signature


def _tables(modules: list[torch.nn.Module]) -> list[int]:
    members = [member for module in modules for member in module.modules()]
    return [member.num_embeddings for member in members if isinstance(member, torch.nn.Embedding)]


def _layer_targets(thing: Any, layer: torch.nn.Module) -> list[Target]:
    """The targets of a typed layer, one for each of its call forms."""
    forms = forms_of(layer)
    device, dtype = _place([layer])
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
            holds=value_constraints(layer),
            unchecked=unchecked_by(layer),
        )
        for signature in forms
    ]


def _labels(layer: torch.nn.Module, signature: Signature) -> Mapping[str, str]:
    """The names in the layer's errors, by those of one of its forms."""
    if has_one_shape(layer):
        arrays = [array for parameter in signature.parameters for array in arrays_in(parameter.hint)]
        return {axis.name: "*shape" for array in arrays for axis in array.axes}
    labels = layer._dim_labels if isinstance(layer, Layer) else {}
    return {**labels, "batch": "*batch"} if isinstance(layer, StateBridge) else labels


def _reject_unready(thing: Any) -> None:
    """Raises for a module that cannot be called, or not yet."""
    name = type(thing).__name__
    if (
        isinstance(thing, torch.nn.Module)
        and type(thing).forward is torch.nn.Module.forward
        and "forward" not in vars(thing)
    ):
        raise DeclarationError(f"{name} has no forward, so it cannot be called\n  Give the module that holds it.")
    if isinstance(thing, torch.nn.Module) and any(is_lazy(held) for held in thing.parameters(recurse=False)):
        raise DeclarationError(f"{name} has no sizes yet\n  Call it once: its first input determines them.")


def _reject_unannotated(signature: Signature, module: torch.nn.Module | None) -> None:
    if not signature.expressible:
        raise DeclarationError(
            f"{signature.where}: inputs cannot be made for annotations such as PyTree or `?name`\n"
            "  Write the containers out: tuple[Float[Tensor, ...], ...], list[...], dict[str, ...]."
        )
    if not any(arrays_in(parameter.hint) for parameter in signature.parameters):
        names = [p.name for p in signature.parameters if p.name != "self"]
        example = f'{names[0] if names else "x"}: Float[Tensor, "batch seq"]'
        if module is not None and type(module).__module__.startswith("torch."):
            name = type(module).__name__
            typed = f"Use dimtyped.nn.{name}, or dimtyped.retype(model)." if typed_class_of(type(module)) else ""
            raise DeclarationError(
                f"{name}: torch's own layer has no annotations, so no inputs can be made\n  "
                + (typed or f"Put it in a module of your own: def forward(self, {example}).")
            )
        raise DeclarationError(
            f"{signature.where}: no parameter has a tensor annotation, so no inputs can be made\n  Write def "
            f"{signature.where.rpartition('.')[2]}({'self, ' if '.' in signature.where else ''}{example})."
        )


def _no_instance(cls: type[torch.nn.Module]) -> DeclarationError:
    needed = [
        p.name for p in inspect.signature(cls).parameters.values() if p.default is p.empty and p.kind not in _MANY
    ]
    arguments = ", ".join(f"{name}=..." for name in needed)
    return DeclarationError(
        f"{cls.__name__} is a class, but inputs are made for a module\n  Write {cls.__name__}({arguments})."
    )


def with_options(targets: Sequence[Target], options: InputOptions) -> list[Target]:
    """The targets with the user's options for their inputs.

    Raises:
        DeclarationError: a size is not a size or is declared otherwise, or no parameter has the name.
    """
    known = list(dict.fromkeys(parameter.name for target in targets for parameter in target.parameters))
    for what, given in (("values", options.values), ("lengths", options.lengths)):
        for name in given:
            if name not in known:
                raise DeclarationError(f"{what}: {targets[0].name} has no parameter `{name}`, only {', '.join(known)}")
    return [_with_options(target, options) for target in targets]


def _with_options(target: Target, options: InputOptions) -> Target:
    sizes = check_fixed(options.sizes)
    for name, choice in sizes.items():
        if target.sizes.get(name, choice[0]) not in choice:
            raise fixed_twice(name, target.sizes[name], target.name, choice[0])
    return dataclasses.replace(
        target,
        given=sizes,
        lengths=check_fixed(options.lengths),
        layouts=options.layouts,
        likely=options.likely,
        holds={**target.holds, **{name: _constraint(name, value) for name, value in options.values.items()}},
    )


def _constraint(name: str, value: Any) -> ValueConstraint:
    """Integers below a size or a name's size, or within a range."""
    if isinstance(value, range) and len(value) and value.step == 1 and value.start >= 0:
        return ValueConstraint(low=value.start, below=value.stop)
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return ValueConstraint(below=value)
    raise DeclarationError(
        f"values: `{name}` is {value!r}, must be a name, a size or a range\n"
        f"  Write values={{'{name}': 'classes'}}, values={{'{name}': 10}} or values={{'{name}': range(1, 10)}}."
    )


def _place(modules: list[torch.nn.Module]) -> tuple[torch.device, torch.dtype]:
    held: list[Tensor] = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
    floats = [tensor for tensor in held if tensor.is_floating_point()]
    device = present(held[0].device) if held else torch.device("cpu")
    return device, floats[0].dtype if floats else torch.get_default_dtype()
