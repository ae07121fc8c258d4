"""A typed layer: a declaration, and the torch class under it.

A layer's file declares its sizes, its inputs and output, and its parameters, by name. From the declaration come the
check around torch's own `forward`, the check of each assigned parameter, and the text of its `repr` and its errors.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor

from dimtyped.annotations import size_at
from dimtyped.engine import (
    ALWAYS,
    CallForms,
    Declaration,
    Deferral,
    Form,
    Predicate,
    Raised,
    entry_of,
    ignore_tracer_warnings,
    prepare,
    wrap,
)
from dimtyped.errors import DimensionError
from dimtyped.names import SWITCHES, is_scope, is_switched_off, resync, switches_of, tell_holders
from dimtyped.nn.contract.arguments import (
    check_counts,
    check_lengths,
    check_sizes,
    constructor_errors_explained,
    named_arguments,
)
from dimtyped.nn.contract.call_forms import Inputs
from dimtyped.nn.contract.checkpoint import explain_sizes
from dimtyped.nn.contract.contract import Contract
from dimtyped.nn.contract.documentation import LayerDoc
from dimtyped.nn.contract.families import import_all_families, import_family
from dimtyped.nn.contract.given_names import ROLES, holds_dim, plain, take_names
from dimtyped.nn.contract.layer_rules import LayerRules
from dimtyped.nn.contract.parameters import check_assignment, made_by_torch
from dimtyped.nn.contract.torch_errors import TORCH_ERRORS, explained
from dimtyped.nn.methods import enforce_by_others
from dimtyped.nn.tying import TiedParametersMixin, parameter_became_tensor
from dimtyped.runtime import WithoutInternalFrames, internal_frame, is_tracing, mode, on_change, strip_internal_frames

_L = TypeVar("_L", bound="type[Layer]")
_layers: list[type[Layer]] = []
_callbacks: list[Callable[[type[Layer]], None]] = []
_switchable: set[type[Layer]] = set()
"""The classes of which a layer's checks were switched off once: from then on each call of theirs asks for it."""


class Layer(TiedParametersMixin):
    """The base of every typed layer. It comes before torch's class among the bases."""

    contract: ClassVar[Contract]
    _dim_unchecked: bool = False
    """True on a layer whose checks are switched off."""
    _dim_hooks: ClassVar[Mapping[str, Callable[..., Any]]] = {}
    """Torch methods that check arguments, by name, each with its replacement."""

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]  # torch declares Any; the few layers with another result declare it

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        enforce_by_others(cls, sys._getframe(1))

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, torch.nn.Parameter):
            with WithoutInternalFrames():
                check_assignment(self, name, value)  # before torch drops the old attribute of this name
        super().__setattr__(name, value)
        if type(value) is int and name in _attributes_of_sizes(type(self)) and not is_tracing():
            if is_scope(self):
                resync(self)
            tell_holders(self)
        if isinstance(value, Tensor) and not is_tracing() and name not in self._parameters:
            parameter_became_tensor(self, name)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        if SWITCHES in self.__dict__:
            self.__dict__[SWITCHES] = switches_of(self).lasting
            follow_switches(self)

    @internal_frame
    def register_parameter(self, name: str, param: torch.nn.Parameter | None) -> None:
        """Registers a parameter as torch does; raises if its shape is not the declared one."""
        if param is not None:
            with WithoutInternalFrames():
                check_assignment(self, name, param)
        super().register_parameter(name, param)

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        explain_sizes(self, state_dict, prefix, error_msgs, typed_class_of)

    def _slow_forward(self, *args: Any, **kwargs: Any) -> Any:
        """Runs torch's own `forward` while torch.jit traces, because each comparison of a check would emit a TracerWarning."""
        owner = next((cls for cls in type(self).__mro__ if "forward" in vars(cls)), None)
        if owner not in _layers or "forward" in self.__dict__:
            with warnings.catch_warnings():
                ignore_tracer_warnings()
                return super()._slow_forward(*args, **kwargs)
        self.__dict__["forward"] = types.MethodType(inspect.unwrap(self.forward), self)
        try:
            return super()._slow_forward(*args, **kwargs)
        finally:
            del self.__dict__["forward"]

    def extra_repr(self) -> str:
        """Torch's text, with the names of the dimensions if some were given."""
        text = super().extra_repr()
        return arrow_repr(self, text) if self._dim_names else text

    @classmethod
    def _dim_check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Checks the constructor's arguments that only this layer has."""

    @classmethod
    def _dim_checked(cls, torch_forward: Callable[..., Any]) -> Callable[..., Any]:
        """Torch's `forward` with the contract's check before it."""
        return check_before(cls, torch_forward, *cls.contract.calls)

    @property
    def _dim_names(self) -> dict[str, int]:
        """The sizes that were given as Dims, by the Dims' names."""
        names: Mapping[str, str] = self.__dict__.get(ROLES, {})
        return {names[role]: size for role, size in self._dim_sizes.items() if role in names}

    @property
    def _dim_sizes(self) -> dict[str, int]:
        """The size of each of the contract's names."""
        return {role: size_at(self, path) for role, path in self.contract.sizes.items()}

    @property
    def _dim_labels(self) -> dict[str, str]:
        """The label of each of the contract's names in errors: the name of the Dim, if one was given."""
        names: Mapping[str, str] = self.__dict__.get(ROLES, {})
        return {role: names.get(role, role) for role in self._dim_sizes}

    def _dim_parameter_axes(self, name: str) -> str | None:
        """The axes that a parameter of this name must have; None if nothing is declared."""
        return self.contract.parameters.get(name)

    @property
    def _dim_flow(self) -> tuple[str, str] | None:
        """The names of the input's and the output's size, for the layers before and after."""
        return self.contract.flow

    def _dim_text(self) -> str:
        """The layer in an error: `GRU(embed=128 -> hidden=256)`."""
        return f"{type(self).__name__}({self._dim_arrow()})"

    def _dim_arrow(self) -> str:
        """The sizes of the input and the output: `embed=128 -> hidden=256`."""
        labels, sizes = self._dim_labels, self._dim_sizes
        separator = " -> " if self.contract.flow else ", "
        shown = [role for role in dict.fromkeys(self.contract.flow or sizes) if role in sizes]
        return separator.join(f"{labels[role]}={sizes[role]}" for role in shown)


def declares(*, inputs: Inputs | None = None, output: Any = None, **declaration: Any) -> Callable[[_L], _L]:
    """Makes a layer of a class: gives it its contract, its constructor and its checked `forward`.

    Args:
        inputs: The annotation of each parameter, for a layer with one call form.
        output: The annotation of the output of that form.
        **declaration: The fields of the contract.
    """
    if inputs is not None:
        declaration["calls"] = (Form(inputs, output),)

    def decorate(cls: _L) -> _L:
        cls.contract = Contract(**declaration)
        if "__init__" not in vars(cls):
            cls.__init__ = _taking_dims(cls)
        made: Any = cls
        has_parameters = bool(cls.contract.parameters) or cls._dim_parameter_axes is not Layer._dim_parameter_axes
        made.__doc__ = LayerDoc(cls.__doc__, has_parameters=has_parameters)
        made.__jit_unused_properties__ = [name for base in cls.__mro__ for name in _properties_of(base)]
        _layers.append(cls)
        install(cls)
        for callback in _callbacks:
            callback(cls)
        return cls

    return decorate


@functools.cache
def _attributes_of_sizes(cls: type[Layer]) -> frozenset[str]:
    """The attributes of a layer that hold a size of its contract."""
    return frozenset(cls.contract.sizes.values()) if hasattr(cls, "contract") else frozenset()


@functools.cache
def _properties_of(cls: type) -> tuple[str, ...]:
    """The properties that a class itself defines, which TorchScript would otherwise compile."""
    return tuple(name for name, value in vars(cls).items() if isinstance(value, property))


def install(cls: type[Layer]) -> None:
    """Gives the class the `forward` of the mode in force: a check before torch's, or torch's own."""
    for name in ("forward", *cls._dim_hooks):
        if name in vars(cls):
            delattr(cls, name)
    if mode() != "off":
        torch_forward = cls.forward
        cls.forward = _switched(cls, cls._dim_checked(torch_forward), torch_forward)
        for name, hook in cls._dim_hooks.items():
            made = types.FunctionType(
                hook.__code__, hook.__globals__, name
            )  # TorchScript compiles the wrapped function
            torch_hook = getattr(cls, name)
            setattr(cls, name, _switched(cls, functools.update_wrapper(made, torch_hook), torch_hook))


def follow_switches(layer: Layer) -> None:
    """Lets a layer's calls follow its switches: its class asks for them from now on."""
    is_off = is_switched_off(layer, "forward")
    for cls in type(layer).__mro__ if is_off else ():
        if cls in _layers and cls not in _switchable:
            _switchable.add(cls)
            install(cls)
            compile_checks(cls)
    if is_off:
        layer.__dict__["_dim_unchecked"] = True
    else:
        layer.__dict__.pop("_dim_unchecked", None)


def _switched(cls: type[Layer], checked: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    """The checked method, or once a layer of the class was switched off, one that first asks which of the two to call."""
    if cls not in _switchable:
        return checked

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._dim_unchecked:
            return plain(self, *args, **kwargs)
        try:
            return checked(self, *args, **kwargs)
        except BaseException as error:
            if not is_tracing():
                strip_internal_frames(error)
            raise

    return functools.update_wrapper(method, checked)


def check_before(
    cls: type[Layer],
    function: Callable[..., Any],
    *calls: Form,
    translate_error: tuple[tuple[type[Exception], ...], Callable[[Raised], Exception]] | None = None,
    error: type[DimensionError] | None = None,
) -> types.FunctionType:
    """A wrapper of `function` that checks its arguments by these call forms and the layer's sizes.

    It checks before the call, or with `check_after_error` after the call has raised.
    """
    contract = cls.contract
    explains = contract.violations is not None or cls._dim_parameter_axes is not Layer._dim_parameter_axes
    if translate_error is None and (explains or contract.parameters):
        translate_error = (TORCH_ERRORS, explained)
    usual = next(form for form in calls if form.when is None)
    rules = LayerRules(
        attributes={name: contract.derived.get(path, path) for name, path in contract.sizes.items()},
        annotations=usual.inputs,
        forms=CallForms(calls, deferral(contract.check_after_error, in_traces=contract.refuses_in_traces)),
        error=error or contract.error,
        rank_error=contract.rank_error,
    )
    if translate_error is not None:
        rules.translated, rules.translate_error = translate_error
    wrapper: Any = wrap(Declaration(function, is_method=True, by_reference=mode() == "reference", rules=rules))
    checked = entry_of(wrapper)
    wrapper._dim_entries = tuple(each for each in checked.forms.fallback if each is not None) if checked else ()
    return wrapper


def deferral(condition: Predicate | None, *, in_traces: bool = False) -> Deferral | None:
    """When a check waits for torch's error; never where kernels of Apple's Metal end the process (pytorch/pytorch#84591)."""
    if condition is None or torch.backends.mps.is_available():
        return None
    return Deferral(condition, traces_too=in_traces or condition == ALWAYS)


def layer_classes() -> tuple[type[Layer], ...]:
    """Every typed layer class; imports every family."""
    import_all_families()
    return tuple(_layers)


def each_layer_class(callback: Callable[[type[Layer]], None]) -> None:
    """Calls `callback(cls)` for every typed layer class that is imported, and for each other one once it is."""
    for cls in _layers:
        callback(cls)
    _callbacks.append(callback)


def typed_class_of(cls: type[torch.nn.Module]) -> type[Layer] | None:
    """The typed class of exactly this torch class, if there is one; imports its family."""
    import_family(cls.__name__)
    return next((typed for typed in _layers if typed.__name__ == cls.__name__ and cls in typed.__bases__), None)


def torch_class_of(cls: type[torch.nn.Module]) -> type[torch.nn.Module] | None:
    """The torch class of a typed layer class, if it has exactly one."""
    if cls not in _layers:
        return None
    return next((base for base in cls.__bases__ if base.__name__ == cls.__name__), None)


def has_own_forward(layer: Layer) -> bool:
    """True if no user's subclass has its own `forward`, so that the contract describes a call."""
    definer = next(base for base in type(layer).__mro__ if "forward" in vars(base))
    return definer in _layers or definer.__module__.startswith(("torch.nn.modules.", "dimtyped.nn."))


def reinstall() -> None:
    """Applies a change of mode to every layer class."""
    for cls in _layers:
        install(cls)


on_change(reinstall)


def _taking_dims(cls: type[Layer]) -> Callable[..., None]:
    """Torch's constructor, which never sees a Dim: torch keeps plain ints, and the names are stored beside them."""
    torch_init: Any = cls.__init__

    @internal_frame
    @functools.wraps(torch_init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # it becomes the class's
        given = named_arguments(_parameters_of(torch_init), args, kwargs)
        if given is not None:
            with WithoutInternalFrames():
                check_arguments(cls, given)
        if given is not None and any(holds_dim(value) for value in given.values()):
            take_names(self, given)
            args = tuple(plain(value) for value in args)
            kwargs = {key: plain(value) for key, value in kwargs.items()}
        contract = cls.contract
        explaining = constructor_errors_explained(cls.__name__, given, contract.multiples, contract.sizes.values())
        with WithoutInternalFrames(), explaining, made_by_torch(self):
            torch_init(self, *args, **kwargs)
        make_ready(self, cls)

    return __init__


@functools.cache
def _parameters_of(torch_init: Callable[..., None]) -> tuple[str, ...]:
    """The parameters of a constructor, without `self`. Read when a layer is made, since few models use all layers."""
    return tuple(inspect.signature(torch_init).parameters)[1:]


def check_arguments(cls: Any, arguments: Mapping[str, Any]) -> None:
    """Rejects arguments that cannot work, before torch's constructor draws a weight."""
    contract = cls.contract
    check_sizes(cls.__name__, (*contract.sizes.values(), *contract.arguments), arguments)
    check_counts(cls.__name__, contract.counts, arguments, contract.words)
    if "kernel_size" in arguments:
        check_lengths(cls.__name__, -contract.axis - 1, arguments, is_weight=bool(contract.sizes))
    cls._dim_check_arguments(arguments)


def make_ready(layer: torch.nn.Module, cls: type[Layer]) -> None:
    """Finishes a layer of class `cls` or of a subclass, however it was made.

    torch.fx, TorchDynamo and quantizers recognize torch's own layers by the `__module__` of the layer. So a layer of
    exactly a typed class has torch's `__module__`; its class keeps its own, which pickling needs.
    """
    plain_class = torch_class_of(type(layer))
    if plain_class is not None:
        layer.__dict__["__module__"] = plain_class.__module__
    compile_checks(cls)


def compile_checks(cls: type[Layer]) -> None:
    """Compiles the layer's checks when it is first made, so that no trace has to."""
    function: Any = vars(cls).get("forward")
    for entry in (entry_of(function), *getattr(function, "_dim_entries", ())):
        if entry is not None and entry.call is None:
            prepare(entry, None)


def arrow_repr(layer: Layer, text: str) -> str:
    """Torch's own `extra_repr`, its sizes replaced by `embed=128 -> hidden=256`."""
    shown = layer.contract.flow or tuple(layer.contract.sizes)
    sizes = {path: str(layer._dim_sizes[role]) for role, path in layer.contract.sizes.items() if role in shown}
    known = {*sizes.values(), *(f"{path}={size}" for path, size in sizes.items())}
    rest = [part for part in text.split(", ") if part and part not in known]
    return ", ".join([layer._dim_arrow(), *rest])
