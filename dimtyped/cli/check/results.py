"""What came of a check of files, as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dimtyped.cli.targets.usage import UsageError
from dimtyped.flow import Finding, Report


@dataclass
class Checked:
    """What came of one class or function.

    Args:
        file: Its file, as shown.
        name: Its name there.
        line: Where it is defined.
        is_class: It is a class, or a model.
        report: What was found; None if it was skipped.
        skipped: Why it was skipped.
        raised: What it raised, if that is why.
    """

    file: str
    name: str
    line: int
    is_class: bool
    report: Report | None = None
    skipped: str = ""
    raised: Exception | None = None

    def to_dict(self) -> dict[str, Any]:
        """It as data that `json.dumps` takes."""
        place = {"file": self.file, "line": self.line, "name": self.name}
        if self.report is None:
            return {**place, "skipped": self.skipped}
        return {**place, **{key: value for key, value in self.report.to_dict().items() if key != "findings"}}


@dataclass
class Results:
    """What came of all files.

    Args:
        checked: The classes and functions, in order.
        failed: Files and targets that could not be looked at.
        seconds: How long it took.
    """

    checked: list[Checked] = field(default_factory=list[Checked])
    failed: list[UsageError] = field(default_factory=list[UsageError])
    seconds: float = 0.0

    @property
    def shared_notes(self) -> list[str]:
        """The notes that all classes and functions have in common."""
        first, *others = [each.report.notes for each in self.checked if each.report is not None] or [[]]
        return [note for note in first if all(note in notes for notes in others)]

    @property
    def findings(self) -> list[Finding]:
        """Each finding once, in the order of files and lines; of a place that several classes run, the first one's."""
        found: list[Finding] = []
        for report in self._reports():
            known = {_place(finding) for finding in found}
            found += [finding for finding in report.findings if _place(finding) not in known]
        return sorted(found, key=lambda finding: (finding.file, finding.line, finding.column))

    @property
    def skipped(self) -> list[Checked]:
        """What was skipped."""
        return [each for each in self.checked if each.report is None]

    @property
    def followed(self) -> Counter[str]:
        """The number of followed calls of each operator."""
        return _sum(each.followed for each in self._reports())

    @property
    def unfollowed(self) -> Counter[str]:
        """The number of calls of each operator that were not followed."""
        return _sum(each.unfollowed for each in self._reports())

    @property
    def has_only_failed(self) -> bool:
        """True if there is nothing to say but what could not be looked at."""
        return bool(self.failed) and not self.checked

    @property
    def status(self) -> int:
        """The exit status: 1 with findings, 2 where something could not be looked at, else 0."""
        return 1 if self.findings else 2 if self.failed else 0

    def count(self, *, classes: bool) -> int:
        """The number of classes, or of functions, that were checked."""
        return sum(each.is_class is classes for each in self.checked if each.report is not None)

    def to_dict(self) -> dict[str, Any]:
        """All of it as data that `json.dumps` takes."""
        return {
            "ok": not self.findings and not self.failed,
            "findings": [finding.to_dict() for finding in self.findings],
            "targets": [each.to_dict() for each in self.checked],
            "failed": [str(error) for error in self.failed],
            "followed": dict(self.followed),
            "unfollowed": dict(self.unfollowed),
            "seconds": round(self.seconds, 3),
        }

    def _reports(self) -> list[Report]:
        return [each.report for each in self.checked if each.report is not None]


def _place(finding: Finding) -> tuple[object, ...]:
    return finding.kind, finding.file, finding.line, finding.column, finding.end_column


def _sum(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total
