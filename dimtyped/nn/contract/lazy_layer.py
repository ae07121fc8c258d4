"""Lazy layers: their base class, and the conversion from torch's and back."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from dimtyped.nn.contract.arguments import constructor_errors_explained
from dimtyped.nn.contract.contract import Contract
from dimtyped.nn.contract.families import import_family
from dimtyped.nn.contract.given_names import ROLES, holds_dim, plain, take_names
from dimtyped.nn.contract.layer import Layer, check_arguments, compile_checks
from dimtyped.runtime import WithoutInternalFrames, internal_frame

_L = TypeVar("_L", bound="type[LazyLayer]")
_typed: dict[type[torch.nn.Module], type[LazyLayer]] = {}
"""Maps each lazy class of torch to the one that becomes typed."""


class LazyLayer(torch.nn.Module):
    """The base of the lazy layers: it keeps the names of the sizes that are known from the start."""

    contract: ClassVar[Contract]

    @property
    def _dim_names(self) -> dict[str, int]:
        """The sizes that were given as Dims, by the Dims' names."""
        names: Mapping[str, str] = self.__dict__.get(ROLES, {})
        return {name: getattr(self, self.contract.sizes[role]) for role, name in names.items()}

    @classmethod
    def _dim_check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Checks nothing: a lazy layer knows only some of its sizes."""

    @WithoutInternalFrames()
    @internal_frame
    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Initializes as torch does; parameters loaded from a checkpoint give the size that torch leaves at 0."""
        layer: Any = self
        super().initialize_parameters(*args, **kwargs)  # type: ignore[misc]  # torch's LazyModuleMixin has it
        for attribute in ("in_channels", "num_features"):
            if getattr(layer, attribute, None) == 0:
                setattr(layer, attribute, _loaded_size(layer))


def _loaded_size(layer: Any) -> int:
    """The size that a loaded parameter or statistic was made for; 0 if there is none."""
    held: Tensor | None = layer.weight if layer.weight is not None else layer.running_mean
    if held is None or not hasattr(layer, "groups"):
        return 0 if held is None else held.shape[0]
    return held.shape[0] if layer.transposed else held.shape[1] * layer.groups


def becomes(typed: type[Layer]) -> Callable[[_L], _L]:
    """Declares a lazy layer class that becomes this typed one at its first call."""

    def decorate(cls: _L) -> _L:
        cls.contract = typed.contract
        cls.cls_to_become = typed  # type: ignore[attr-defined]  # torch's LazyModuleMixin reads it
        cls.__init__ = _taking_dims(cls, typed)
        _typed[_torch_class_of(cls)] = cls
        return cls

    return decorate


def _taking_dims(cls: type[LazyLayer], typed: type[Layer]) -> Callable[..., None]:
    torch_init: Any = cls.__init__
    signature = inspect.signature(torch_init)

    @functools.wraps(torch_init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        given = dict(signature.bind(self, *args, **kwargs).arguments)
        del given["self"]
        check_arguments(cls, given)
        if any(holds_dim(value) for value in given.values()):
            take_names(self, given)
            args = tuple(plain(value) for value in args)
            kwargs = {key: plain(value) for key, value in kwargs.items()}
        with constructor_errors_explained(cls.__name__, given):
            torch_init(self, *args, **kwargs)
        if type(self) is cls:  # torch.fx and quantizers recognize torch's layers by it
            self.__dict__["__module__"] = _torch_class_of(cls).__module__
        compile_checks(typed)

    return __init__


def _torch_class_of(cls: type[LazyLayer]) -> type[torch.nn.Module]:
    return next(base for base in cls.__bases__ if base is not LazyLayer)


def _typed_lazy_class_of(cls: type[torch.nn.Module]) -> type[LazyLayer] | None:
    import_family(cls.__name__)
    return _typed.get(cls)


def is_plain_lazy(layer: torch.nn.Module) -> bool:
    """True if a layer's class is exactly a lazy class of torch."""
    return _typed_lazy_class_of(type(layer)) is not None


def retype_lazy(layer: torch.nn.Module) -> None:
    """Makes a lazy layer of exactly a torch class one that becomes typed at its first call; leaves any other alone."""
    lazy: Any = _typed_lazy_class_of(type(layer))
    if lazy is not None:
        layer.__dict__["__module__"] = type(layer).__module__
        layer.__class__ = lazy
        compile_checks(lazy.cls_to_become)


def untype_lazy(layer: torch.nn.Module) -> None:
    """Makes a lazy layer torch's own again; leaves any other alone."""
    cls: Any = type(layer)
    if cls in _typed.values():
        layer.__class__ = _torch_class_of(cls)
        for name in ("__module__", ROLES):
            layer.__dict__.pop(name, None)
