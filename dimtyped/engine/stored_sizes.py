"""The Dims that a module and torch's own layers in it store: plain ints once the module is made.

TorchDynamo compares subclasses of int wrongly, so none is left. While a constructor runs, a layer keeps them: what is made
from `self.embedding.embedding_dim` has the name too.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch

from dimtyped.names import BUILDING, MANAGED, TELLS_CHANGES, Dim, all_holders_of, plain
from dimtyped.runtime import members_of

_OF_TORCH = "torch."
_CLOSED = (_OF_TORCH, "dimtyped.nn.")
_CONTAINERS = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)

_settled: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()
"""The modules in which no layer has a Dim, and none can be added untold. What lies in them is not looked at again."""


def settle_sizes(module: torch.nn.Module) -> None:
    """Turns the Dims stored on a module that is made, and on torch's own layers in it, into plain ints."""
    for name, value in list(module.__dict__.items()):
        if isinstance(value, Dim):
            module.__dict__[name] = int(value)
    members = _members(module)
    for layer in _with_dims(members):
        _make_plain(layer)
    if all(map(_tells, members)):
        _settle(module)


def settle_added(module: torch.nn.Module, value: torch.nn.Module) -> None:
    """Does the same for what is added to a module that is made; within a constructor above, that one's end does it."""
    members = _members(value)
    layers = _with_dims(members)
    is_within = any(BUILDING in above.__dict__ for above in all_holders_of(module)) if layers else False
    if not is_within:
        for layer in layers:
            _make_plain(layer)
    if (layers and is_within) or not all(map(_tells, members)):
        _settled.clear()  # any of them may have it within


def _members(root: torch.nn.Module) -> list[torch.nn.Module]:
    return members_of(root, leave=_is_settled)


def _is_settled(module: torch.nn.Module) -> bool:
    try:
        return module in _settled
    except TypeError:  # a user's class without a hash
        return False


def _settle(module: torch.nn.Module) -> None:
    try:
        _settled.add(module)
    except TypeError:
        return


def _tells(module: torch.nn.Module) -> bool:
    """True if nothing can be added to a module unless a `dimtyped.nn.Module` is told."""
    cls = type(module)
    if hasattr(cls, MANAGED) or hasattr(cls, TELLS_CHANGES):
        return True
    # a container of torch's may be filled later
    return not module._modules and cls.__module__.startswith(_CLOSED) and not isinstance(module, _CONTAINERS)


def _with_dims(modules: Iterable[torch.nn.Module]) -> list[torch.nn.Module]:
    """Torch's own layers that store a Dim, also inside a tuple such as a kernel size."""
    layers = (module for module in modules if type(module).__module__.startswith(_OF_TORCH))
    return [layer for layer in layers if any(_plain(value) is not value for value in layer.__dict__.values())]


def _make_plain(layer: torch.nn.Module) -> None:
    layer.__dict__.update({name: _plain(value) for name, value in layer.__dict__.items()})


def _plain(value: Any) -> Any:
    """A Dim as a plain int, also inside a tuple or a list; the same object if it has none."""
    if isinstance(value, Dim):
        return plain(value)
    holds_dims = isinstance(value, list | tuple) and any(isinstance(item, Dim) for item in value)
    return type(value)([plain(item) for item in value]) if holds_dims else value
