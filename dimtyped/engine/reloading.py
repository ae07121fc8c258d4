"""The globals of wrappers: those of one module share a dictionary, and so do those of all layers.

TorchDynamo guards each dictionary of globals that a trace uses, and each class again in each of them. A function that is
defined inside another has globals of its own, which live no longer than it does.

A reloader, such as `importlib.reload` with IPython's `%autoreload`, puts the new code into the old functions,
`old.__code__ = new.__code__`, and leaves their globals. So the wrappers of a function that is defined again share their
globals too. Under names that only it uses, a wrapper's code means the same in each of them.
"""

from __future__ import annotations

import inspect
import itertools
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dimtyped.engine.call_names import EXPORTER, register_copy
from dimtyped.engine.common_names import COMMON
from dimtyped.runtime import CHECKED_NAME, PREFIX, on_change, version_of

_Wrappers = weakref.ref[types.FunctionType] | weakref.WeakSet[types.FunctionType]
_versions: dict[tuple[str, str], _Wrappers] = {}
"""The wrappers under each name: a set, which is nine objects, only where there are several."""
_holders: weakref.WeakValueDictionary[int, types.FunctionType] = weakref.WeakValueDictionary()
"""A wrapper for each dictionary that a module's functions share, by the identity of the module's own globals."""
_of_layers: dict[str, Any] = {}
"""The globals that the layers of this package share."""
_numbers = itertools.count()


def _share_anew() -> None:
    """The layers get new wrappers, and the old ones can go."""
    global _of_layers
    _of_layers = {}
    _holders.clear()


on_change(_share_anew)


def make_wrapper(
    code: types.CodeType, names: Mapping[str, Any], function: Any, *, is_users: bool
) -> types.FunctionType:
    """A wrapper of `function`, a user's or a layer's, with this code and these globals."""
    key = _key_of(function)
    if key is None:
        return types.FunctionType(code, dict(names))
    inner = inspect.unwrap(function)
    place = None if not is_users and _is_ours(inner) else id(getattr(inner, "__globals__", function))
    others = tuple(_wrappers_of(key)) if place is not None else ()  # no reloader changes a layer
    former = next((other for other in others if _is_defined_again(other, function)), None)
    if is_users and others and former is None:  # a second wrapper, which may live shorter than the first
        wrapper = types.FunctionType(code, dict(names))
    else:
        shared = former.__globals__ if former is not None else _shared_at(place, names)
        wrapper = _made_in(shared, code, names)
        if place is not None:
            _holders.setdefault(place, wrapper)
    _keep(key, wrapper)
    return wrapper


def make_beside(wrapper: Callable[..., Any], code: types.CodeType, names: Mapping[str, Any]) -> types.FunctionType:
    """A function with the globals that the wrapper shares with others, or with its own if it shares none."""
    if not isinstance(wrapper, types.FunctionType) or not version_of(wrapper.__code__):
        return types.FunctionType(code, dict(names))
    made = _made_in(wrapper.__globals__, code, names)
    # a wrapper that is reset makes others; the names are looked up in it, since a finalizer must not keep the dictionary
    weakref.finalize(made, _forget, weakref.ref(wrapper), version_of(made.__code__)).atexit = False
    return made


def _forget(holder: weakref.ref[types.FunctionType], version: str) -> None:
    """Removes the names that only one function used from the globals that it shared."""
    wrapper = holder()
    names = wrapper.__globals__ if wrapper is not None else {}
    for name in [name for name in tuple(names) if name.endswith(version)]:  # another thread may add some
        names.pop(name, None)


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
    version = version_of(wrapper.__code__)
    exporter = names.get(EXPORTER)
    if exporter is not None:
        exporter.__code__ = _with_version(exporter.__code__, version)
    add_names(wrapper, names)
    same = [other for other in _wrappers_of(_key_of(wrapper)) if other.__code__ is wrapper.__code__]
    for each in (wrapper, *same):
        each.__defaults__, each.__kwdefaults__ = defaults
        each.__code__ = _with_version(code, version)


def has_name(wrapper: types.FunctionType, name: str) -> bool:
    """Returns True if the wrapper's globals have this name."""
    return f"{name}{version_of(wrapper.__code__)}" in wrapper.__globals__


def add_names(wrapper: types.FunctionType, names: Mapping[str, Any]) -> None:
    """Adds globals to those of a wrapper."""
    wrapper.__globals__.update(_renamed(names, version_of(wrapper.__code__)))


def _made_in(shared: dict[str, Any], code: types.CodeType, names: Mapping[str, Any]) -> types.FunctionType:
    """A function whose globals are in `shared`, with names of its own."""
    versions = (f"__v{number}" for number in _numbers)  # a pickle of another process has some
    version = next(version for version in versions if f"{CHECKED_NAME}{version}" not in shared)
    shared.update(_renamed(names, version))
    return types.FunctionType(_with_version(code, version), shared)


def _is_ours(layers_function: Any) -> bool:
    """True for a function of torch's layers or of this package's, whose globals agree. Layers of others have their modules'."""
    return layers_function.__module__.partition(".")[0] in ("torch", "dimtyped")


def _shared_at(place: int | None, names: Mapping[str, Any]) -> dict[str, Any]:
    """The globals to share there, those of layers for None; new ones if they have another object under one of the names."""
    shared = _of_layers
    if place is not None:
        holder = _holders.get(place)
        shared = {} if holder is None else holder.__globals__
    fits = all(shared.get(name, value) is value for name, value in names.items() if not _is_own(name))
    return shared if fits else {}


def is_inner(function: Any) -> bool:
    """True for a function that is defined inside another."""
    return "<locals>" in getattr(function, "__qualname__", "<locals>")


def _key_of(function: Any) -> tuple[str, str] | None:
    """The name under which a reloader finds the function; None for a function defined inside another."""
    return None if is_inner(function) else (function.__module__, function.__qualname__)


def _is_defined_again(wrapper: types.FunctionType, function: Any) -> bool:
    """True if the wrapper is of another definition; one definition may have any number of wrappers."""
    code = getattr(getattr(wrapper, "__wrapped__", None), "__code__", None)
    return code is not getattr(function, "__code__", None)


def _is_own(name: str) -> bool:
    """True for a name that means something else in each wrapper."""
    return name.startswith(PREFIX) and name not in COMMON


def _renamed(names: Mapping[str, Any], version: str) -> dict[str, Any]:
    if not version:
        return dict(names)
    return {f"{name}{version}" if _is_own(name) else name: value for name, value in names.items()}


def _with_version(code: types.CodeType, version: str) -> types.CodeType:
    """The code, and all code in it, with the version appended to the names that mean something else in each wrapper."""
    if not version:
        return code
    inside = [_with_version(c, version) if isinstance(c, types.CodeType) else c for c in code.co_consts]
    names = [f"{name}{version}" if _is_own(name) else name for name in code.co_names]
    made = code.replace(co_names=tuple(names), co_consts=tuple(inside))
    register_copy(code, made)
    return made
