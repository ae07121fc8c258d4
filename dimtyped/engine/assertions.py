"""`assert_dims`: a check in a function's body that shares the names of the typed call around it.

A check is written once for each annotation, as for a parameter. It reads the names that the call has bound from the
dictionary that `call_names` describes, and stores there the names that it binds itself.
"""

from __future__ import annotations

import functools
import sys
import types
from typing import Any, TypeVar

from dimtyped import diagnosis
from dimtyped.annotations import annotation_text, read_hint
from dimtyped.engine.assertion_checks import ByReference, Check, Names, alone, key_of, read, write
from dimtyped.engine.assertion_errors import error_of, refuse
from dimtyped.engine.assigned import resolved, target_of
from dimtyped.engine.call_names import EXPORTER, VARIABLE, code_objects, wrapper_around
from dimtyped.errors import DimensionError
from dimtyped.runtime import (
    at_trace_time,
    eagerly,
    end_trace,
    is_tracing,
    mode,
    on_change,
    strip_internal_frames,
    traced_frames,
    untraced,
)

_getframe = sys._getframe  # pyright: ignore[reportPrivateUsage]  # inspect.currentframe cannot skip a frame
_VARIABLE, _EXPORTER, _code_objects = VARIABLE, EXPORTER, code_objects  # looked up once: this is hot
_T = TypeVar("_T")
_KEPT = 512  # annotations known by identity: one written inside a function is a new object at each call
_known: dict[Any, Check] = {}
_assigned: dict[Any, Check] = {}
_checks: dict[Any, Check] = {}
_traced = types.SimpleNamespace()
_traced_names: dict[Any, str] = {}
_is_off = False
_by_reference = False


def assert_dims(x: _T, annotation: Any, /) -> _T:
    """Checks a value in a function's body, as a parameter with this annotation would be, and returns it.

    In the body of a function that `typed` checks, the names have the sizes that they have in that call, including
    those that a module declares. A name without a size yet is bound here, for later checks of the call and for its
    result. Anywhere else, and in compiled code, the annotation is checked alone: the names of the enclosing call are not
    compared. With checks off, `x` is returned at once.

    jaxtyping takes 6 us to make an annotation. If a body runs often, assign the annotation to a name outside it.

    Args:
        x: The value to check.
        annotation: Any annotation that `typed` accepts for a parameter.

    Raises:
        DimensionError: `x` does not fit.
        DeclarationError: `annotation` is not an annotation, or has an expression with a name without a size.

    Example:
        >>> import torch
        >>> from dimtyped import typed
        >>> from jaxtyping import Float, Int
        >>> from torch import Tensor
        >>> @typed
        ... def best(q: Float[Tensor, "query head"], k: Float[Tensor, "key head"]) -> Int[Tensor, "query"]:
        ...     scores = assert_dims(q @ k.mT, Float[Tensor, "query key"])
        ...     return scores.argmax(1)
        >>> best(torch.ones(3, 4), torch.ones(5, 4)).shape
        torch.Size([3])
    """
    if _is_off:
        return x
    if is_tracing():
        if getattr(_traced, _prepare_traced(annotation))(x, {}, None):
            return x
        # Called from here, so that TorchDynamo skips this frame.
        raise _explain_traced(annotation, diagnosis.describe(x))
    outer: types.FrameType | None = None
    names: Any = None
    try:
        outer = _getframe(2)
        if outer.f_code.co_name == _EXPORTER:
            names = outer.f_locals.get(_VARIABLE)
    except ValueError:  # not called from a function
        pass
    if names is None:
        frame = _getframe(1)
        outer = wrapper_around(frame) if id(frame.f_code) in _code_objects else None
        names = {} if outer is None else outer.f_locals[_VARIABLE]
    try:
        check = _known[annotation]
    except (KeyError, TypeError):  # TypeError: it has no hash
        check = _check_of(annotation)
    if check(x, names, outer):
        return x
    try:
        return eagerly(refuse)(x, annotation, check, names, _getframe(1), outer)
    except BaseException as error:
        strip_internal_frames(error)
        raise


def is_instance(x: object, annotation: Any, /) -> bool:
    """Returns True if a value fits an annotation, as `isinstance` in a function that jaxtyping checks: with the call's names.

    The import hook puts it in the place of `isinstance(x, Float[Tensor, "batch seq"])`.
    """
    if _is_off:
        return isinstance(x, resolved(annotation))
    if is_tracing():
        return getattr(_traced, _prepare_traced(annotation))(x, {}, None)
    frame = _getframe(1)
    outer = wrapper_around(frame) if id(frame.f_code) in _code_objects else None
    names = {} if outer is None else outer.f_locals[_VARIABLE]
    return (_known.get(annotation) or _check_of(annotation))(x, names, outer)  # it binds names only if it passes


_CODE = assert_dims.__code__


def _follow_mode() -> None:
    global _is_off, _by_reference
    _is_off = mode() == "off"
    _by_reference = mode() == "reference"
    _known.clear()
    _assigned.clear()


_follow_mode()
on_change(_follow_mode)


def _check_of(annotation: Any) -> Check:
    """The check of an annotation; equal annotations share one check."""
    given, annotation = annotation, eagerly(resolved)(annotation)
    try:
        key = (_by_reference, key_of(annotation))
        check = _checks.get(key)
    except TypeError:  # it has no hash
        return eagerly(_make_check)(annotation)
    if check is None:
        check = _checks[key] = eagerly(_make_check)(annotation)
    if len(_known) >= _KEPT + len(_assigned):
        _known.clear()
        _known.update(_assigned)
    _known[given] = check
    if given is not annotation and isinstance(given, types.FunctionType):  # one for each assignment in the source
        _assigned[given] = check
    return check


def _make_check(annotation: Any) -> Check:
    hint = read(annotation)
    return ByReference(annotation, hint) if _by_reference or hint is None else write(hint)


# Inside a trace, which has no frame that leads to the enclosing call -----------------------------------------------


@at_trace_time
def _prepare_traced(annotation: Any) -> str:
    """The attribute of `_traced` that holds the check of the annotation alone."""
    annotation = resolved(annotation)
    key = key_of(annotation)
    if key not in _traced_names:
        hint = read(annotation)
        name = _traced_names[key] = f"check_{len(_traced_names)}"
        setattr(_traced, name, write(alone(hint)) if hint is not None else _untraced(annotation))
    return _traced_names[key]


def _untraced(annotation: Any) -> Check:
    text = annotation_text(annotation)
    reason = f"assert_dims: jaxtyping and beartype check {text}, which no trace can follow"
    return untraced(functools.partial(_check_or_raise, annotation), reason)


def _check_or_raise(annotation: Any, value: Any, names: Names, frame: types.FrameType | None) -> bool:
    if ByReference(annotation, None)(value, names, frame):
        return True
    raise error_of(None, annotation, diagnosis.snapshot(value), diagnosis.Findings(), "", "x")


@at_trace_time
def _explain_traced(annotation: Any, described: tuple[Any, ...]) -> DimensionError:
    where = next((code.co_qualname for code, _, _ in traced_frames() if code is not _CODE), "")
    target, annotation = target_of(annotation), resolved(annotation)
    return end_trace(
        error_of(
            alone(read_hint(annotation)),
            annotation,
            diagnosis.from_description(described),
            diagnosis.Findings(),
            where,
            target or "x",
            is_assigned=target is not None,
        )
    )
