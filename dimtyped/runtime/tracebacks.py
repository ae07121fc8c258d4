"""Tracebacks and call stacks as the user sees them: without the frames of this package and of torch's module calls."""

from __future__ import annotations

import contextlib
import functools
import linecache
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import torch

from dimtyped.errors import DeclarationError, DimensionError
from dimtyped.runtime.generated import GENERATED

_P = ParamSpec("_P")
_R = TypeVar("_R")
_PACKAGE = f"{Path(__file__).parent.parent}/"
_TORCH = f"{Path(torch.__file__).parent}/"
_MODULES = f"{_TORCH}nn/modules/"
_WIDTH = 100  # of a line quoted in a message
_CONTEXTS = contextlib.__file__
_CONSTRUCTOR = f"{_PACKAGE}nn/module.py", "constructor"


class UserLine(NamedTuple):
    """A line of the user's code that is running.

    Args:
        file: Its file.
        line: Its number.
        source: Its text.
        is_last: True if a traceback ends in it, so that a message need not repeat it.
    """

    file: str
    line: int
    source: str
    is_last: bool

    def __str__(self) -> str:
        source = self.source if len(self.source) <= _WIDTH else f"{self.source[: _WIDTH - 3]}..."
        is_cell = self.file.startswith("<") or "ipykernel_" in self.file  # typed in, or a notebook's
        return f"{f'line {self.line}' if is_cell else f'{Path(self.file).name}:{self.line}'}: {source}"


def strip_internal_frames(error: BaseException) -> None:
    """Removes this package's frames from an error's traceback.

    A bare `raise` that follows does not add the running frame again, so a wrapper can remove itself too. From an
    exception that is not this package's only wrappers are removed, so that a bug in this package still shows where it
    is. From this package's own errors torch's module calls are removed as well, so that the user's line comes last.
    """
    if isinstance(error, DimensionError | DeclarationError):
        error.__traceback__ = _relinked([*_users(error.__traceback__)])
        return
    found = error.__traceback__
    while found is not None and _is_wrapper(found.tb_frame.f_code):
        found = found.tb_next
    error.__traceback__ = found


def strip_traced_frames(error: BaseException) -> None:
    """Takes this package's frames out of what TorchDynamo shows as the user's code."""
    stack: Any = getattr(error, "real_stack", None)
    if isinstance(stack, list):
        stack[:] = [
            line for line in cast("list[traceback.FrameSummary]", stack) if not line.filename.startswith(GENERATED)
        ]


def take_user_frames(error: BaseException, source: BaseException, *hidden: str) -> None:
    """Gives an error the user's part of another's traceback, without files whose names begin with `hidden`."""
    entries = _users(source.__traceback__)
    error.__traceback__ = _relinked(
        [entry for entry in entries if not entry.tb_frame.f_code.co_filename.startswith((*hidden, _CONTEXTS))]
    )


class WithoutInternalFrames:
    """A context that removes these frames from errors raised inside; not for traced code."""

    def __enter__(self) -> None:
        """Does nothing."""

    def __exit__(self, kind: object, error: BaseException | None, found: object) -> None:
        """Strips the error and lets it propagate."""
        if error is not None:
            strip_internal_frames(error)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """The function, run in this context."""

        @functools.wraps(function)
        def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with self:
                return function(*args, **kwargs)

        return wrapper


def user_line() -> UserLine | None:
    """The innermost line of the user's code that is running, if any."""
    frame: types.FrameType | None = sys._getframe(1)
    through_torch = False
    while frame is not None and is_internal(frame.f_code.co_filename):
        through_torch = frame.f_code.co_filename.startswith(_TORCH)
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith("<frozen"):
        return None
    file, line = frame.f_code.co_filename, frame.f_lineno
    source = linecache.getline(file, line, frame.f_globals).strip()
    return UserLine(file, line, source, is_last=not through_torch or _has_wrapper(frame))


def _has_wrapper(frame: types.FrameType | None) -> bool:
    """True if a wrapper around this frame removes torch's frames from the errors that pass through it."""
    while frame is not None:
        if _is_wrapper(frame.f_code):
            return True
        frame = frame.f_back
    return False


def _is_wrapper(code: types.CodeType) -> bool:
    return code.co_filename.startswith(GENERATED) or (code.co_filename, code.co_name) == _CONSTRUCTOR


def _users(found: types.TracebackType | None) -> Iterator[types.TracebackType]:
    """The user's entries of a traceback, with the torch functions called between them."""
    between: list[types.TracebackType] = []
    while found is not None:
        code = found.tb_frame.f_code
        if not is_internal(code.co_filename):
            yield from between
            between = []
            yield found
        elif code.co_filename.startswith(_TORCH) and not code.co_filename.startswith(_MODULES):
            between.append(found)
        found = found.tb_next


def _relinked(entries: list[types.TracebackType]) -> types.TracebackType | None:
    first: types.TracebackType | None = None
    for entry in reversed(entries):
        entry.tb_next = first
        first = entry
    return first


def is_internal(file: str) -> bool:
    """True of a file of this package or of torch, and of generated code."""
    return file.startswith((GENERATED, _PACKAGE, _TORCH))
