"""Aliases: tied weights that another layer computes, such as those of a parametrized or weight-normed embedding.

Then there is no parameter to share. The tied decoder has none under that name either: reading its weight reads the
embedding's.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils.weak import WeakIdKeyDictionary

from dimtyped.runtime import dynamic_class, without_mixin

Slot = tuple[torch.nn.Module, str]
"""A module, and the name that a parameter has there."""
_SOURCES = "_dim_alias_of"
"""Set on a module with aliases: the slot that each alias reads, by the alias's name."""
_aliases: Any = WeakIdKeyDictionary()
"""The aliases of each source: a weak reference to the module, the name there and the name on the source."""


class _HasAliases(torch.nn.Module):
    """Mixed into a module while one of its weights is read from another module."""

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        for name, (source, source_name) in sources_of(self).items():
            _record(self, name, source, source_name)


def add_alias(module: torch.nn.Module, name: str, source: torch.nn.Module, source_name: str) -> None:
    """Makes `module.name` read `source.source_name`."""
    module._parameters.pop(name, None)
    module.__dict__[_SOURCES] = {**sources_of(module), name: (source, source_name)}
    module.__class__ = _with_aliases(without_mixin(type(module), _with_aliases), *sorted(sources_of(module)))
    _record(module, name, source, source_name)


def remove_alias(module: torch.nn.Module, name: str) -> None:
    """Removes an alias, so that the module may have a parameter of this name again."""
    sources = {key: slot for key, slot in sources_of(module).items() if key != name}
    if sources:
        module.__dict__[_SOURCES] = sources
        return
    del module.__dict__[_SOURCES]
    # torch's parametrize may have added its own class on top, which stays
    base = without_mixin(type(module), _with_aliases)
    if base is not type(module):
        module.__class__ = base


def sources_of(module: torch.nn.Module) -> dict[str, Slot]:
    """The slot that each alias of a module reads, by the alias's name."""
    return module.__dict__.get(_SOURCES, {})


def aliases_of(source: torch.nn.Module, source_name: str) -> list[Slot]:
    """The aliases that read this weight."""
    if not _aliases or source not in _aliases:
        return []
    found: list[Slot] = []
    for reference, name, read in _aliases[source]:
        module = reference()
        if module is not None and read == source_name and name in sources_of(module):
            found.append((module, name))
    return found


def _record(module: torch.nn.Module, name: str, source: torch.nn.Module, source_name: str) -> None:
    _aliases.setdefault(source, []).append((weakref.ref(module), name, source_name))


def _with_aliases(base: type, *names: str) -> type:
    return dynamic_class(_with_aliases, base, _HasAliases, *names, members={name: _reading(name) for name in names})


def _reading(name: str) -> property:
    def read(module: Any) -> torch.Tensor:
        sources = sources_of(module)
        if name not in sources:
            raise AttributeError(name)  # torch then searches the parameters
        source, source_name = sources[name]
        return getattr(source, source_name)

    return property(read)
