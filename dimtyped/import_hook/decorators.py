"""The names that a transformed module imports: what its functions, classes and annotated assignments call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dimtyped.engine import (
    LocalAnnotation,
    assert_dims,
    entry_of,
    is_checker,
    is_checker_of_others,
    is_instance,
    lazy_annotation,
    typed_class_on_import as typed_class,
    typed_on_import as typed_function,
)

__all__ = [
    "LocalAnnotation",
    "assert_dims",
    "decorator",
    "is_instance",
    "lazy_annotation",
    "typed_class",
    "typed_function",
]


_COMPILERS = ("triton.", "numba.", "torch.jit.")


def decorator(given: Any) -> Any:
    """A decorator of the user's, so that no function is checked twice.

    Of jaxtyping's decorator and beartype's nothing is left on a function that is checked here. jaxtyping with another type
    checker keeps the function: what the other one takes for a float, beartype may not. A compiler of source gets the function
    as it is written.
    """
    if is_checker(given):
        return functools.partial(_unless_typed, given)
    compiles = f"{getattr(given, '__module__', '')}.".startswith(_COMPILERS)
    return functools.partial(_on_original, given) if compiles or is_checker_of_others(given) else given


def _unless_typed(given: Callable[[Any], Any], target: Any) -> Any:
    return target if _original(target) is not None else given(target)


def _on_original(given: Callable[[Any], Any], target: Any) -> Any:
    original = _original(target)
    return given(target if original is None else original)


def _original(target: Any) -> Any:
    """What the user wrote, for a wrapper or a static or class method of one; None for what is not checked here."""
    is_bound = isinstance(target, staticmethod | classmethod)
    wrapper = target.__func__ if is_bound else target
    entry = entry_of(wrapper)
    if entry is None or entry.wrapper is not wrapper:
        return None
    return type(target)(entry.declaration.function) if is_bound else entry.declaration.function
