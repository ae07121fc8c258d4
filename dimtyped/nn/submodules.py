"""Every submodule of `torch.nn` under the name `dimtyped.nn`: `import dimtyped.nn.functional as F`.

A torch module without layers is the same object under both names. A package or a module of layers is a separate module
here. It looks a name up when it is first used, and returns the typed class if there is one.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from typing import Any

import torch

_OURS = "dimtyped.nn."
_TORCHS = "torch.nn."
_LAYERS = "torch.nn.modules"


class _Mirror(types.ModuleType):
    """A torch module whose layer classes are replaced by typed ones where they exist."""

    def __init__(self, name: str, original: types.ModuleType) -> None:
        super().__init__(name, original.__doc__)
        self.__dict__["_dim_original"] = original

    def __getattr__(self, name: str) -> Any:
        original: types.ModuleType = self.__dict__["_dim_original"]
        if name == "__all__":
            return getattr(original, name, [key for key in vars(original) if not key.startswith("_")])
        if name.startswith("__"):  # what Python sets on a module, such as its file, is torch's own
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found = _typed(getattr(original, name), f"{original.__name__}.{name}")
        self.__dict__[name] = found  # TorchDynamo and later lookups find it there
        return found

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *dir(self.__dict__["_dim_original"])})


def _typed(value: Any, path: str) -> Any:
    """The typed class for a torch layer class, dimtyped's module for a submodule at `path`, else the value itself."""
    if isinstance(value, types.ModuleType) and value.__name__ == path:
        return importlib.import_module(_OURS + path.removeprefix(_TORCHS))
    if isinstance(value, type) and issubclass(value, torch.nn.Module):
        typed = getattr(sys.modules[_OURS[:-1]], value.__name__, None)
        return typed if isinstance(typed, type) and issubclass(typed, value) else value
    return value


def mirror(name: str, **own: Any) -> types.ModuleType:
    """Replaces the module of this name, which is being imported, by torch's module or a mirror of it; returns that.

    Args:
        name: The module's `__name__`.
        **own: Attributes that differ from torch's. Default: none.
    """
    original = importlib.import_module(_TORCHS + name.removeprefix(_OURS))
    if own or hasattr(original, "__path__") or original.__name__.startswith(_LAYERS):
        made = _Mirror(name, original)
        kept = ("__spec__", "__loader__", "__package__", "__path__", "__file__")
        made.__dict__.update({key: value for key, value in vars(sys.modules[name]).items() if key in kept}, **own)
        original = made
    sys.modules[name] = original
    return original


class _MirrorLoader(Loader):
    """Puts torch's module, or its mirror, where the import system looks for this package's."""

    def create_module(self, spec: ModuleSpec) -> None:
        """Lets Python make the module; `exec_module` replaces it."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Replaces the new module in `sys.modules`."""
        module.__path__ = []  # a package to the import system, in which no other finder finds anything
        mirror(module.__name__)


class _MirrorFinder(MetaPathFinder):
    """Finds modules in `torch.nn` for which `dimtyped.nn` has no file.

    It precedes Python's own finder, which would take a folder of type stubs for a package.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of dimtyped's own file, else of torch's module of that name; None for all other modules."""
        if not fullname.startswith(_OURS):
            return None
        own = PathFinder.find_spec(fullname, path, target)
        if own is not None and own.loader is not None:
            return own
        if not _exists(_TORCHS + fullname.removeprefix(_OURS)):
            return None
        return ModuleSpec(fullname, _MirrorLoader(), is_package=True)


def _exists(name: str) -> bool:
    try:
        return name in sys.modules or find_spec(name) is not None
    except ModuleNotFoundError:  # the parent is not a package
        return False


def load(name: str) -> types.ModuleType:
    """Imports and returns the submodule of this name."""
    return importlib.import_module(_OURS + name)


if not any(isinstance(finder, _MirrorFinder) for finder in sys.meta_path):
    sys.meta_path.insert(0, _MirrorFinder())
