"""Keeps tied parameters tied where torch would part them, and refuses a checkpoint that contradicts a tie.

`Module._apply` (`to_empty`, a change of backend) and `load_state_dict(assign=True)` make a new parameter once per
registration. Each typed layer looks up what the old parameter has become elsewhere, and takes that.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils.weak import WeakIdKeyDictionary

_converted: Any = WeakIdKeyDictionary()  # an old parameter -> a weak reference to what it became
_loaded: Any = WeakIdKeyDictionary()  # an old parameter -> what the load in progress made of it


def rejoin_converted(layer: torch.nn.Module, before: dict[str, torch.nn.Parameter | None]) -> None:
    """After `_apply`: a parameter that another layer has already converted becomes that layer's."""
    for name, old in before.items():
        new = layer._parameters.get(name)
        if old is None or new is None or new is old:
            continue
        reference = _converted.get(old)
        other = reference() if reference is not None else None
        if other is not None and _alike(other, new):
            setattr(layer, name, other)
        else:
            _converted[old] = weakref.ref(new)


def _alike(left: torch.Tensor, right: torch.Tensor) -> bool:
    return (left.shape, left.dtype, left.device) == (right.shape, right.dtype, right.device)


@dataclass
class _Part:
    """What one registration of a tied parameter found in the checkpoint being loaded."""

    key: str
    layer: weakref.ref[torch.nn.Module]
    name: str
    saved: weakref.ref[torch.Tensor] | None


@dataclass
class _Load:
    """One `load_state_dict` in progress, known by its list of errors, and a tied parameter's parts in it."""

    errors: list[str]
    parts: list[_Part] = field(default_factory=list[_Part])


class Loading:
    """One layer's part of a `load_state_dict`; made before torch loads it, `rejoin` called after."""

    def __init__(
        self, layer: torch.nn.Module, state_dict: Any, prefix: str, missing_keys: list[str], error_msgs: list[str]
    ) -> None:
        self._layer = layer
        self._state_dict = state_dict
        self._prefix = prefix
        self._missing_keys = missing_keys
        self._errors = error_msgs
        self._before = {name: old for name, old in layer._parameters.items() if old is not None}
        self._saved = {name: state_dict.get(prefix + name) for name in self._before}

    def rejoin(self) -> None:
        """Joins each parameter with the other registrations of the same one that this load has met."""
        for name, old in self._before.items():
            load = _loaded.get(old)
            if load is None or load.errors is not self._errors:
                load = _loaded[old] = _Load(self._errors)
            saved = self._saved[name]
            part = _Part(
                self._prefix + name,
                weakref.ref(self._layer),
                name,
                weakref.ref(saved) if isinstance(saved, torch.Tensor) else None,
            )
            for other in load.parts:
                self._join(part, other, old)
            load.parts.append(part)

    def _join(self, part: _Part, other: _Part, old: torch.nn.Parameter) -> None:
        """Two registrations of one parameter: both saved and equal, or one saved, or the load is refused."""
        mine, theirs = _saved(part), _saved(other)
        if mine is not None and theirs is not None and not _agree(mine, theirs):
            self._errors.append(
                f"{other.key} and {part.key} are one tied parameter in the model, but differ in the checkpoint; "
                "load one of the two, or untie them."
            )
        layer = other.layer()
        if layer is None:
            return
        if mine is None:
            self._forgive(part.key)
            _share(layer, other.name, self._layer, part.name)
        elif theirs is None:
            self._forgive(other.key)
            _share(self._layer, part.name, layer, other.name)
        else:
            _share(layer, other.name, self._layer, part.name)

    def _forgive(self, key: str) -> None:
        if key in self._missing_keys:
            self._missing_keys.remove(key)


def _saved(part: _Part) -> torch.Tensor | None:
    return part.saved() if part.saved is not None else None


def _agree(left: torch.Tensor, right: torch.Tensor) -> bool:
    if left is right or left.is_meta or right.is_meta:
        return True
    return left.shape == right.shape and torch.equal(left, right)


def _share(source: torch.nn.Module, name: str, target: torch.nn.Module, target_name: str) -> None:
    """Makes two registrations one object again, if loading has parted them."""
    kept, parted = source._parameters.get(name), target._parameters.get(target_name)
    if kept is not None and parted is not None and kept is not parted and kept.shape == parted.shape:
        setattr(target, target_name, kept)
