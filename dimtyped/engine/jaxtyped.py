"""Functions wrapped by jaxtyping's decorator or import hook: calls checked here are not checked there again."""

from __future__ import annotations

import functools
import sys
import types
from typing import Any

from jaxtyping import jaxtyped

_MODULE = jaxtyped.__module__
_NONE = object()


def without_jaxtyped(function: Any) -> Any:
    """The function inside `jaxtyped(typechecker=...)`; any other function itself.

    jaxtyping does not know the names that a module declares, so it would reject right calls. A body that calls
    `isinstance` with an annotation keeps the wrapper that binds its names.
    """
    if not _is_jaxtyped(function) or not (_has_typechecker(function) or _is_beartyped(function.__wrapped__)):
        return function
    inner = function.__wrapped__
    while _is_beartyped(inner):
        inner = inner.__wrapped__
    asks = isinstance(inner, types.FunctionType) and "isinstance" in inner.__code__.co_names
    return jaxtyped(typechecker=None)(inner) if asks else inner


def is_checker(decorator: Any) -> bool:
    """True for beartype's decorator, and for jaxtyping's by itself or with beartype."""
    return decorator is jaxtyped or _is_beartype(decorator) or _is_beartype(_typechecker_of(decorator))


def is_checker_of_others(decorator: Any) -> bool:
    """True for `jaxtyped(typechecker=...)` with another type checker than beartype, and for typeguard's decorator."""
    is_typeguard = decorator is getattr(sys.modules.get("typeguard"), "typechecked", _NONE)
    return is_typeguard or (_typechecker_of(decorator) is not None and not is_checker(decorator))


def _typechecker_of(decorator: Any) -> Any:
    is_jaxtyped = isinstance(decorator, functools.partial) and decorator.func is jaxtyped
    return decorator.keywords.get("typechecker") if is_jaxtyped else None


def _is_beartype(decorator: Any) -> bool:
    return decorator is not None and decorator is getattr(sys.modules.get("beartype"), "beartype", None)


def _is_jaxtyped(function: Any) -> bool:
    return (
        isinstance(function, types.FunctionType)
        and function.__globals__.get("__name__") == _MODULE
        and hasattr(function, "__wrapped__")
    )


def _has_typechecker(function: types.FunctionType) -> bool:
    return "wrapped_fn_impl" in function.__code__.co_freevars


def _is_beartyped(function: Any) -> bool:
    return hasattr(function, "__beartype_wrapper") and hasattr(function, "__wrapped__")
