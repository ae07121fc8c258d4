"""What a check of a file finds, as data that a process sends to another: lines and columns are characters, from 0."""

from __future__ import annotations

import tokenize
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Span:
    """A piece of a text: from a character to the one before another."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True)
class Edit:
    """A change of a text.

    Args:
        title: What it does.
        span: What it replaces.
        before: The text there.
        text: The text instead.
    """

    title: str
    span: Span
    before: str
    text: str


@dataclass(frozen=True)
class Problem:
    """Something to show at a line.

    Args:
        file: The file.
        span: Where.
        kind: The kind of a finding, or `skipped`, `import`, `crash`.
        message: The text.
        is_error: False of a class that was not checked.
        edit: The change that mends it, if one is known.
    """

    file: str
    span: Span
    kind: str
    message: str
    is_error: bool = True
    edit: Edit | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The problem that `asdict` made data of."""
        edit: Any = data["edit"]
        parts: dict[str, Any] = {"span": Span(**data["span"]), "edit": None}
        if edit is not None:
            parts["edit"] = Edit(edit["title"], Span(**edit["span"]), edit["before"], edit["text"])
        return cls(**dict[str, Any]({**data, **parts}))


@dataclass(frozen=True)
class Variable:
    """A variable at the place where it gets its value.

    Args:
        name: Its name; empty for what a `return` gives.
        line: The line of the name.
        column: The column after the name, or after the `return` statement.
        end: The last line of the statement.
        shape: Its shape: `(batch, time, embed)`.
        is_annotated: The code has an annotation there.
    """

    name: str
    line: int
    column: int
    end: int
    shape: str
    is_annotated: bool = False


@dataclass(frozen=True)
class Function:
    """A function that ran.

    Args:
        name: Its name, with the classes around it.
        first: The line of its `def`.
        last: Its last line.
        variables: Its variables, in order.
    """

    name: str
    first: int
    last: int
    variables: tuple[Variable, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The function that `asdict` made data of."""
        variables = tuple(Variable(**each) for each in data["variables"])
        return cls(data["name"], data["first"], data["last"], variables)


def to_dict(thing: Problem | Function) -> dict[str, Any]:
    """It as data that `json.dumps` takes."""
    return asdict(thing)


def lines_of(text: str) -> list[str]:
    """The lines of a text, as Python and editors count them, without their ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def read_text(file: Path) -> str:
    """The text of a Python file; empty if there is none."""
    try:
        with tokenize.open(file) as opened:
            return opened.read()
    except (SyntaxError, UnicodeDecodeError):  # not the encoding that it names
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def whole_line(lines: list[str], line: int) -> Span:
    """The span of a line without its indentation; of the nearest line if there is no such."""
    line = min(max(line, 0), len(lines) - 1)
    text = lines[line]
    return Span(line, len(text) - len(text.lstrip()), line, len(text.rstrip()))
