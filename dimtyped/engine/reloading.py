"""Wrappers of a function that is defined again by `importlib.reload` or IPython's `%autoreload`.

A reloader puts the new code into the old functions, `old.__code__ = new.__code__`, and leaves their globals. So a
wrapper shares its globals with the earlier wrappers of the same function, under names that only it uses: its code
means the same in each of them.
"""

from __future__ import annotations

import re
import types
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from dimtyped.engine.call_names import register_copy
from dimtyped.runtime import PREFIX

_Wrappers = weakref.ref[types.FunctionType] | weakref.WeakSet[types.FunctionType]
_versions: dict[tuple[str, str], _Wrappers] = {}
"""The wrappers under each name: a set, which is nine objects, only where there are several."""
_VERSION = re.compile(r"__v\d+$")


def make_wrapper(code: types.CodeType, names: Mapping[str, Any], function: Any) -> types.FunctionType:
    """A wrapper of `function` with this code and these globals."""
    key = _key_of(function)
    if key is None:
        return types.FunctionType(code, dict(names))
    former = next((other for other in _wrappers_of(key) if _is_defined_again(other, function)), None)
    if former is None:
        wrapper = types.FunctionType(code, dict(names))
    else:
        version = f"__v{len(former.__globals__)}"  # each version adds some
        former.__globals__.update(_renamed(names, version))
        wrapper = types.FunctionType(_with_version(code, version), former.__globals__)
    _keep(key, wrapper)
    return wrapper


def _wrappers_of(key: tuple[str, str] | None) -> Iterable[types.FunctionType]:
    """The wrappers under a name that still exist."""
    held = _versions.get(key) if key is not None else None
    if not isinstance(held, weakref.ref):
        return held or ()
    wrapper = held()
    return () if wrapper is None else (wrapper,)


def _keep(key: tuple[str, str], wrapper: types.FunctionType) -> None:
    held = _versions.get(key)
    if isinstance(held, weakref.WeakSet):
        held.add(wrapper)
        return
    others = tuple(_wrappers_of(key))
    _versions[key] = weakref.WeakSet((*others, wrapper)) if others else weakref.ref(wrapper)


def install(wrapper: types.FunctionType, code: types.CodeType, names: Mapping[str, Any], defaults: Any) -> None:
    """Gives a wrapper new code, defaults and more globals, and also the earlier wrappers that a reloader made equal.

    The defaults are set before the code, so that a call in between finds them.
    """
    version = _version_of(wrapper)
    for value in names.values():
        if isinstance(value, types.FunctionType) and value.__globals__ is wrapper.__globals__:  # the exporter of names
            value.__code__ = _with_version(value.__code__, version)
    wrapper.__globals__.update(_renamed(names, version))
    same = [other for other in _wrappers_of(_key_of(wrapper)) if other.__code__ is wrapper.__code__]
    for each in (wrapper, *same):
        each.__defaults__, each.__kwdefaults__ = defaults
        each.__code__ = _with_version(code, version)


def has_name(wrapper: types.FunctionType, name: str) -> bool:
    """Returns True if the wrapper's globals have this name."""
    return f"{name}{_version_of(wrapper)}" in wrapper.__globals__


def _version_of(wrapper: types.FunctionType) -> str:
    """The suffix of the names of the wrapper's globals; empty if the function was defined once."""
    if _key_of(wrapper) is None:
        return ""
    found = (_VERSION.search(name) for name in wrapper.__code__.co_names if name.startswith(PREFIX))
    return next((match.group() for match in found if match), "")


def _key_of(function: Any) -> tuple[str, str] | None:
    """The name under which a reloader finds the function; None for a function defined inside another."""
    name: str = getattr(function, "__qualname__", "<locals>")
    return None if "<locals>" in name else (function.__module__, name)


def _is_defined_again(wrapper: types.FunctionType, function: Any) -> bool:
    """True if the wrapper is of another definition; one definition may have any number of wrappers."""
    code = getattr(getattr(wrapper, "__wrapped__", None), "__code__", None)
    return code is not getattr(function, "__code__", None)


def _renamed(names: Mapping[str, Any], version: str) -> dict[str, Any]:
    if not version:
        return dict(names)
    return {f"{name}{version}" if name.startswith(PREFIX) else name: value for name, value in names.items()}


def _with_version(code: types.CodeType, version: str) -> types.CodeType:
    """The code, and all code in it, with the version appended to this package's names."""
    if not version:
        return code
    inside = [_with_version(c, version) if isinstance(c, types.CodeType) else c for c in code.co_consts]
    names = [f"{name}{version}" if name.startswith(PREFIX) else name for name in code.co_names]
    made = code.replace(co_names=tuple(names), co_consts=tuple(inside))
    register_copy(code, made)
    return made
