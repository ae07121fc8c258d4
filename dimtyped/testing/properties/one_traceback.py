"""One traceback for a property that fails: the call of the property, then the lines of the user's model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import hypothesis

from dimtyped.errors import DeclarationError
from dimtyped.runtime import strip_internal_frames, take_user_frames

_P = ParamSpec("_P")
_R = TypeVar("_R")
_HYPOTHESIS = f"{Path(hypothesis.__file__).parent}/"


def with_one_traceback(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """The function, whose AssertionError shows where the model failed, and no frame of this package or hypothesis."""

    @functools.wraps(function)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except AssertionError as failure:
            take_user_frames(failure, failure.__cause__ or failure, _HYPOTHESIS)
            failure.__cause__, failure.__suppress_context__ = None, True
            raise
        except DeclarationError as error:
            strip_internal_frames(error)
            raise

    return wrapper
