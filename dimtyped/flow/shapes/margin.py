"""The source of each function that ran, with the shapes at its right margin, as people write them by hand."""

from __future__ import annotations

import io
import linecache
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dimtyped.flow.shapes.running import Shapes
from dimtyped.flow.shapes.statements import FunctionSource

_COLUMN = 60
_SHAPE = r"(?:[\w, ]+: )?(?:\d+ x )?\([^()]*\)"
_WRITTEN = re.compile(rf"\s*# {_SHAPE}(?:(?:, | or ){_SHAPE})*$")
"""A comment at the end of a line that is a shape."""


@dataclass(frozen=True, slots=True)
class Margin:
    """The source of one function, and the comments for its lines.

    Attributes:
        file: Its file.
        function: It.
        comments: The comment of a line, without `#`.
        variables: The shape of each variable, by the first line of the statement that assigns it.
    """

    file: str
    function: FunctionSource
    comments: dict[int, str]
    variables: dict[tuple[int, str], str]

    @property
    def lines(self) -> Iterator[str]:
        """The lines with their comments at the margin."""
        numbers = range(self.function.first, self.function.last + 1)
        source = {line: linecache.getline(self.file, line).rstrip("\n") for line in numbers}
        bare = {line: _WRITTEN.sub("", text) if line in self.comments else text for line, text in source.items()}
        longest = max((len(bare[line]) for line in self.comments), default=0)
        column = min(longest, _COLUMN)
        for line, text in bare.items():
            comment = self.comments.get(line)
            yield text if comment is None else f"{text:<{column}}  # {comment}"


def commented(source: str, margins: Iterable[Margin]) -> str:
    """The source of a file with the shapes as comments; a line that has a comment stays as it is."""
    lines = io.StringIO(source, newline="").readlines()  # a form feed ends no line of Python's
    taken = _lines_with_comments(source)
    for margin in margins:
        for line, comment in margin.comments.items():
            if line not in taken:
                text = lines[line - 1]
                bare = text.rstrip("\r\n")
                lines[line - 1] = f"{bare}  # {comment}{text[len(bare) :]}"
    return "".join(lines)


def _lines_with_comments(source: str) -> set[int]:
    """The lines that end in a comment, or inside a text of several lines."""
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            found.add(token.start[0])
        elif token.end[0] > token.start[0]:
            found.update(range(token.start[0], token.end[0]))
    return found


def margins_of(shapes: Shapes, file: str) -> list[Margin]:
    """The functions of a file that ran, in order."""
    found: list[Margin] = []
    for (path, first), function in sorted(shapes.functions.items()):
        if path != file:
            continue
        comments = {
            _last_line(function, line): " or ".join(texts)
            for (place, line), texts in shapes.texts.items()
            if place == file and first <= line <= function.last
        }
        variables = {
            (line, name): " or ".join(texts)
            for (place, line, name), texts in shapes.variables.items()
            if place == file and first <= line <= function.last
        }
        found.append(Margin(file, function, comments, variables))
    return found


def _last_line(function: FunctionSource, line: int) -> int:
    """The line where the comment of a statement stands: its last one."""
    statement = function.lines.get(line)
    return line if statement is None else statement.end
