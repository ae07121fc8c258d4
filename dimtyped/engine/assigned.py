"""Annotated assignments that the import hook checks: each is a call of `assert_dims` with one of these as its annotation.

In a function's body Python does not evaluate the annotation of a variable. One that uses global names alone is evaluated
once, when the assignment first runs.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Final, NamedTuple, get_args, get_origin

from dimtyped.annotations import mentions_tensors
from dimtyped.errors import DeclarationError, declaration_error
from dimtyped.runtime import PREFIX

_TARGET, _IS_ARRAY = f"{PREFIX}target", f"{PREFIX}is_array"


class LocalAnnotation(NamedTuple):
    """An annotation that uses variables of the function, evaluated at each assignment.

    Args:
        annotation: Its value.
        target: What is assigned to: `scores`.
    """

    annotation: Any
    target: str


def lazy_annotation(resolve: Callable[[], Any], target: str, *, is_array: bool) -> Callable[[], Any]:
    """An annotation to be evaluated when it is first needed: a function, since a trace takes one for a constant.

    Args:
        resolve: Evaluates it.
        target: What is assigned to.
        is_array: True if it has the form of a jaxtyping annotation. Another one may be an alias of one, and is left
            alone if it is not, or cannot be evaluated.
    """
    setattr(resolve, _TARGET, target)
    setattr(resolve, _IS_ARRAY, is_array)
    return resolve


def target_of(annotation: Any) -> str | None:
    """What an annotated assignment assigns to; None for the annotation of an `assert_dims` that a user wrote."""
    if isinstance(annotation, LocalAnnotation):
        return annotation.target
    return getattr(annotation, _TARGET, None) if isinstance(annotation, types.FunctionType) else None


def resolved(annotation: Any) -> Any:
    """The annotation itself; `Any` for an assignment's that is no jaxtyping annotation.

    Raises:
        DeclarationError: the annotation of an assignment cannot be evaluated.
    """
    target = target_of(annotation)
    if target is None:
        return annotation
    found = annotation.annotation if isinstance(annotation, LocalAnnotation) else _evaluated(annotation, target)
    if get_origin(found) is Final:
        found = get_args(found)[0]
    return found if mentions_tensors(found) else Any


def _evaluated(resolve: Any, target: str) -> Any:
    try:
        return resolve()
    except DeclarationError:
        raise
    except Exception as error:
        if not getattr(resolve, _IS_ARRAY):
            return Any
        raise declaration_error(
            target,
            f"its annotation cannot be evaluated: {type(error).__name__}: {error}",
            "import or define every name that it uses",
            argument=target,
            actual=str(error),
        ) from error
