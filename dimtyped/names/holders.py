"""The modules that read their names from another module. They are notified when it changes.

They are stored beside the modules, not on them: a copy or a pickle of a module has no holders.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import torch

_holders: weakref.WeakKeyDictionary[torch.nn.Module, weakref.WeakSet[torch.nn.Module]] = weakref.WeakKeyDictionary()


def hold(holder: torch.nn.Module, module: torch.nn.Module) -> None:
    """Records that `holder` reads names from `module`."""
    try:
        _holders.setdefault(module, weakref.WeakSet()).add(holder)
    except TypeError:  # a user's class without a hash: its changes are noticed at the next mismatch
        return


def holders_of(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """The modules that read names from this one and still exist."""
    try:
        yield from tuple(_holders.get(module, ()))
    except TypeError:
        return


def all_holders_of(module: torch.nn.Module) -> set[torch.nn.Module]:
    """The modules that read names from this one, directly or through others."""
    found: set[torch.nn.Module] = set()
    new = [module]
    while new:
        for holder in holders_of(new.pop()):
            if holder not in found:
                found.add(holder)
                new.append(holder)
    return found
