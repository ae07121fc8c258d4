"""Where the lines of the text that was checked are in the text of the editor, which may have been edited since."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Sequence

from dimtyped.cli.lsp.data import Edit, Function, Problem, Span, Variable


class LineMap:
    """Maps lines of a text to those of an edited one.

    Args:
        before: The lines that were checked.
        after: The lines now.
    """

    def __init__(self, before: Sequence[str], after: Sequence[str]):
        self._moved: dict[int, int] | None = None if before == after else dict(_alike(before, after))

    def line(self, line: int) -> int | None:
        """The place of a line now; None if it was changed or deleted."""
        return line if self._moved is None else self._moved.get(line)

    def kept(self, first: int, last: int) -> int:
        """The last line of a range up to which nothing was changed, inserted or deleted; `first - 1` if it begins with a change."""
        start = self.line(first)
        if start is None:
            return first - 1
        changed = (line for line in range(first, last + 1) if self.line(line) != start + line - first)
        return next(changed, last + 1) - 1

    def span(self, span: Span) -> Span | None:
        """The place of a span now; None if a line of it was changed."""
        start = self.line(span.line)
        if start is None or self.kept(span.line, span.end_line) < span.end_line:
            return None
        moved = start - span.line
        return dataclasses.replace(span, line=start, end_line=span.end_line + moved)

    def problem(self, problem: Problem) -> Problem | None:
        """A problem at its place now; None if its line was changed. Without its edit if that is where something was changed."""
        span = self.span(problem.span)
        if span is None:
            return None
        return dataclasses.replace(problem, span=span, edit=self._edit(problem.edit))

    def _edit(self, edit: Edit | None) -> Edit | None:
        span = self.span(edit.span) if edit is not None else None
        return dataclasses.replace(edit, span=span) if edit is not None and span is not None else None

    def variables(self, functions: Iterable[Function]) -> Iterator[tuple[Function, Variable]]:
        """The variables whose shapes still hold, at their places now: those of a function that was edited, above the edit."""
        for function in functions:
            kept, start = self.kept(function.first, function.last), self.line(function.first)
            if start is None:
                continue
            moved = start - function.first
            here = dataclasses.replace(function, first=start, last=function.last + moved)
            for variable in function.variables:
                if variable.end <= kept:
                    yield (
                        here,
                        dataclasses.replace(variable, line=variable.line + moved, end=variable.end + moved),
                    )


def _alike(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of lines that are the same; what two texts begin and end with is not searched."""
    limit = min(len(before), len(after))
    head = next((place for place in range(limit) if before[place] != after[place]), limit)
    rest = limit - head
    tail = next((place for place in range(rest) if before[-1 - place] != after[-1 - place]), rest)
    yield from ((line, line) for line in range(head))
    inner = difflib.SequenceMatcher(None, before[head : len(before) - tail], after[head : len(after) - tail])
    for one, other, size in inner.get_matching_blocks():
        yield from ((head + one + step, head + other + step) for step in range(size))
    yield from ((len(before) - tail + step, len(after) - tail + step) for step in range(tail))
