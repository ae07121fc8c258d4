"""What several tests here share."""

from pathlib import Path
from typing import Any

from benchmarks.record import Answer, Results, Row, Spread

ROOT = Path(__file__).parents[2]


def result(median: float, spread: float = 0.1, **more: Any) -> Row:
    over = Spread(median, median - spread / 2, median + spread / 2, 9)
    ratio = Spread(1 + median / 10, 1 + over.low / 10, 1 + over.high / 10, 9)
    time = Spread(10 + median, 10 + over.low, 10 + over.high, 9)
    return Row(
        "layers", "Linear", "dimtyped", unit="us", figure=time, baseline="untyped", over=over, ratio=ratio, **more
    )


def untyped(median: float) -> Row:
    return Row("layers", "Linear", "untyped", unit="us", figure=Spread(median, median - 0.1, median + 0.1, 9))


def saved(path: Path, *rows: Row, machine: str = "x86_64-2core", cpu: str = "") -> str:
    conditions = {"cpu": cpu} if cpu else {}
    answers = {
        name: Answer(conditions, [row for row in rows if row.question == name])
        for name in {row.question for row in rows}
    }
    Results(machine, "cpu", answers=answers).save(path)
    return str(path)
