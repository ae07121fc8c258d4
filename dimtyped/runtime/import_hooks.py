"""Runs a callback when another library's module is imported, without importing it."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

_Callback = Callable[[types.ModuleType], None]
_waiting: dict[str, list[_Callback]] = {}


def when_imported(name: str, callback: _Callback) -> None:
    """Calls `callback(module)` once the module of this name has been imported; at once where it already is."""
    if name in sys.modules:
        callback(sys.modules[name])
        return
    _waiting.setdefault(name, []).append(callback)
    if not any(isinstance(finder, _WaitingFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WaitingFinder())


class _WaitingFinder(MetaPathFinder):
    """Leaves finding to the other finders; has the callbacks called after what they found was executed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """The next finder's spec for a module that is waited for; None for all other modules."""
        if fullname not in _waiting:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
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

    loader.exec_module = exec_module  # on this loader alone, which is made for this module
