"""The names that the module of a call declares, read so that a trace can follow."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import torch

from dimtyped.annotations import names_of
from dimtyped.engine.checked_function import MARK, CheckedFunction
from dimtyped.engine.unused_parameters import warn_of_unused
from dimtyped.names import MANAGED, Scope, held_scope, is_scope, lost_name_text, resync, scope_of
from dimtyped.runtime import at_trace_time, is_tracing, members_of, restart_trace, running_modules, warn_caller

_NOT_BY_USERS = ("torch.", "dimtyped.nn.", "typing.", "builtins.", "abc.", "collections.")


def scope_key_of(checked: CheckedFunction, arguments: tuple[Any, ...]) -> tuple[str | None, type]:
    """The names that the module of a first call declares, None if the first argument is not a module; and its class."""
    if len(arguments) == 0:
        return None, object
    module = arguments[0]
    if not (checked.reads_scope and isinstance(module, torch.nn.Module)):
        return None, type(module)
    try:
        keyed_sizes: Any = module._dim_keyed_sizes  # KEYED_SIZES, written so that a trace can follow it
    except AttributeError:
        keyed_sizes = missing_scope(module).keyed_sizes
    return keyed_sizes[0], type(module)


def missing_scope(module: torch.nn.Module) -> Scope:
    """Makes the scope of a module that has none yet. A trace then restarts, because it has read the missing scope."""
    if not isinstance(module, torch.nn.Module):  # a class that shares the method with a module
        return Scope()
    if "_modules" not in module.__dict__:  # a constructor, which has not called torch's yet
        return Scope()
    if is_tracing():
        return _make_scopes(module)
    make_scopes(module)
    return scope_of(module)


def make_scopes(module: torch.nn.Module) -> None:
    """Reads the names of the modules by others inside a module that have checked methods, the innermost first.

    Otherwise a parent would know their names only once they have been called. A `dimtyped.nn.Module` has done this for its
    own children, and what lies below them is nothing that this one reads names from.
    """
    for child in reversed(members_of(module, leave=_manages_names)):
        if not is_scope(child) and reads_names(type(child)):
            scope_of(child)


def _manages_names(module: torch.nn.Module) -> bool:
    return hasattr(type(module), MANAGED) and is_scope(module)


def reads_names(cls: type) -> bool:
    """True for a class of modules with methods that `typed` checks: its modules are scopes of names."""
    if f"{cls.__module__}.".startswith(_NOT_BY_USERS):
        return False
    bases = [base for base in cls.__mro__ if not f"{base.__module__}.".startswith(_NOT_BY_USERS)]
    functions = (_function_of(member) for base in bases for member in list(vars(base).values()))
    entries: Iterator[CheckedFunction | None] = (getattr(function, MARK, None) for function in functions)
    return any(checked is not None and checked.reads_scope for checked in entries)


def _function_of(member: Any) -> Any:
    return getattr(member, "__func__", None) or getattr(member, "fget", None) or member


def see_changes(checked: CheckedFunction, module: torch.nn.Module) -> bool:
    """Rereads the names of a module that has changed without reporting it; returns True if it had changed.

    It warns of a name of the annotations that nothing gives a size any more. A trace rereads them at a mismatch only.
    """
    before = held_scope(module)
    if not before.has_changed():
        return False
    make_scopes(module)
    warn_of_unused(module)
    resync(module)
    after = held_scope(module)
    for name in sorted(before.names.keys() - after.names.keys()):
        if not after.is_ambiguous(name) and any(name in names_of(hint) for hint in checked.signature.hints):
            warn_caller(lost_name_text(module, name, before))
    return True


@at_trace_time
def _make_scopes(module: torch.nn.Module) -> Scope:
    """Reads the names of every module that this trace may reach, and of every other instance of their classes.

    So a model that is compiled block by block needs one trace for all its blocks. Finding the instances takes 20 ms,
    once for each compilation that meets a module without a scope.
    """
    classes = {type(member) for root in (*running_modules(), module) for member in members_of(root)}
    reading = {type(module), *(cls for cls in classes if reads_names(cls))}
    for member in gc.get_referrers(*reading):
        if type(member) in reading:
            scope_of(member)
    scope = scope_of(module)
    restart_trace(f"the names that {type(module).__name__} declares are read")
    return scope
