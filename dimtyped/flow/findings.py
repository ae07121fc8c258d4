"""The findings that a report shows, as data."""

from dataclasses import asdict, dataclass, field
from typing import Any

from dimtyped.runtime import Place

KINDS = {
    "refused": "an operator, a layer or an annotation does not take the call",
    "annotation": "an axis is annotated with one name, and another dimension flows there",
    "coincidence": "two names are treated as equal, but their sizes agree only in this run",
    "scramble": "a reshape cuts across named axes",
    "outer": "a broadcast between ranks gives a name to two axes",
    "mixing": "an operator carries values along an independent axis that its result still has",
    "selection": "an index does not mean what it seems to",
    "fixed": "a size is hard-coded",
    "degenerate": "a softmax or a norm over an axis whose size is always 1",
}


@dataclass(slots=True)
class Finding:
    """One mistake, reported once regardless of how often its line runs.

    Args:
        kind: One of `KINDS`.
        message: The mistake, in one line.
        where: The function: `Decoder.attend`.
        file: The user's file.
        line: The line, counted from 1.
        column: The first column of the expression, counted from 0.
        end_column: The column after its last.
        source: The text of the expression.
        names: The names that it concerns.
        fix: The code to write instead, if it is known.
        operator: The operator's name.
        operands: The operands, each with its axes: `float32 (batch=4, seq=8)`.
        operand_codes: The code of each operand; `parameter` or nothing where the expression does not show it.
        origins: Where each name comes from.
        times: The number of times it occurred.
    """

    kind: str
    message: str
    where: str
    file: str
    line: int
    column: int
    end_column: int
    source: str
    names: tuple[str, ...] = ()
    fix: str = ""
    operator: str = ""
    operands: tuple[str, ...] = ()
    operand_codes: tuple[str, ...] = ()
    origins: dict[str, str] = field(default_factory=dict[str, str])
    times: int = 1

    @property
    def place(self) -> Place:
        """Its place in the user's code."""
        return Place(self.where, self.file, self.line, self.column, self.end_column, self.source)

    @property
    def key(self) -> tuple[object, ...]:
        """The key by which findings count as one: the kind, the place and the names."""
        return (self.kind, self.file, self.line, self.column, self.end_column, self.names)

    def to_dict(self) -> dict[str, Any]:
        """Returns the finding as data that `json.dumps` accepts."""
        return asdict(self)

    def __str__(self) -> str:
        again = f" (and {self.times - 1} more times)" if self.times > 1 else ""
        return f"{self.file}:{self.line}: {self.kind}: {self.message}{again}"


def finding(kind: str, problem: str, place: Place, names: tuple[str, ...] = (), fix: str = "") -> Finding:
    """A finding at a place.

    Args:
        kind: One of `KINDS`.
        problem: What is wrong, without the place.
        place: Where.
        names: The names that it concerns.
        fix: What to write instead.
    """
    expression = f"`{place.source}` in {place.where}: " if place.source else ""
    problem = problem.removeprefix(f"{place.where}: ") if expression else problem
    return Finding(
        kind,
        expression + problem,
        place.where,
        place.file,
        place.line,
        place.column,
        place.end_column,
        place.source,
        names,
        fix,
    )
