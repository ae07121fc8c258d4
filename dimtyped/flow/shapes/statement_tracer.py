"""Follows the user's functions statement by statement, while a model runs."""

from __future__ import annotations

import opcode
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any, Self

from dimtyped.flow.shapes.statements import FunctionSource, Sources, Statement
from dimtyped.runtime import Places


class StatementTracer:
    """A context in which each statement of the user's functions is followed.

    A subclass says what is kept: `entered` when a function begins, `assigned` once a statement has given variables their
    values, `returned` when it returns, `left` when it ends in any way.

    Args:
        skip: Packages whose lines are not the user's.
    """

    def __init__(self, skip: Iterable[str] = ()) -> None:
        self._places = Places(skip)
        self._sources = Sources()
        self._before: dict[FrameType, Statement] = {}
        self._previous: Any = None

    def entered(self, frame: FrameType, function: FunctionSource, /) -> Any:
        """What is kept of the call, which the other methods get; None to leave the call out."""
        raise NotImplementedError

    def assigned(self, frame: FrameType, call: Any, statement: Statement, /) -> None:
        """The variables of the statement have their values."""
        raise NotImplementedError

    def returned(self, frame: FrameType, call: Any, statement: Statement | None, value: Any, /) -> None:
        """The function returns a value, by a statement or at its end."""
        raise NotImplementedError

    def left(self, call: Any, /) -> None:
        """The function has returned, or an exception has left it."""

    def __enter__(self) -> Self:
        """Begins to follow; a debugger's own trace function waits meanwhile."""
        self._previous = sys.gettrace()
        sys.settrace(self._enter_frame)
        return self

    def __exit__(self, *error: object) -> None:
        """Ends it."""
        sys.settrace(self._previous)
        self._before.clear()

    def _enter_frame(self, frame: FrameType, event: str, _: Any) -> Any:
        if event != "call" or not self._places.is_users(frame.f_code):
            return None
        function = self._sources.of(frame.f_code)
        call = self.entered(frame, function) if function is not None else None
        if function is None or call is None:
            return None

        def follow(frame: FrameType, event: str, value: Any) -> Any:
            if event in ("line", "return"):
                self._leave_statement(frame, function, call, event, value)
            return follow

        return follow

    def _leave_statement(self, frame: FrameType, function: FunctionSource, call: Any, event: str, value: Any) -> None:
        """Says what the statement before assigned, once another one begins or the function returns."""
        current = function.lines.get(frame.f_lineno)
        before = self._before.get(frame)
        if event == "return":
            self._before.pop(frame, None)
        elif current is before and current is not None and frame.f_lineno != current.line:
            return  # another line of the same statement
        elif current is not None:
            self._before[frame] = current
        if before is not None and before.targets:
            self.assigned(frame, call, before)
        if event == "return" and _is_returning(frame):
            is_by_statement = current is not None and current.is_return and before is current
            self.returned(frame, call, current if is_by_statement else None, value)
        if event == "return":
            self.left(call)


def _is_returning(frame: FrameType) -> bool:
    """True if the function returns, rather than being left by an exception."""
    return opcode.opname[frame.f_code.co_code[frame.f_lasti]].startswith("RETURN")
