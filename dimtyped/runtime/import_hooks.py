"""Runs a callback when another library's module is imported, without importing it."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

_Callback = Callable[[types.ModuleType], object]
_waiting: dict[str, list[_Callback]] = {}


def when_imported(name: str, callback: _Callback) -> None:
    """Calls `callback(module)` once the module of this name has been imported; at once if it already has."""
    if name in sys.modules:
        callback(sys.modules[name])
        return
    _waiting.setdefault(name, []).append(callback)
    if not any(isinstance(finder, _WaitingFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WaitingFinder())


def import_with(name: str, module: str) -> None:
    """Imports a module of this package once the other library's module of this name has been imported."""
    when_imported(name, lambda _: importlib.import_module(module))


class _WaitingFinder(MetaPathFinder):
    """Finds nothing itself: it makes the loader that another finder returns run the callbacks after the module."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns another finder's spec for a module with callbacks; None for all other modules."""
        if fullname not in _waiting:
            return None
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((found for found in specs if found is not None), None)
        if spec is not None and spec.loader is not None:
            _call_after(spec.loader, fullname)
        return spec


def _call_after(loader: Any, name: str) -> None:
    execute = loader.exec_module

    def exec_module(module: types.ModuleType) -> None:
        execute(module)
        for callback in _waiting.pop(name, ()):
            callback(module)

    loader.exec_module = exec_module  # an attribute of this loader, which serves this module alone
