"""What every typed layer is made of: a declaration, and the torch class under it.

A layer's file declares its sizes, what goes in and comes out, and its parameters, by name. From that come
the check before torch's own `forward`, the check of each assigned parameter, the text of its `repr` and
of every error about it.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import torch
from torch.nn.parameter import UninitializedParameter

from dimtyped import _config
from dimtyped._dims import Dim
from dimtyped._entry import Entry
from dimtyped._errors import DimensionError
from dimtyped._typed import entry_of, wrap
from dimtyped.nn import _parameters, _ties

_L = TypeVar("_L", bound="type[Layer]")
ROLES = "_dim_roles"
_layers: list[type[Layer]] = []


@dataclass(frozen=True)
class Contract:
    """A layer in names.

    Args:
        sizes: Each name, and the attribute (and constructor argument) that holds its size.
        inputs: The annotation of each parameter of `forward`.
        output: The annotation of what comes out; torch sees to it, so it is not checked.
        parameters: The axes of each parameter: `{"weight": "vocab embed"}`.
        flow: Which name goes in and which comes out, along `axis`; what `repr` and `Sequential` read.
        axis: The axis of the features, counted from the end. Default: the last.
        error: The kind of DimensionError, where torch raises something that code may catch.
    """

    sizes: Mapping[str, str]
    inputs: Mapping[str, Any]
    output: Any = None
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    flow: tuple[str, str] | None = None
    axis: int = -1
    error: type[DimensionError] = DimensionError


class Layer(torch.nn.Module):
    """The part of a typed layer that is ours. Comes before torch's class among the bases."""

    contract: ClassVar[Contract]
    _dim_hooks: ClassVar[Mapping[str, Callable[..., Any]]] = {}
    """Torch's own argument checks that ours stand in for: the method's name, and what replaces it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, torch.nn.Parameter) and not isinstance(value, UninitializedParameter):
            _parameters.check_assignment(self, name, value)
            super().__setattr__(name, value)
            _parameters.remember(self, name, value)
        else:
            super().__setattr__(name, value)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        before = dict(self._parameters)
        result = super()._apply(fn, recurse)
        _ties.rejoin_converted(self, before)
        return result

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
        load = _ties.Loading(self, state_dict, prefix, missing_keys, error_msgs)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        _parameters.explain_sizes(self, state_dict, prefix, error_msgs)
        load.rejoin()

    def extra_repr(self) -> str:
        text = super().extra_repr()
        return arrow_repr(self, text) if self._dim_names else text

    @classmethod
    def _dim_checked(cls, torch_forward: Callable[..., Any]) -> Callable[..., Any]:
        """Torch's `forward` with the contract's check before it."""
        return check_before(cls, torch_forward, cls.contract.inputs)

    @property
    def _dim_names(self) -> dict[str, int]:
        """The sizes that were given as Dims, by the Dims' names."""
        names: Mapping[str, str] = self.__dict__.get(ROLES, {})
        return {names[role]: size for role, size in self._dim_sizes.items() if role in names}

    @property
    def _dim_sizes(self) -> dict[str, int]:
        """The size of each of the contract's names."""
        return {role: getattr(self, attribute) for role, attribute in self.contract.sizes.items()}

    @property
    def _dim_labels(self) -> dict[str, str]:
        """What errors call each of the contract's names: the Dim's name where one was given."""
        names: Mapping[str, str] = self.__dict__.get(ROLES, {})
        return {role: names.get(role, role) for role in self.contract.sizes}

    def _dim_parameter_axes(self, name: str) -> str | None:
        """The axes that a parameter of this name must have; None where nothing is declared."""
        return self.contract.parameters.get(name)

    def _dim_text(self) -> str:
        """The layer in an error: `GRU(embed=128 -> hidden=256)`."""
        return f"{type(self).__name__}({self._dim_arrow()})"

    def _dim_arrow(self) -> str:
        """What goes in and what comes out: `embed=128 -> hidden=256`."""
        labels, sizes = self._dim_labels, self._dim_sizes
        return " -> ".join(f"{labels[role]}={sizes[role]}" for role in self.contract.flow or tuple(sizes))


def declares(**declaration: Any) -> Callable[[_L], _L]:
    """Makes a layer of a class: gives it its contract, its constructor and its checked `forward`."""

    def decorate(cls: _L) -> _L:
        cls.contract = Contract(**declaration)
        if "__init__" not in vars(cls):
            cls.__init__ = _taking_dims(cls)
        cls.__jit_unused_properties__ = [name for name in dir(cls) if isinstance(getattr(cls, name), property)]
        _layers.append(cls)
        install(cls)
        return cls

    return decorate


def install(cls: type[Layer]) -> None:
    """Gives the class the `forward` of the mode in force: a check before torch's, or torch's own."""
    for name in ("forward", *cls._dim_hooks):
        if name in vars(cls):
            delattr(cls, name)
    if _config.mode() != "off":
        cls.forward = cls._dim_checked(cls.forward)
        for name, hook in cls._dim_hooks.items():
            made = types.FunctionType(hook.__code__, hook.__globals__, name)  # TorchScript compiles what it stands for
            setattr(cls, name, functools.update_wrapper(made, getattr(cls, name)))


def check_before(
    cls: type[Layer], function: Callable[..., Any], annotations: Mapping[str, Any], **options: Any
) -> types.FunctionType:
    """A wrapper of `function` that first checks its arguments by these annotations and the layer's sizes."""
    options.setdefault("error", cls.contract.error)
    return wrap(
        Entry(
            function,
            annotations=annotations,
            attributes=cls.contract.sizes,
            is_method=True,
            reference=_config.mode() == "reference",
            **options,
        )
    )


def typed_class_of(cls: type[torch.nn.Module]) -> type[Layer] | None:
    """The typed class that stands for exactly this torch class, if there is one."""
    return next((typed for typed in _layers if typed.__name__ == cls.__name__ and cls in typed.__bases__), None)


def torch_class_of(cls: type[torch.nn.Module]) -> type[torch.nn.Module] | None:
    """The torch class that a typed layer class stands for, if it is exactly one."""
    if cls not in _layers:
        return None
    return next((base for base in cls.__bases__ if base.__name__ == cls.__name__), None)


def reinstall() -> None:
    """Follows a change of mode, for every layer class."""
    for cls in _layers:
        install(cls)


_config.on_change(reinstall)


def take_names(layer: torch.nn.Module, arguments: Mapping[str, Any]) -> None:
    """Notes on the layer which of its sizes were given as Dims, by the contract's names."""
    cls: Any = type(layer)
    roles = {attribute: role for role, attribute in cls.contract.sizes.items()}
    names = {roles[key]: value.name for key, value in arguments.items() if key in roles and isinstance(value, Dim)}
    layer.__dict__[ROLES] = {**layer.__dict__.get(ROLES, {}), **names}


def _taking_dims(cls: type[Layer]) -> Callable[..., None]:
    """Torch's constructor, which never sees a Dim: torch keeps plain ints, and the names are noted beside them."""
    torch_init: Any = cls.__init__
    signature = inspect.signature(torch_init)

    @functools.wraps(torch_init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if any(isinstance(value, Dim) for value in (*args, *kwargs.values())):
            take_names(self, signature.bind(self, *args, **kwargs).arguments)
            args = tuple(plain(value) for value in args)
            kwargs = {key: plain(value) for key, value in kwargs.items()}
        torch_init(self, *args, **kwargs)
        make_ready(self, cls)

    return __init__


def make_ready(layer: torch.nn.Module, cls: type[Layer]) -> None:
    """The last step of making a layer of class `cls`, or of one below it, in whatever way.

    torch.fx, TorchDynamo and quantisers know torch's own layers by the name of their module, read from the layer. So a
    layer of exactly our class has torch's there; its class has ours, which pickling needs.
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
            entry.prepare(None, replace=True)


def plain(value: Any) -> Any:
    """A Dim as a plain int, also inside a tuple such as a kernel size."""
    if isinstance(value, Dim):
        return int(value)
    return tuple(plain(item) for item in value) if type(value) is tuple else value


def arrow_repr(layer: Layer, text: str) -> str:
    """Torch's own `extra_repr`, its sizes replaced by `embed=128 -> hidden=256`."""
    sizes = [str(size) for size in layer._dim_sizes.values()]
    sizes += [f"{attribute}={getattr(layer, attribute)}" for attribute in layer.contract.sizes.values()]
    rest = [part for part in text.split(", ") if part not in sizes]
    return ", ".join([layer._dim_arrow(), *rest])
