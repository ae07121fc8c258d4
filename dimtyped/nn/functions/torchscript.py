"""`torch.jit.script` of what calls `dimtyped.nn.functional`: it compiles torch's functions, which have no check."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

_torchs: WeakKeyDictionary[Callable[..., Any], Callable[..., Any]] = WeakKeyDictionary()
_LOOKUPS = (
    ("torch.jit._builtins", "_find_builtin"),
    ("torch._jit_internal", "_try_get_dispatched_fn"),
    ("torch.jit._script", "_get_overloads"),
    ("torch.jit._recursive", "try_compile_fn"),
)
"""TorchScript asks these, in this order, for the meaning of a function that is called."""


def stands_for(wrapper: FunctionType, function: Callable[..., Any]) -> None:
    """Lets TorchScript compile calls of `wrapper` as calls of torch's `function`."""
    _torchs[wrapper] = function


def _install() -> None:
    for module, name in _LOOKUPS:
        home = sys.modules.get(module)
        if hasattr(home, name):  # in a release that asks elsewhere, torch's own error remains
            setattr(home, name, _of_torchs(getattr(home, name)))


def _of_torchs(look_up: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(look_up)
    def looked_up(function: Any, *others: Any) -> Any:
        return look_up(_torchs.get(function, function) if isinstance(function, FunctionType) else function, *others)

    return looked_up


_install()
