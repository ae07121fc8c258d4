"""The methods of a module's class: those that are checked, and those annotated but not checked, with the reason."""

from __future__ import annotations

import dis
import functools
import inspect
import types
from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.modules.lazy import LazyModuleMixin

from dimtyped.annotations import may_name_tensors, names_tensors
from dimtyped.engine import (
    CheckedFunction,
    entry_of,
    functions_in,
    may_have_expression,
    name_sizes,
    typed_member,
)
from dimtyped.runtime import members_of, mode

_ENTRIES = "_dim_entries"
_EXPRESSIONS = "_dim_expressions"
_ENFORCED = "_dim_enforced"
"""Set on the classes that have got their checks."""
_NOT_BY_USERS = ("torch.", "dimtyped.nn.", "typing", "builtins", "abc", "collections")
_WRAPPING = (functools.partialmethod, functools.singledispatchmethod)


def enforce(cls: type[torch.nn.Module], frame: types.FrameType, *, parents: tuple[type, ...] = ()) -> None:
    """Gives the annotated methods of a class their checks, and those that it inherits from other classes.

    Args:
        cls: The class; its `__init__` is left alone.
        frame: The frame that defines the class.
        parents: Classes whose subclasses already have their checks. Default: none.
    """
    setattr(cls, _ENFORCED, True)
    seen = {"__init__"}
    for base in cls.__mro__:
        if base is cls or (_is_by_user(base) and not issubclass(base, parents)):
            _enforce_members(cls, base, frame, seen)
        seen.update(vars(base))


def enforce_by_others(cls: type[torch.nn.Module], frame: types.FrameType) -> None:
    """Gives a user's subclass of a typed layer or container its checks, and its constructor its `DimSize` parameters."""
    if _is_by_user(cls):
        enforce(cls, frame)
        name_sizes(cls, frame)


def _enforce_members(cls: Any, base: type, frame: types.FrameType, seen: set[str]) -> None:
    for name, member in list(vars(base).items()):
        made = member if name in seen else typed_member(member, frame)
        if made is not member:
            setattr(cls, name, made)


def checked_functions(cls: Any) -> tuple[CheckedFunction, ...]:
    """The checked functions of a class and its bases, collected once. Checks without tensors are removed."""
    if _ENTRIES not in vars(cls):
        members = [(base, name, member) for base in cls.__mro__ for name, member in list(vars(base).items())]
        setattr(cls, _ENTRIES, tuple(entry for found in members for entry in _kept(*found)))
    return vars(cls)[_ENTRIES]


def methods_with_expressions(cls: Any) -> tuple[CheckedFunction, ...]:
    """The checked methods with expressions that a class defines itself, and the `forward` that it has; collected once.

    Another inherited method may be meant for classes that declare more.
    """
    if _EXPRESSIONS not in vars(cls):
        members = {**vars(cls), "forward": inspect.getattr_static(cls, "forward")}
        found = (entry_of(function) for member in members.values() for function in _functions_of(member))
        entries = (entry for entry in found if entry is not None and entry.reads_scope)
        setattr(cls, _EXPRESSIONS, tuple(filter(may_have_expression, entries)))
    return vars(cls)[_EXPRESSIONS]


def is_complete(module: torch.nn.Module) -> bool:
    """True for a module that has layers, all with their sizes, and no method that could add one after `__init__`."""
    children = [child for child in members_of(module) if child is not module]
    if not children or any(isinstance(child, LazyModuleMixin) for child in children):
        return False
    functions = (f for name, member in _methods(type(module)) if name != "__init__" for f in _functions_of(member))
    codes = (getattr(inspect.unwrap(function), "__code__", None) for function in functions)
    return not any(code is not None and _sets_attributes(code) for code in codes)


def _sets_attributes(code: types.CodeType) -> bool:
    stores = any(step.opname == "STORE_ATTR" for step in dis.get_instructions(code))
    return stores or not {"setattr", "add_module", "register_module"}.isdisjoint(code.co_names)


def _kept(base: type, name: str, member: Any) -> list[CheckedFunction]:
    entries = [entry for entry in map(entry_of, _functions_of(member)) if entry is not None]
    if entries and entries[0].wrapper is member and _is_idle(member, entries[0]):
        setattr(base, name, entries[0].declaration.function)
        return []
    return entries


def _is_idle(wrapper: Any, entry: CheckedFunction) -> bool:
    """True for a method that turned out to need no check: its string annotations have no tensors."""
    if not entry.declaration.only_if_tensors or entry.declaration.code_objects:
        return False
    return hasattr(wrapper, "__no_type_check__") or not may_name_tensors(
        entry.declaration.function, entry.declaration.names
    )


def checked_methods(module: torch.nn.Module) -> list[str]:
    """The methods of a module other than `forward` that are checked."""
    found = [(name, member) for name, member in _methods(type(module)) if name not in module.__dict__]
    return [name for name, member in found if name != "forward" and any(map(is_checked, _functions_of(member)))]


def switched_off_methods(module: torch.nn.Module) -> list[str]:
    """The methods of a module whose checks `unchecked` has switched off."""
    entries = (
        (name, entry_of(function)) for name, member in _methods(type(module)) for function in _functions_of(member)
    )
    return [*dict.fromkeys(name for name, entry in entries if entry is not None and entry.is_off_for((module,)))]


def unchecked_methods(module: torch.nn.Module) -> Iterator[tuple[str, str]]:
    """The methods of a module other than `forward` that are annotated but not checked, each with the reason."""
    is_reported = bool(unchecked_forward(module))
    for name, member in _methods(type(module)):
        if name == "forward" or not any(map(is_annotated, _functions_of(member))):
            continue
        if name in module.__dict__ and not isinstance(member, functools.cached_property):
            yield name, "it was replaced on the instance"
        elif not any(map(is_checked, _functions_of(member))):
            yield name, "" if is_reported and _is_bare(member) else _reason(member)


def unchecked_forward(module: torch.nn.Module) -> str:
    """The reason why an annotated `forward` is not checked, with the fix; empty if it is checked or not annotated."""
    cls = type(module)
    forward = inspect.getattr_static(cls, "forward", None)
    if not any(is_annotated(function) and not is_checked(function) for function in _functions_of(forward)):
        return ""
    if not _is_bare(forward):
        return f"forward is annotated; {_reason(forward)}"
    if _ENFORCED in vars(cls):
        return "forward is annotated, but was assigned after its class was made: decorate it with @dimtyped.typed"
    return (
        f"forward is annotated, but {cls.__name__} is not a dimtyped.nn.Module: "
        "derive it from dimtyped.nn.Module, or decorate the class with @dimtyped.typed"
    )


def is_checked(function: Any) -> bool:
    """True if a call of this function is checked against annotations of jaxtyping's."""
    entry = entry_of(function)
    return entry is not None and entry.declaration.checks_tensors


def is_annotated(function: Any) -> bool:
    """True if an annotation of this function is jaxtyping's."""
    inner: Any = inspect.unwrap(function)
    if hasattr(inner, "__no_type_check__"):  # then typing finds no annotations on it
        undecorated: Any = types.SimpleNamespace(__annotations__=inner.__annotations__)
        return names_tensors(undecorated, {})
    return isinstance(inner, types.FunctionType) and names_tensors(inner, {})


def _is_bare(member: Any) -> bool:
    """True for a method that would be checked if it were decorated."""
    is_plain = isinstance(
        member, types.FunctionType | staticmethod | classmethod | property | functools.cached_property
    )
    is_left_out = any(hasattr(function, "__no_type_check__") for function in _functions_of(member))
    return is_plain and not is_left_out and mode() != "off"


def _reason(member: Any) -> str:
    if any(hasattr(function, "__no_type_check__") for function in _functions_of(member)):
        return "typing.no_type_check excludes it"
    if mode() == "off":
        return "DIMTYPED is off"
    if not _is_bare(member):
        return f"it is a {type(member).__name__}; decorate the function inside with @dimtyped.typed"
    return "decorate it with @dimtyped.typed"


def _methods(cls: type) -> Iterator[tuple[str, Any]]:
    """The members of a class that its user wrote or inherits, as an instance finds them."""
    seen: set[str] = set()
    for base in cls.__mro__:
        if _is_by_user(base):
            yield from ((name, member) for name, member in vars(base).items() if name not in seen)
        seen.update(vars(base))


def _functions_of(member: Any) -> tuple[Any, ...]:
    """The functions behind a member of a class; empty where it is not a method."""
    if isinstance(member, type):
        return ()
    if isinstance(member, _WRAPPING):
        return (member.func,)
    return functions_in(member) if entry_of(member) is None else (member,)


def _is_by_user(cls: type) -> bool:
    return not f"{cls.__module__}.".startswith(_NOT_BY_USERS)
