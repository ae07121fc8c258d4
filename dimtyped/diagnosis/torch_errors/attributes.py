"""Attributes of the user's objects, read without running code of theirs."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from typing import Any

import torch

from dimtyped.diagnosis.torch_errors.stand_ins import Unknown

_HOLDERS = ("_parameters", "_buffers", "_modules")
_PLAIN = (types.MemberDescriptorType, types.GetSetDescriptorType)


def attribute_of(value: object, name: str) -> Any:
    """An attribute that the object itself stores.

    Raises:
        Unknown: there is none, or a property or another descriptor would have to run.
    """
    if isinstance(value, types.ModuleType):
        return _of_module(value, name)
    held: Mapping[str, Any] = getattr(value, "__dict__", {}) if not isinstance(value, type) else {}
    found = inspect.getattr_static(type(value), name, None) if not isinstance(value, type) else None
    if isinstance(found, property) or (hasattr(type(found), "__set__") and not isinstance(found, _PLAIN)):
        raise Unknown
    if name in held:
        return held[name]
    if isinstance(value, torch.nn.Module):
        for holder in _HOLDERS:
            if name in held.get(holder, {}):
                return held[holder][name]
    if isinstance(found, _PLAIN) or type(found).__name__ == "_tuplegetter":
        return found.__get__(value)  # type: ignore[union-attr]  # a descriptor written in C
    if isinstance(value, type):
        found = inspect.getattr_static(value, name, None)
    if found is None or hasattr(type(found), "__get__"):
        raise Unknown
    return found


def _of_module(module: types.ModuleType, name: str) -> Any:
    """A name in a Python module. Torch and this package import some of theirs on demand."""
    if name in vars(module):
        return vars(module)[name]
    if module.__name__.partition(".")[0] in ("torch", "dimtyped") and hasattr(module, name):
        return getattr(module, name)
    raise Unknown
