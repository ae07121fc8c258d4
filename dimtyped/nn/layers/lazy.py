"""Lazy layers: torch's own until the first call gives their sizes, and typed from then on."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from dimtyped.nn.contract import (
    ROLES,
    Contract,
    Layer,
    check_arguments,
    compile_checks,
    constructor_errors_explained,
    holds_dim,
    plain,
    take_names,
)
from dimtyped.nn.layers.conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from dimtyped.nn.layers.linear import Linear
from dimtyped.nn.layers.norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)

_L = TypeVar("_L", bound="type[LazyLayer]")
_typed: dict[type[torch.nn.Module], type[LazyLayer]] = {}
"""Maps each lazy class of torch to the one that becomes typed."""


class LazyLayer(torch.nn.Module):
    """The part of a lazy layer that is ours: it keeps the names of the sizes that are known from the start."""

    contract: ClassVar[Contract]

    @property
    def _dim_names(self) -> dict[str, int]:
        """The sizes that were given as Dims, by the Dims' names."""
        names: Mapping[str, str] = self.__dict__.get(ROLES, {})
        return {name: getattr(self, self.contract.sizes[role]) for role, name in names.items()}

    @classmethod
    def _dim_check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Only the sizes are known here."""

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Initializes as torch does; parameters loaded from a checkpoint give the size that torch leaves at 0."""
        layer: Any = self
        super().initialize_parameters(*args, **kwargs)  # type: ignore[misc]  # torch's LazyModuleMixin has it
        for attribute in ("in_channels", "num_features"):
            if getattr(layer, attribute, None) == 0:
                setattr(layer, attribute, _loaded_size(layer))


def _loaded_size(layer: Any) -> int:
    """The size that a loaded parameter or statistic was made for; 0 where there is none."""
    held: Tensor | None = layer.weight if layer.weight is not None else layer.running_mean
    if held is None or not hasattr(layer, "groups"):
        return 0 if held is None else held.shape[0]
    return held.shape[0] if layer.transposed else held.shape[1] * layer.groups


def _becomes(typed: type[Layer]) -> Callable[[_L], _L]:
    """Makes a lazy layer that becomes this typed one at its first call."""

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
        if type(self) is cls:  # torch.fx and quantisers recognize torch's layers by it
            self.__dict__["__module__"] = _torch_class_of(cls).__module__
        compile_checks(typed)

    return __init__


def _torch_class_of(cls: type[LazyLayer]) -> type[torch.nn.Module]:
    return next(base for base in cls.__bases__ if base is not LazyLayer)


def is_plain_lazy(layer: torch.nn.Module) -> bool:
    """True if a layer's class is exactly a lazy class of torch."""
    return type(layer) in _typed


def retype_lazy(layer: torch.nn.Module) -> None:
    """Makes a lazy layer of exactly a torch class one that becomes typed at its first call; leaves any other alone."""
    lazy: Any = _typed.get(type(layer))
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


@_becomes(Linear)
class LazyLinear(LazyLayer, torch.nn.LazyLinear):
    """`torch.nn.LazyLinear`; becomes a typed `Linear` at its first call.

    Args: as `torch.nn.LazyLinear`; `out_features` may be a Dim.
    """


@_becomes(Conv1d)
class LazyConv1d(LazyLayer, torch.nn.LazyConv1d):
    """`torch.nn.LazyConv1d`; becomes a typed `Conv1d` at its first call.

    Args: as `torch.nn.LazyConv1d`; `out_channels` may be a Dim.
    """


@_becomes(Conv2d)
class LazyConv2d(LazyLayer, torch.nn.LazyConv2d):
    """`torch.nn.LazyConv2d`; becomes a typed `Conv2d` at its first call.

    Args: as `torch.nn.LazyConv2d`; `out_channels` may be a Dim.
    """


@_becomes(Conv3d)
class LazyConv3d(LazyLayer, torch.nn.LazyConv3d):
    """`torch.nn.LazyConv3d`; becomes a typed `Conv3d` at its first call.

    Args: as `torch.nn.LazyConv3d`; `out_channels` may be a Dim.
    """


@_becomes(ConvTranspose1d)
class LazyConvTranspose1d(LazyLayer, torch.nn.LazyConvTranspose1d):
    """`torch.nn.LazyConvTranspose1d`; becomes a typed `ConvTranspose1d` at its first call.

    Args: as `torch.nn.LazyConvTranspose1d`; `out_channels` may be a Dim.
    """


@_becomes(ConvTranspose2d)
class LazyConvTranspose2d(LazyLayer, torch.nn.LazyConvTranspose2d):
    """`torch.nn.LazyConvTranspose2d`; becomes a typed `ConvTranspose2d` at its first call.

    Args: as `torch.nn.LazyConvTranspose2d`; `out_channels` may be a Dim.
    """


@_becomes(ConvTranspose3d)
class LazyConvTranspose3d(LazyLayer, torch.nn.LazyConvTranspose3d):
    """`torch.nn.LazyConvTranspose3d`; becomes a typed `ConvTranspose3d` at its first call.

    Args: as `torch.nn.LazyConvTranspose3d`; `out_channels` may be a Dim.
    """


@_becomes(BatchNorm1d)
class LazyBatchNorm1d(LazyLayer, torch.nn.LazyBatchNorm1d):
    """`torch.nn.LazyBatchNorm1d`; becomes a typed `BatchNorm1d` at its first call.

    Args: as `torch.nn.LazyBatchNorm1d`.
    """


@_becomes(BatchNorm2d)
class LazyBatchNorm2d(LazyLayer, torch.nn.LazyBatchNorm2d):
    """`torch.nn.LazyBatchNorm2d`; becomes a typed `BatchNorm2d` at its first call.

    Args: as `torch.nn.LazyBatchNorm2d`.
    """


@_becomes(BatchNorm3d)
class LazyBatchNorm3d(LazyLayer, torch.nn.LazyBatchNorm3d):
    """`torch.nn.LazyBatchNorm3d`; becomes a typed `BatchNorm3d` at its first call.

    Args: as `torch.nn.LazyBatchNorm3d`.
    """


@_becomes(InstanceNorm1d)
class LazyInstanceNorm1d(LazyLayer, torch.nn.LazyInstanceNorm1d):
    """`torch.nn.LazyInstanceNorm1d`; becomes a typed `InstanceNorm1d` at its first call.

    Args: as `torch.nn.LazyInstanceNorm1d`.
    """


@_becomes(InstanceNorm2d)
class LazyInstanceNorm2d(LazyLayer, torch.nn.LazyInstanceNorm2d):
    """`torch.nn.LazyInstanceNorm2d`; becomes a typed `InstanceNorm2d` at its first call.

    Args: as `torch.nn.LazyInstanceNorm2d`.
    """


@_becomes(InstanceNorm3d)
class LazyInstanceNorm3d(LazyLayer, torch.nn.LazyInstanceNorm3d):
    """`torch.nn.LazyInstanceNorm3d`; becomes a typed `InstanceNorm3d` at its first call.

    Args: as `torch.nn.LazyInstanceNorm3d`.
    """
