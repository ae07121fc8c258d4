"""Loads a model's source twice: as it is, and with its one import of dimtyped replaced."""

from __future__ import annotations

import functools
import sys
import types
from pathlib import Path
from typing import Any

import dimtyped
from benchmarks.peers import in_mode

_TYPED = "from dimtyped import DimSize, nn\n"
_UNTYPED = "from benchmarks.models.untyped import DimSize, nn\n"


@functools.cache
def model_class(name: str, *, typed: bool, mode: str = "on") -> Any:
    """The class `Model` of a file beside this one.

    Args:
        name: The file, without its suffix.
        typed: Whether with `dimtyped.nn`, or else with `torch.nn`.
        mode: The mode that its classes are made in. Default: on.
    """
    path = Path(__file__).with_name(f"{name}.py")
    source = path.read_text(encoding="utf-8")
    if not typed:
        assert _TYPED in source
        source = source.replace(_TYPED, _UNTYPED)
    module = types.ModuleType(f"benchmarks.models.{name}_{mode if typed else 'untyped'}")
    sys.modules[module.__name__] = module  # where TorchDynamo looks a function's globals up
    in_mode(mode, lambda: exec(compile(source, path, "exec"), module.__dict__))
    return module.__dict__["Model"]


def switch_to(mode: str) -> None:
    """Chooses the mode, for candidates that take turns."""
    if dimtyped.runtime.config.mode() != mode:
        dimtyped.configure(mode)
