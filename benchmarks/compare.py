"""Finds rows that got slower between two results files, beyond their spread.

Only dimtyped's own rows count: the time added to the baseline where there is one, else the time itself. Both are related to how
much the others' times in the same question drifted between the runs. Times of two machines cannot be compared, so between
those only the ratios are.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.record import MEASURED, Results, Row, Spread

_OURS = "dimtyped"
# A change is not told below this part of the whole time, this part of the figure, or this figure, however narrow the
# spreads: no two runs agree better. Where a process happens to place its code alone makes some nanoseconds a call.
_FLOOR, _OF_ITSELF, _LEAST = 0.02, 0.05, {"us": 0.01}
# With fewer repeats there is no spread to go by.
_FEW, _OF_FEW = 5, 0.2
# Beyond this drift it is not the same processor, or not as quiet a one.
_ANOTHER_SPEED = 1.2
_VALUE_FLOOR = {"MB": 0.1, "exponent": 0.1}


@dataclass(frozen=True)
class Change:
    """A figure that differs between the files. `verdict` is `slower`, `faster`, `worse` or `better`."""

    question: str
    case: str
    candidate: str
    what: str
    old: str
    new: str
    verdict: str

    @property
    def is_worse(self) -> bool:
        """True if the verdict on the change is `slower` or `worse`."""
        return self.verdict in ("slower", "worse")


def compare(old: Results, new: Results) -> tuple[list[Change], int]:
    """The changes, and how many rows both files have."""
    pairs = [pair for pair in _pairs(old, new) if pair[1].candidate.startswith(_OURS)]
    drifts = None if is_elsewhere(old, new) else _drifts(old, new)
    return [change for pair in pairs for change in _changes(*pair, drifts)], len(pairs)


def is_elsewhere(old: Results, new: Results) -> bool:
    """True if the files are of two machines, devices or processors."""
    if (old.machine, old.device) != (new.machine, new.device):
        return True
    cpus = ([results.answers[name].conditions.get("cpu") for name in _in_both(old, new)] for results in (old, new))
    return next(cpus) != next(cpus)


def speeds(old: Results, new: Results) -> dict[str, float]:
    """The drift of each question in which it is that of another processor, whatever the machines are called.

    On the same commit, one processor runs a check in 1.6 of the time that another takes, where a call without one takes 1.8.
    """
    return {name: drift for name, drift in _drifts(old, new).items() if max(drift, 1 / drift) > _ANOTHER_SPEED}


def _in_both(old: Results, new: Results) -> list[str]:
    return [name for name in new.answers if name in old.answers]


def unmatched(old: Results, new: Results) -> dict[str, int]:
    """The number of dimtyped's rows in `old` without a counterpart in `new`, by question."""
    kept = {before.key for before, _ in _pairs(old, new)}
    return dict(Counter(row.question for row in old.rows() if row.candidate.startswith(_OURS) and row.key not in kept))


def _pairs(old: Results, new: Results) -> Iterator[tuple[Row, Row]]:
    """The rows that both have. One that could not run has no clock, and stands beside every clock of the other."""
    for row in new.rows():
        for before in old.answers[row.question].rows if row.question in old.answers else ():
            failed = MEASURED not in (row.status, before.status) or row.status != before.status
            if row.key[:3] == before.key[:3] and (row.clock == before.clock or failed):
                yield before, row


def _drifts(old: Results, new: Results) -> dict[str, float]:
    """The ratio of the new to the old times of all other libraries' calls, by question."""
    found: dict[str, list[float]] = {}
    for before, row in _pairs(old, new):
        if row.figure and before.figure and not row.candidate.startswith(_OURS):
            found.setdefault(row.question, []).append(row.figure.median / before.figure.median)
    return {question: statistics.median(drifts) for question, drifts in found.items()}


def _changes(old: Row, new: Row, drifts: Mapping[str, float] | None) -> Iterator[Change]:
    if old.status != new.status:
        yield _change(new, "", old.status, new.status, worse=old.status == MEASURED, words=("worse", "better"))
    elif old.value is not None and new.value is not None:
        yield from _of_values(old, new)
    elif drifts is None:
        if old.ratio and new.ratio:
            yield from _of_spreads(new, "times baseline", old.ratio, new.ratio, new.ratio.median)
    elif old.figure and new.figure:
        drift = drifts.get(new.question, 1.0)
        if old.over and new.over:
            yield from _of_spreads(new, "beyond baseline", _scaled(old.over, drift), new.over, new.figure.median)
        else:
            yield from _of_spreads(new, "time", _scaled(old.figure, drift), new.figure, new.figure.median)


def _scaled(spread: Spread, factor: float) -> Spread:
    return Spread(spread.median * factor, spread.low * factor, spread.high * factor, spread.repeats)


def _of_spreads(row: Row, what: str, old: Spread, new: Spread, whole: float) -> Iterator[Change]:
    """A change counts that is larger than both distances between quartiles together."""
    change = new.median - old.median
    is_ratio = what == "times baseline"
    part = _OF_FEW if min(old.repeats, new.repeats) < _FEW else _OF_ITSELF
    least = 0 if is_ratio else max(part * abs(old.median), _LEAST.get(row.unit, 0))
    if abs(change) <= max(_FLOOR * whole, least, (old.high - old.low) + (new.high - new.low)):
        return
    unit = "" if is_ratio else f" {row.unit}"
    texts = [f"{spread.median:.4g} [{spread.low:.4g}, {spread.high:.4g}]{unit}" for spread in (old, new)]
    yield _change(row, what, *texts, worse=change > 0, words=("slower", "faster"))


def _of_values(old: Row, new: Row) -> Iterator[Change]:
    before, after = old.value, new.value
    if before == after:
        return
    if isinstance(before, bool | str) or isinstance(after, bool | str):
        worse = after is not True and not _is_all(after)
    else:
        if abs(after - before) <= _VALUE_FLOOR.get(new.unit, 0) * abs(before):
            return
        worse = after > before
    yield _change(
        new,
        "value",
        f"{before} {old.unit}".strip(),
        f"{after} {new.unit}".strip(),
        worse=worse,
        words=("worse", "better"),
    )


def _is_all(value: object) -> bool:
    """True of `98 of 98`."""
    part, _, whole = str(value).partition(" of ")
    return part == whole


def _change(row: Row, what: str, old: str, new: str, *, worse: bool, words: tuple[str, str]) -> Change:
    return Change(row.question, row.case, row.candidate, what, old, new, words[0] if worse else words[1])
