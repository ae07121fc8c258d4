"""The names that the module of a call declares, read so that a trace can follow."""

from __future__ import annotations

import gc
from typing import Any

import torch

from dimtyped.engine.checked_function import MARK, CheckedFunction
from dimtyped.names import Scope, scope_of
from dimtyped.runtime import at_trace_time, is_tracing, restart_trace, running_modules


def scope_key_of(checked: CheckedFunction, arguments: tuple[Any, ...]) -> tuple[str | None, type]:
    """The names that the module of a first call declares, None if the first argument is not a module; and its class."""
    if len(arguments) == 0:
        return None, object
    module = arguments[0]
    if not (checked.reads_scope and isinstance(module, torch.nn.Module)):
        return None, type(module)
    try:
        scope: Any = module._dim_scope  # ATTRIBUTE, written so that a trace can follow it
    except AttributeError:
        scope = missing_scope(module)
    return scope.scope_key, type(module)


def missing_scope(module: torch.nn.Module) -> Scope:
    """Makes the scope of a module that has none yet. A trace then restarts, because it has read the missing scope."""
    if not isinstance(module, torch.nn.Module):  # a class that shares the method with a module
        return Scope()
    return _make_scopes(module) if is_tracing() else scope_of(module)


@at_trace_time
def _make_scopes(module: torch.nn.Module) -> Scope:
    """Reads the names of every module that this trace may reach, and of every other instance of their classes.

    So a model that is compiled block by block needs one trace for all its blocks. Finding the instances takes 20 ms,
    once for each compilation that meets a module without a scope.
    """
    classes = {type(member) for root in (*running_modules(), module) for member in root.modules()}
    reading = {type(module), *(cls for cls in classes if _reads_scope(cls))}
    for member in gc.get_referrers(*reading):
        if type(member) in reading:
            scope_of(member)
    scope = scope_of(module)
    restart_trace(f"the names that {type(module).__name__} declares are read")
    return scope


def _reads_scope(cls: type[torch.nn.Module]) -> bool:
    checked: CheckedFunction | None = getattr(cls.forward, MARK, None)
    return checked is not None and checked.reads_scope
