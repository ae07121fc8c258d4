"""Modules of torch's own classes that names were read from: nobody tells of their changes, so a call looks for them.

A `dimtyped.nn.Module` and its containers tell of each change. A plain `torch.nn.Module`, `ModuleList` or `Sequential`
does not. A module whose constructor has left a `DimSize` parameter unread is looked at once, by its first call.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from dimtyped.names.dim import Dim

TELLS_CHANGES = "_dim_changed"
"""A method of the containers that tell the scopes above of each change."""


UNUSED = "_dim_unused"
"""On a module that has not been called yet: the `DimSize` parameters that its constructor has not read."""


class FirstCall:
    """Knows whether a module has unread parameters of which no warning was given yet."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = weakref.ref(module)

    def has_changed(self) -> bool:
        """True until the warning was given."""
        return UNUSED in getattr(self._module(), "__dict__", ())


class Watched:
    """The children of one module, and its stored sizes, as they were when the names were read.

    It holds no child: a layer that its user deletes gives its memory back at once. Its number of children tells of those
    that are added and deleted, the end of a child, and torch's hook on registrations, of one that is replaced.
    """

    def __init__(self, module: torch.nn.Module, stored: Iterable[str] | None) -> None:
        children = (module.__dict__.get("_modules") or {}).values()
        self._module = weakref.ref(module)
        self._gone: list[Any] = []
        self._references = [weakref.ref(child, self._gone.append) for child in children if child is not None]
        self._number = len(children)
        self._ids = tuple(map(id, children)) if stored is None else None
        values = module.__dict__
        self._stored = [(key, values.get(key)) for key in stored or ()]
        self._count = len(values) if stored is not None else 0
        try:
            _watchers.setdefault(module, weakref.WeakSet()).add(self)
        except (
            TypeError
        ):  # a class of the user's without a hash: of its changes, only a child that is replaced is not seen
            return

    def has_changed(self) -> bool:
        """True if the module has other children now, or another stored size. A call that passes asks this."""
        module = self._module()
        if self._gone or module is None or len(module._modules) != self._number:
            return True
        if self._ids is not None:  # a container, whose layers may be moved past every hook
            return tuple(map(id, module._modules.values())) != self._ids
        if self._count:
            values = module.__dict__
            if len(values) != self._count:
                return True
            for key, held in self._stored:
                if values.get(key) is not held:
                    return True
        return False

    def note(self) -> None:
        """Notes that a child is assigned."""
        self._gone.append(None)


_watchers: weakref.WeakKeyDictionary[torch.nn.Module, weakref.WeakSet[Watched]] = weakref.WeakKeyDictionary()


def note_replaced(module: torch.nn.Module) -> None:
    """Lets the scopes that read names from a module read them again: a child is assigned, perhaps in another's place."""
    try:
        for watched in tuple(_watchers.get(module, ())):
            watched.note()
    except TypeError:
        return


def watched_in(
    module: torch.nn.Module, containers: tuple[type, ...], stored: Iterable[str] | None
) -> tuple[Watched, ...]:
    """What a scope must look at before each call: its module where `stored` is given, and containers that tell nothing."""
    own = (Watched(module, stored),) if stored is not None else ()
    return (*own, *_containers(module, containers, is_told=not own))


def _containers(module: torch.nn.Module, classes: tuple[type, ...], *, is_told: bool) -> Iterator[Watched]:
    for child in (module.__dict__.get("_modules") or {}).values():
        yield from watched_of(child, classes, is_told=is_told)


def watched_of(child: torch.nn.Module | None, classes: tuple[type, ...], *, is_told: bool = True) -> Iterator[Watched]:
    """A child that is one of torch's own containers, and all within what is watched: it does not know where they are."""
    if isinstance(child, classes):
        assert child is not None
        tells = is_told and hasattr(child, TELLS_CHANGES)
        if not tells:
            yield Watched(child, None)
        yield from _containers(child, classes, is_told=tells)


def dims_in(module: torch.nn.Module) -> list[str]:
    """The attributes of a module that hold a Dim."""
    return [key for key, value in module.__dict__.items() if isinstance(value, Dim)]
