"""Containers, which are transparent to names, and `Sequential`, whose layers' sizes must match.

A change is checked as a whole after it is made, and undone if the check fails.
"""

from __future__ import annotations

import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Self, TypeVar

import torch

from dimtyped.nn.contract import check_chain
from dimtyped.nn.methods import enforce_by_others
from dimtyped.nn.module import check_added, check_container
from dimtyped.nn.replaced_layers import inherit_names
from dimtyped.runtime import WithoutInternalFrames, is_tracing

_T = TypeVar("_T")
_CHANGING = "_dim_changing"
_OF_CONSTRUCTION = ("_dim_changed", "_dim_change", "__init__")


class _Container(torch.nn.Module):
    """Checks a container after each change, and undoes the change if the check fails."""

    _dim_held: Collection[str] = ()
    """The methods of torch's that a class has itself, because a trace guards each class in which it looks for one in vain."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        enforce_by_others(cls, sys._getframe(1))
        for name in cls._dim_held:  # another base of a user's class may have its own
            others = (vars(base) for base in cls.__mro__ if "_dim_held" not in vars(base))
            method = next(members[name] for members in others if name in members)
            if getattr(cls, name) is not method or "_dim_held" in vars(cls):
                setattr(cls, name, method)

    def _dim_changed(self, added: str | None = None) -> None:
        if added is None:
            check_container(self)
        else:
            check_added(self, added)

    def _dim_change(self, change: Callable[[], _T], added: str | None = None) -> _T:
        """Makes a change and checks it. A nested change is checked with the outer one; a trace is not checked.

        `added` is the key of a layer where nothing else changes.
        """
        if is_tracing() or _CHANGING in self.__dict__:
            return change()
        before = None if added is not None else dict(self.__dict__.get("_modules", {}))
        is_done = False
        self.__dict__[_CHANGING] = True
        try:
            result = change()
            if before is not None:
                self._dim_inherit(before)
            self._dim_changed(added)
            is_done = True
        finally:
            del self.__dict__[_CHANGING]
            if not is_done and "_modules" in self.__dict__:
                self._dim_undo(before, added)
        return result

    def _dim_undo(self, before: Mapping[str, torch.nn.Module | None] | None, added: str | None) -> None:
        if before is None:
            self._modules.pop(str(added), None)
        else:
            self._modules.clear()
            self._modules.update(before)

    def _dim_inherit(self, before: Mapping[str, torch.nn.Module | None]) -> None:
        """Gives a new layer the names of the one that it replaces, unless the container still holds that one."""
        kept, held = {id(layer) for layer in before.values()}, {id(layer) for layer in self._modules.values()}
        for key, layer in self._modules.items():
            if id(layer) not in kept and id(before.get(key)) not in held:
                inherit_names(before.get(key), layer)

    @WithoutInternalFrames()
    def add_module(self, name: str, module: torch.nn.Module | None) -> None:
        """Adds a child as torch does; raises if it does not fit."""
        is_new = name not in self.__dict__.get("_modules", ())
        self._dim_change(lambda: super(_Container, self).add_module(name, module), added=name if is_new else None)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, torch.nn.Module) or name in self.__dict__.get("_modules", ()):
            self._dim_change(lambda: super(_Container, self).__setattr__(name, value))
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._dim_change(lambda: super(_Container, self).__delattr__(name))


class _Listed(_Container):
    """The base of `Sequential` and `ModuleList`, whose layers are numbered."""

    def _dim_set_slice(self, index: slice, modules: Iterable[torch.nn.Module]) -> None:
        layers = list(self._modules.values())
        layers[index] = list(modules)
        kept = list(self._modules) if len(layers) == len(self._modules) else map(str, range(len(layers)))
        named = list(zip(kept, layers, strict=True))
        self._modules.clear()
        for key, layer in named:
            torch.nn.Module.add_module(self, key, layer)


class ModuleList(_Listed, torch.nn.ModuleList):
    """`torch.nn.ModuleList`, transparent to the names of its layers.

    Raises:
        DeclarationError: at a change that gives a name a second size in the module that holds the list.
    """

    @WithoutInternalFrames()
    def __init__(self, modules: Iterable[torch.nn.Module] | None = None) -> None:
        self._dim_change(lambda: super(ModuleList, self).__init__(modules))

    @WithoutInternalFrames()
    def insert(self, index: int, module: torch.nn.Module) -> None:
        """Does as torch's method does."""
        self._dim_change(lambda: super(ModuleList, self).insert(index, module))

    @WithoutInternalFrames()
    def extend(self, modules: Iterable[torch.nn.Module]) -> ModuleList:
        """Does as torch's method does."""
        return self._dim_change(lambda: super(ModuleList, self).extend(modules))

    @WithoutInternalFrames()
    def __setitem__(self, index: int | slice, module: Any) -> None:
        if isinstance(index, slice):
            self._dim_change(lambda: self._dim_set_slice(index, module))
        else:
            self._dim_change(lambda: super(ModuleList, self).__setitem__(index, module))

    @WithoutInternalFrames()
    def __delitem__(self, index: int | slice) -> None:
        self._dim_change(lambda: super(ModuleList, self).__delitem__(index))

    def __add__(self, other: Iterable[torch.nn.Module]) -> ModuleList:
        return ModuleList(super().__add__(other))


class ModuleDict(_Container, torch.nn.ModuleDict):
    """`torch.nn.ModuleDict`, transparent to the names of its layers.

    Raises:
        DeclarationError: at a change that gives a name a second size in the module that holds the dict.
    """

    @WithoutInternalFrames()
    def __init__(self, modules: Mapping[str, torch.nn.Module] | None = None) -> None:
        self._dim_change(lambda: super(ModuleDict, self).__init__(modules))

    @WithoutInternalFrames()
    def update(self, modules: Mapping[str, torch.nn.Module]) -> None:
        """Does as torch's method does."""
        self._dim_change(lambda: super(ModuleDict, self).update(modules))

    @WithoutInternalFrames()
    def __delitem__(self, key: str) -> None:
        self._dim_change(lambda: super(ModuleDict, self).__delitem__(key))

    def clear(self) -> None:
        """Does as torch's method does."""
        self._dim_change(super().clear)


class Sequential(_Listed, torch.nn.Sequential):
    """`torch.nn.Sequential` whose layers' sizes must match, if they are known.

    Activations, dropout and normalizations keep the size before them; inner Sequentials are included. A module of unknown
    sizes, such as a `Flatten`, a module of your own or a layer with hooks, ends the comparison. A subclass with its own
    `forward` is not checked.

    Raises:
        DeclarationError: at construction and at every later change, for a layer that takes another size than the layer
            before it gives.

    Example:
        >>> from dimtyped import nn
        >>> nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(30, 5))
        Traceback (most recent call last):
        dimtyped.DeclarationError: Sequential: layer 2 takes in_features=30, but layer 0 gives out_features=20
        ...
    """

    _dim_held = ("forward", "__iter__")

    def __init__(self, *args: Any) -> None:
        if is_tracing():
            super().__init__(*args)
            return
        with WithoutInternalFrames():
            self._dim_change(lambda: super(Sequential, self).__init__(*args))

    def _dim_changed(self, added: str | None = None) -> None:
        if not _is_slicing():
            check_chain(self, added)
        super()._dim_changed(added)

    @WithoutInternalFrames()
    def insert(self, index: int, module: torch.nn.Module) -> Sequential:
        """Adds layers as torch does; raises if their sizes do not match."""
        return self._dim_change(lambda: super(Sequential, self).insert(index, module))

    @WithoutInternalFrames()
    def extend(self, sequential: Iterable[torch.nn.Module]) -> Sequential:
        """Adds layers as torch does; raises if their sizes do not match."""
        return self._dim_change(lambda: super(Sequential, self).extend(sequential))

    @WithoutInternalFrames()
    def __setitem__(self, index: int | slice, module: Any) -> None:
        if isinstance(index, slice):
            self._dim_change(lambda: self._dim_set_slice(index, module))
        else:
            self._dim_change(lambda: super(Sequential, self).__setitem__(index, module))

    @WithoutInternalFrames()
    def __delitem__(self, index: int | slice) -> None:
        self._dim_change(lambda: super(Sequential, self).__delitem__(index))

    def __add__(self, other: torch.nn.Sequential) -> Sequential:
        return Sequential(OrderedDict(super().__add__(other)._modules))

    @WithoutInternalFrames()
    def __iadd__(self, other: torch.nn.Sequential) -> Self:
        return self._dim_change(lambda: super(Sequential, self).__iadd__(other))

    def __mul__(self, other: int) -> Sequential:
        return Sequential(OrderedDict(super().__mul__(other)._modules))

    def __rmul__(self, other: int) -> Sequential:
        return self * other

    def __imul__(self, other: int) -> Self:
        return self._dim_change(lambda: super(Sequential, self).__imul__(other))


def _is_slicing() -> bool:
    """True if torch's `__getitem__` makes a slice of a Sequential: its layers, such as every second one, need not fit together."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_name in _OF_CONSTRUCTION:
        frame = frame.f_back
    return frame is not None and frame.f_code is torch.nn.Sequential.__getitem__.__code__
