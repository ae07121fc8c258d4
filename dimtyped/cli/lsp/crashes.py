"""A check whose process ended before it had an answer, as a problem at a line of the user's."""

from __future__ import annotations

import ast
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from dimtyped.cli.lsp.data import Problem, lines_of, whole_line

_CALL = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in ', re.MULTILINE)
_NO_MODULE = re.compile(r"No module named '?(dimtyped[\w.]*)")


@dataclass(frozen=True)
class Ending:
    """How a process ended.

    Args:
        status: Its exit status; negative for the number of a signal; None if the server ended it, as the time was over.
        trace: The calls that `faulthandler` wrote.
        output: The end of what it printed.
        doing: What it was about: `checking model.py:Decoder`.
        limit: The time that it had, in seconds.
    """

    status: int | None
    trace: str
    output: str
    doing: str
    limit: float


def crash_problem(ending: Ending, file: Path, text: str, python: str) -> Problem:
    """The problem to show for a process that ended before its time.

    Args:
        ending: How it ended.
        file: The file that it checked.
        text: The text of the file.
        python: The interpreter.
    """
    line = _line_in_trace(ending.trace, file)
    at = line if line is not None else _line_of_name(ending.doing.rpartition(":")[2], text)
    return Problem(str(file), whole_line(lines_of(text), at), "crash", _message(ending, python, line is not None))


def _message(ending: Ending, python: str, has_line: bool) -> str:
    where = f" while {ending.doing}" if ending.doing else ""
    if ending.status is None or "Timeout (" in ending.trace:
        here = "; it was here" if has_line else where
        return (
            f"the check was stopped after {ending.limit:g} s{here}. Put what runs a program below "
            f'`if __name__ == "__main__":`, or give the check more time: "timeout" in initializationOptions'
        )
    if _NO_MODULE.search(ending.output) and not ending.doing:
        return f'{python} has no dimtyped: install it there, or name another interpreter: "python" in initializationOptions'
    if ending.status < 0:
        return f"Python crashed ({_signal_name(-ending.status)}){'' if has_line else where}: this code, or a library that it calls"
    last = next((line for line in reversed(ending.output.splitlines()) if line.strip()), "")
    said = f". It printed last: {last.strip()}" if last else ""
    return f"the process of the check ended with status {ending.status}{where}: something calls `os._exit`, or ends Python{said}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _line_in_trace(trace: str, file: Path) -> int | None:
    """The deepest line of the file in the calls of a process, from 0; calls are listed from the deepest."""
    lines = (int(call["line"]) - 1 for call in _CALL.finditer(trace) if Path(call["file"]) == file)
    return next(lines, None)


def _line_of_name(name: str, text: str) -> int:
    """The line where a file defines a name; 0 if it does not."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return 0
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return next((node.lineno - 1 for node in body if isinstance(node, kinds) and node.name == name), 0)
