"""What is known of each file: what its last check found, and where that is in the text as it is now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dimtyped.cli.lsp.data import Function, Problem, Variable, lines_of, read_text
from dimtyped.cli.lsp.staleness import LineMap


@dataclass
class Checked:
    """What the last check of a file found.

    Args:
        texts: The lines of each file that was checked, as they were when the check began.
        problems: The problems, in this file and those that it uses.
        functions: The functions of this file that ran.
        files: The files that it was made of.
    """

    texts: dict[Path, list[str]] = field(default_factory=dict[Path, list[str]])
    problems: list[Problem] = field(default_factory=list[Problem])
    functions: list[Function] = field(default_factory=list[Function])
    files: frozenset[Path] = frozenset()


class State:
    """The files that are open in the editor, and what is known of them and of those that they use.

    Attributes:
        checked: What the last check of each open file found.
    """

    def __init__(self) -> None:
        self.checked: dict[Path, Checked] = {}
        self._open: dict[Path, list[str]] = {}

    def put(self, file: Path, text: str) -> None:
        """Notes the text that the editor has of a file."""
        self._open[file] = lines_of(text)

    def close(self, file: Path) -> None:
        """Forgets a file that was closed."""
        self._open.pop(file, None)
        self.checked.pop(file, None)

    def is_open(self, file: Path) -> bool:
        """True of a file that the editor shows."""
        return file in self._open

    def users_of(self, file: Path) -> list[Path]:
        """The open files that were made of a file when they were checked, itself first."""
        users = [each for each, checked in self.checked.items() if file in checked.files and each != file]
        return [file, *users] if self.is_open(file) else users

    def files_with_problems(self) -> set[Path]:
        """The files that have problems."""
        return {Path(problem.file) for checked in self.checked.values() for problem in checked.problems}

    def problems(self, file: Path) -> list[Problem]:
        """The problems of a file at their places now, each once, whatever check found it."""
        own = [self.checked[file]] if file in self.checked else []
        others = [checked for each, checked in self.checked.items() if each != file]
        found: dict[object, Problem] = {}
        for checked in (*own, *others):
            mapped = self._map(file, checked.texts)
            for problem in checked.problems:
                here = mapped.problem(problem) if Path(problem.file) == file else None
                if here is not None:
                    found.setdefault((here.kind, here.span), here)
        return sorted(found.values(), key=lambda each: (each.span.line, each.span.column))

    def variables(self, file: Path) -> Iterator[tuple[Function, Variable]]:
        """The variables of a file whose shapes still hold, at their places now."""
        checked = self.checked.get(file)
        if checked is not None:
            yield from self._map(file, checked.texts).variables(checked.functions)

    def variable_at(self, file: Path, line: int, name: str) -> Variable | None:
        """The variable of this name that got its value last before a line of its function, or in it."""
        found = [
            (function.first, variable)
            for function, variable in self.variables(file)
            if variable.name == name and function.first <= line <= function.last and variable.line <= line
        ]
        return max(found, key=lambda each: (each[0], each[1].line, each[1].column), default=(0, None))[1]

    def lines(self, file: Path) -> list[str]:
        """The lines of a file as the editor has them; those on disk if it does not show it."""
        return self._open.get(file) or lines_of(read_text(file))

    def _map(self, file: Path, texts: Mapping[Path, list[str]]) -> LineMap:
        now = self.lines(file)
        return LineMap(texts.get(file, now), now)
