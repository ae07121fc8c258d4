"""Tied weights that another layer computes: a parametrised or weight-normed embedding, and its tied decoder.

The decoder then has no parameter of its own under that name: reading its weight reads the embedding's.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils.weak import WeakIdKeyDictionary

from dimtyped.nn.tying.dynamic_classes import variant

SOURCES = "_dim_follows"
_followers: Any = WeakIdKeyDictionary()  # a source -> who follows it: a weak reference, its name there, the source's


class _Following(torch.nn.Module):
    """A module one of whose weights is read from another module. Mixed in while that is so."""

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        for name, (source, source_name) in self.__dict__.get(SOURCES, {}).items():
            _note(self, name, source, source_name)


def follow(module: torch.nn.Module, name: str, source: torch.nn.Module, source_name: str) -> None:
    """From now on `module.name` is what `source.source_name` is when it is read."""
    module._parameters.pop(name, None)
    module.__dict__[SOURCES] = {**module.__dict__.get(SOURCES, {}), name: (source, source_name)}
    module.__class__ = _following(_base(type(module)), *sorted(module.__dict__[SOURCES]))
    _note(module, name, source, source_name)


def unfollow(module: torch.nn.Module, name: str) -> None:
    """Ends that: the module may have a parameter of this name again."""
    sources = {key: place for key, place in module.__dict__[SOURCES].items() if key != name}
    if sources:
        module.__dict__[SOURCES] = sources
        return
    del module.__dict__[SOURCES]
    if _base(type(module)) is not type(module):
        module.__class__ = _base(type(module))


def is_following(module: torch.nn.Module, name: str) -> bool:
    """Whether the weight of this name is read from another module."""
    return name in module.__dict__.get(SOURCES, ())


def is_followed(source: torch.nn.Module) -> bool:
    """Whether some weight of this module may be read by others."""
    return bool(_followers) and source in _followers


def followers_of(source: torch.nn.Module, source_name: str) -> list[tuple[torch.nn.Module, str]]:
    """The modules, and the names there, that read this weight."""
    found: list[tuple[torch.nn.Module, str]] = []
    for reference, name, followed in _followers.get(source, ()):
        module = reference()
        if module is not None and followed == source_name and is_following(module, name):
            found.append((module, name))
    return found


def _note(module: torch.nn.Module, name: str, source: torch.nn.Module, source_name: str) -> None:
    _followers.setdefault(source, []).append((weakref.ref(module), name, source_name))


def _following(base: type, *names: str) -> type:
    return variant(_following, base, _Following, *names, members={name: _reading(name) for name in names})


def _base(cls: Any) -> Any:
    """The class without what `_following` adds to it; torch's parametrize may have put its own on top, which stays."""
    return cls.__dict__["_dim_made_by"][1] if cls.__dict__.get("_dim_made_by", (None,))[0] is _following else cls


def _reading(name: str) -> property:
    def read(module: Any) -> torch.Tensor:
        sources = module.__dict__.get(SOURCES, {})
        if name not in sources:
            raise AttributeError(name)  # torch then looks among the parameters
        source, source_name = sources[name]
        return getattr(source, source_name)

    return property(read)
