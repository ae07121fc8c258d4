"""The frames of an exception, innermost first: those of its traceback, then those that still run around it."""

from __future__ import annotations

import dis
import itertools
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dimtyped.runtime import Places, is_wrapper, locals_of, traced_frame, traced_instruction

_PLACES = Places()
_MOST_OUTER = 200  # frames that are looked at around the call


@dataclass(frozen=True)
class Span:
    """A piece of a file, as code objects and the `ast` module count: lines from 1, columns in bytes from 0."""

    line: int
    end_line: int
    column: int
    end_column: int


@dataclass
class Frame:
    """A frame, or one that a trace of TorchDynamo is in.

    Args:
        frame: The frame.
        instruction: The index of its instruction, in bytes.
        is_running: True if it is around the call; False if the exception has left it.
    """

    frame: types.FrameType
    instruction: int
    is_running: bool

    @cached_property
    def _traced(self) -> tuple[types.CodeType, Mapping[str, Any], Mapping[str, Any]] | None:
        return traced_frame(self.frame)

    @property
    def code(self) -> types.CodeType:
        """Its code."""
        return self._traced[0] if self._traced else self.frame.f_code

    @property
    def names(self) -> Mapping[str, Any]:
        """Its globals."""
        return self._traced[1] if self._traced else self.frame.f_globals

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """Its variables; in a trace as fake tensors and constants."""
        return self._traced[2] if self._traced else locals_of(self.frame)

    @property
    def is_users(self) -> bool:
        """True if it is neither torch's, nor a library's that is passed over, nor this package's."""
        return _PLACES.is_users(self.code)

    @property
    def is_wrapper(self) -> bool:
        """True for the check around a typed function."""
        return is_wrapper(self.code)

    @property
    def raises(self) -> bool:
        """True if the exception comes from a `raise` of its own."""
        name = traced_instruction(self.frame).opname if self._traced else _opname(self.code, self.instruction)
        return name in ("RAISE_VARARGS", "RERAISE")

    @property
    def span(self) -> Span | None:
        """The place of its instruction; None if Python does not know the columns."""
        found = (
            traced_instruction(self.frame).positions if self._traced else _positions(self.code, self.instruction)
        ) or ()
        return Span(*found) if found and all(part is not None for part in found) else None  # type: ignore[arg-type]  # checked here


def is_users_own(error: BaseException) -> bool:
    """True for an exception that the user's code raised by itself."""
    entry = error.__traceback__
    while entry is not None and entry.tb_next is not None:
        entry = entry.tb_next
    if entry is None:
        return False
    frame = Frame(entry.tb_frame, entry.tb_lasti, is_running=False)
    return frame.is_users and frame.raises


def frames_of(error: BaseException) -> list[Frame]:
    """The frames of an exception that is being handled, innermost first."""
    found: list[Frame] = []
    entry, outer = error.__traceback__, None
    while entry is not None:
        outer = outer or entry.tb_frame
        found.append(Frame(entry.tb_frame, entry.tb_lasti, is_running=entry.tb_frame is outer))
        entry = entry.tb_next
    return [*reversed(found), *itertools.islice(_around(outer), _MOST_OUTER)]


def _around(frame: types.FrameType | None) -> Iterator[Frame]:
    frame = frame.f_back if frame is not None else None
    while frame is not None:
        yield Frame(frame, frame.f_lasti, is_running=True)
        frame = frame.f_back


def has_passed_another(error: BaseException) -> bool:
    """True if a typed call inside this one has had this exception already: its frame was taken out of the traceback."""
    entry = error.__traceback__.tb_next if error.__traceback__ is not None else None
    while entry is not None:
        back = entry.tb_frame.f_back
        if back is not None and is_wrapper(back.f_code) and back is not error.__traceback__.tb_frame:  # type: ignore[union-attr]  # it has one here
            return True
        entry = entry.tb_next
    return False


def _opname(code: types.CodeType, instruction: int) -> str:
    return dis.opname[code.co_code[instruction]] if 0 <= instruction < len(code.co_code) else ""


def _positions(code: types.CodeType, instruction: int) -> tuple[int | None, ...] | None:
    found = next(itertools.islice(code.co_positions(), instruction // 2, None), None)
    return found and (found[0], found[1], found[2], found[3])
