"""The results of a run as rows, and the JSON file that stores them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
MEASURED = "measured"
_VERSION = 1


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    median: float
    low: float
    high: float
    repeats: int

    @property
    def margin(self) -> float:
        """The uncertainty of the median: the notch of a box plot, 95 % (McGill, Tukey and Larsen, 1978)."""
        return 1.57 * (self.high - self.low) / math.sqrt(self.repeats)


@dataclass
class Row:
    """One figure: a candidate in a case of a question.

    Args:
        question: The question's name.
        case: What was done.
        candidate: Who did it.
        clock: `wall`, `cuda events`, or nothing for what is no time.
        unit: `us`, `ms`, `MB`, `exponent` or nothing.
        status: `measured`, `not installed` or `cannot run`.
        figure: What was measured.
        baseline: The candidate that `over` and `ratio` relate to.
        over: The figure minus the baseline's, repeat by repeat.
        ratio: The figure divided by the baseline's, repeat by repeat.
        value: In place of `figure`, what has no spread: a count, or whether something holds.
        note: What a reader must know.
    """

    question: str
    case: str
    candidate: str
    clock: str = "wall"
    unit: str = ""
    status: str = MEASURED
    figure: Spread | None = None
    baseline: str = ""
    over: Spread | None = None
    ratio: Spread | None = None
    value: float | bool | str | None = None
    note: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The values that identify this row."""
        return (self.question, self.case, self.candidate, self.clock)

    def to_json(self) -> dict[str, Any]:
        """Only what is there; the question is the heading that the row stands under."""
        return {name: value for name, value in asdict(self).items() if name != "question" and value not in ("", None)}

    @classmethod
    def from_json(cls, question: str, data: Mapping[str, Any]) -> Row:
        """The row that `to_json` wrote."""
        spreads = {name: Spread(**data[name]) for name in ("figure", "over", "ratio") if name in data}
        return cls(question, **{"clock": "", **data, **spreads})


@dataclass
class Answer:
    """A question's rows, and the conditions they were measured under."""

    conditions: dict[str, Any]
    rows: list[Row]


@dataclass
class Results:
    """A results file: a machine, a device, and the answers."""

    machine: str
    device: str
    quick: bool = False
    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])

    def rows(self) -> Iterator[Row]:
        """Every row of every question."""
        for answer in self.answers.values():
            yield from answer.rows

    def find(self, question: str, case: str, candidate: str, clock: str | None = None) -> Row | None:
        """The row of this candidate; with no clock given, the first."""
        rows = self.answers[question].rows if question in self.answers else []
        wanted = (case, candidate)
        return next((r for r in rows if (r.case, r.candidate) == wanted and clock in (None, r.clock)), None)

    def save(self, path: Path) -> None:
        """Writes the file, one row a line so that a diff reads."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_text(self), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Reads a file that `save` wrote.

        Raises:
            ValueError: it is no such file.
        """
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or data.get("format") != _VERSION:
            raise ValueError(f"{path} is no results file of format {_VERSION}: make one with `python -m benchmarks`")
        answers = {
            name: Answer(answer["conditions"], [Row.from_json(name, row) for row in answer["rows"]])
            for name, answer in data["answers"].items()
        }
        return cls(data["machine"], data["device"], data["quick"], answers)


def _text(results: Results) -> str:
    answers = ",\n".join(f"  {json.dumps(name)}: {_answer_text(answer)}" for name, answer in results.answers.items())
    head = {"format": _VERSION, "machine": results.machine, "device": results.device, "quick": results.quick}
    lines = "".join(f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items())
    return f'{{\n{lines} "answers": {{\n{answers}\n }}\n}}\n'


def _answer_text(answer: Answer) -> str:
    rows = ",\n".join(f"    {json.dumps(_rounded(row.to_json()))}" for row in answer.rows)
    return f'{{\n   "conditions": {json.dumps(answer.conditions)},\n   "rows": [\n{rows}\n   ]}}'


def _rounded(value: Any) -> Any:
    """The value to five digits, more than any clock here resolves."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return float(f"{value:.5g}") if type(value) is float else value
