"""Containers: transparent to names, and `Sequential`, whose layers' sizes must chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch

from dimtyped._errors import DeclarationError
from dimtyped._scope import short_repr
from dimtyped.nn._layer import Layer, has_own_forward
from dimtyped.nn._module import check_container

_T = TypeVar("_T")

_KEEPS_WIDTH = (
    torch.nn.Dropout,
    torch.nn.AlphaDropout,
    torch.nn.FeatureAlphaDropout,
    torch.nn.Identity,
    torch.nn.ReLU,
    torch.nn.ReLU6,
    torch.nn.LeakyReLU,
    torch.nn.PReLU,
    torch.nn.RReLU,
    torch.nn.ELU,
    torch.nn.CELU,
    torch.nn.SELU,
    torch.nn.GELU,
    torch.nn.SiLU,
    torch.nn.Mish,
    torch.nn.Sigmoid,
    torch.nn.LogSigmoid,
    torch.nn.Hardsigmoid,
    torch.nn.Tanh,
    torch.nn.Hardtanh,
    torch.nn.Hardswish,
    torch.nn.Tanhshrink,
    torch.nn.Hardshrink,
    torch.nn.Softshrink,
    torch.nn.Softplus,
    torch.nn.Softsign,
    torch.nn.Threshold,
    torch.nn.Softmax,
    torch.nn.LogSoftmax,
    torch.nn.Softmin,
)


class _Container(torch.nn.Module):
    """Looks at a container after each change, and takes the change back if it is refused."""

    def _dim_changed(self) -> None:
        check_container(self)

    def _dim_change(self, change: Callable[[], _T]) -> _T:
        before = dict(self._modules)
        result = change()
        try:
            self._dim_changed()
        except DeclarationError:
            self._modules = before
            raise
        return result

    def add_module(self, name: str, module: torch.nn.Module | None) -> None:
        """As torch's; refuses what gives a name a second size."""
        self._dim_change(lambda: super(_Container, self).add_module(name, module))

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, torch.nn.Module):
            self._dim_change(lambda: super(_Container, self).__setattr__(name, value))
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._dim_change(lambda: super(_Container, self).__delattr__(name))


class ModuleList(_Container, torch.nn.ModuleList):
    """`torch.nn.ModuleList`, transparent to the names of its layers."""

    def insert(self, index: int, module: torch.nn.Module) -> None:
        """As torch's; refuses what gives a name a second size."""
        self._dim_change(lambda: super(ModuleList, self).insert(index, module))

    def __delitem__(self, index: int | slice) -> None:
        self._dim_change(lambda: super(ModuleList, self).__delitem__(index))


class ModuleDict(_Container, torch.nn.ModuleDict):
    """`torch.nn.ModuleDict`, transparent to the names of its layers."""

    def __delitem__(self, key: str) -> None:
        self._dim_change(lambda: super(ModuleDict, self).__delitem__(key))

    def clear(self) -> None:
        """As torch's."""
        self._dim_change(super().clear)


class Sequential(_Container, torch.nn.Sequential):
    """`torch.nn.Sequential` whose layers' sizes must chain, as far as they are known.

    Raises:
        DeclarationError: a layer takes another size than the one before it gives; at construction, and at every later
            change.

    Example:
        >>> from dimtyped import nn
        >>> nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(30, 5))
        Traceback (most recent call last):
        dimtyped.DeclarationError: Sequential: layer 2 takes in_features=30, but layer 0 gives out_features=20
        ...
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._dim_changed()

    def _dim_changed(self) -> None:
        check_chain(self, self._modules)
        super()._dim_changed()

    def insert(self, index: int, module: torch.nn.Module) -> Sequential:
        """As torch's; refuses what does not chain."""
        return self._dim_change(lambda: super(Sequential, self).insert(index, module))

    def extend(self, sequential: Iterable[torch.nn.Module]) -> Sequential:
        """As torch's; refuses what does not chain."""
        return self._dim_change(lambda: super(Sequential, self).extend(sequential))

    def __delitem__(self, index: int | slice) -> None:
        self._dim_change(lambda: super(Sequential, self).__delitem__(index))


def check_chain(container: torch.nn.Module, layers: Mapping[str, torch.nn.Module | None]) -> None:
    """Refuses neighbours whose sizes do not chain, through what keeps the width, up to what is not known.

    Raises:
        DeclarationError: two sizes differ.
    """
    before: tuple[str, Layer] | None = None
    for key, layer in layers.items():
        if isinstance(layer, Layer) and _has_flow(layer):
            if before is not None and before[1].contract.axis == layer.contract.axis and not _is_lookup(layer):
                _check_pair(container, before, (key, layer))
            before = (key, layer) if _gives_tensor(layer) else None
        elif before is None or not _keeps(layer, before[1].contract.axis):
            before = None


def _has_flow(layer: Layer) -> bool:
    """Whether the contract tells what goes in and what comes out: not where a subclass has a `forward` of its own."""
    return layer._dim_flow is not None and has_own_forward(layer)


def _keeps(layer: torch.nn.Module | None, axis: int) -> bool:
    """Whether the size of this axis comes out as it goes in."""
    if isinstance(layer, Layer):
        return axis in layer.contract.keeps and has_own_forward(layer)
    return type(layer) in _KEEPS_WIDTH


def _is_lookup(layer: Layer) -> bool:
    """Whether what goes in are indices, which have no width."""
    return isinstance(layer, torch.nn.Embedding | torch.nn.EmbeddingBag)


def _gives_tensor(layer: Layer) -> bool:
    return not isinstance(layer, torch.nn.RNNBase | torch.nn.LSTMCell)


def _check_pair(container: torch.nn.Module, first: tuple[str, Layer], second: tuple[str, Layer]) -> None:
    gives, takes = (first[1]._dim_flow or ("", ""))[1], (second[1]._dim_flow or ("", ""))[0]
    given, taken = first[1]._dim_sizes[gives], second[1]._dim_sizes[takes]
    if given == taken:
        return
    give, take = first[1]._dim_labels[gives], second[1]._dim_labels[takes]
    name = type(container).__name__
    error = DeclarationError(
        f"{name}: layer {second[0]} takes {take}={taken}, but layer {first[0]} gives {give}={given}\n"
        f"    {first[0]}: {short_repr(first[1])}\n"
        f"    {second[0]}: {short_repr(second[1])}\n"
        f"  Give both the same size, or put a Linear({given}, {taken}) between them."
    )
    error.where, error.dim, error.expected, error.actual = name, take, given, taken
    error.hint = f"give both the same size, or put a Linear({given}, {taken}) between them"
    raise error
