"""Tracebacks and call stacks as the user sees them: without the frames of this package and of torch's module calls."""

from __future__ import annotations

import contextlib
import functools
import itertools
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
_NAME = __name__.partition(".")[0]
_TORCH = f"{Path(torch.__file__).parent}/"
_MODULES = f"{_TORCH}nn/modules/"
_WIDTH = 100  # of a line quoted in a message
_PASSING = contextlib.__file__, functools.__file__  # which run contexts and cached properties, ours or the user's
_INTERNAL: set[types.CodeType] = set()  # of functions that only pass a call on


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

    A bare `raise` that follows does not add the running frame again, so a wrapper can remove itself too. From this
    package's own errors torch's module calls are removed as well, so that the user's line comes last. From an exception
    that a function of this package has raised, and that is none of its own errors, only the outermost wrappers are
    removed: it is a bug, and the traceback shows where.
    """
    if isinstance(error, DimensionError | DeclarationError) or type(error).__module__.partition(".")[0] == _NAME:
        error.__traceback__ = _relinked([*_users(error.__traceback__)])
        return
    entries = list(_entries(error.__traceback__))
    inner = [entry for entry in entries if not entry.tb_frame.f_code.co_filename.startswith(_TORCH)]
    if inner and _is_in_package(inner[-1].tb_frame.f_code) and not _is_wrapper(inner[-1].tb_frame.f_code):
        entries = list(itertools.dropwhile(lambda entry: _is_wrapper(entry.tb_frame.f_code), entries))
    else:
        entries = [entry for entry in entries if not _is_in_package(entry.tb_frame.f_code)]
    error.__traceback__ = _relinked(entries)


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
        [entry for entry in entries if not entry.tb_frame.f_code.co_filename.startswith((*hidden, *_PASSING))]
    )


def internal_frame(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Marks a function that only passes a call on: its frame is removed from all exceptions, not only this package's."""
    _INTERNAL.add(function.__code__)  # type: ignore[attr-defined]  # a Python function
    return function


class WithoutInternalFrames:
    """A context that removes these frames from errors raised inside, not for traced code; and a decorator, which a trace passes."""

    def __enter__(self) -> None:
        """Does nothing."""

    def __exit__(self, kind: object, error: BaseException | None, found: object) -> None:
        """Strips the error and lets it propagate."""
        if error is not None:
            strip_internal_frames(error)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """The function, run in this context."""

        @internal_frame
        @functools.wraps(function)
        def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                if not torch.compiler.is_compiling():  # a trace follows no traceback
                    strip_internal_frames(error)
                raise

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


def _entries(found: types.TracebackType | None) -> Iterator[types.TracebackType]:
    while found is not None:
        yield found
        found = found.tb_next


def _is_in_package(code: types.CodeType) -> bool:
    return code.co_filename.startswith((GENERATED, _PACKAGE))


def _is_wrapper(code: types.CodeType) -> bool:
    return code.co_filename.startswith(GENERATED) or code in _INTERNAL


def _users(found: types.TracebackType | None) -> Iterator[types.TracebackType]:
    """The user's entries of a traceback, with the torch functions called between them."""
    between: list[types.TracebackType] = []
    for entry in _entries(found):
        code = entry.tb_frame.f_code
        if code.co_filename in _PASSING:
            between.append(entry)
        elif not is_internal(code.co_filename):
            yield from between
            between = []
            yield entry
        elif code.co_filename.startswith(_TORCH) and not code.co_filename.startswith(_MODULES):
            between.append(entry)


def _relinked(entries: list[types.TracebackType]) -> types.TracebackType | None:
    first: types.TracebackType | None = None
    for entry in reversed(entries):
        entry.tb_next = first
        first = entry
    return first


def is_internal(file: str) -> bool:
    """True of a file of this package or of torch, and of generated code."""
    return file.startswith((GENERATED, _PACKAGE, _TORCH))
