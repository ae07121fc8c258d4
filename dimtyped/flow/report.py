"""The report of check and watch: the findings, and how much of the run was followed."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any

from dimtyped.flow.findings import Finding
from dimtyped.runtime import WithoutInternalFrames, mode

_MOST_ORIGINS = 6
_LONGEST_CODE = 40
_OFF = "checks are off (DIMTYPED=off): names come from annotated modules alone, and no dtype or layer is checked; set DIMTYPED=on"


class CheckError(AssertionError):
    """The error that `Report.raise_if_any` raises, with the findings of a check."""

    __module__ = "dimtyped"


@dataclasses.dataclass
class Report:
    """The report of a run.

    Args:
        target: The name of the target, as in errors.
        findings: Each bug once, the first one first.
        followed: The number of followed calls of each operator.
        unfollowed: The number of calls of each operator that were not followed.
        notes: Remarks for the reader: how the target ran, and what was left out.
        sizes: The sizes that the inputs of the first run had.

    Example:
        >>> from dimtyped import check, typed
        >>> from jaxtyping import Float
        >>> from torch import Tensor
        >>> @typed
        ... def gram(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch batch"]:
        ...     return x @ x.T
        >>> report = check(gram)
        >>> report.ok
        True
    """

    target: str = ""
    findings: list[Finding] = dataclasses.field(default_factory=list[Finding])
    followed: Counter[str] = dataclasses.field(default_factory=Counter[str])
    unfollowed: Counter[str] = dataclasses.field(default_factory=Counter[str])
    notes: list[str] = dataclasses.field(default_factory=list[str])
    sizes: dict[str, int] = dataclasses.field(default_factory=dict[str, int])

    @property
    def ok(self) -> bool:
        """True if there are no findings."""
        return not self.findings

    @WithoutInternalFrames()
    def raise_if_any(self) -> None:
        """Raises a CheckError with the report's text if there are findings."""
        if self.findings:
            raise CheckError(str(self))

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as data that `json.dumps` accepts."""
        return {
            "target": self.target,
            "ok": self.ok,
            "findings": [finding.to_dict() for finding in self.findings],
            "followed": dict(self.followed),
            "unfollowed": dict(self.unfollowed),
            "notes": list(self.notes),
            "sizes": dict(self.sizes),
        }

    def __str__(self) -> str:
        return "\n\n".join([*(finding_text(finding) for finding in self.findings), self._summary()])

    def __repr__(self) -> str:
        return f"<Report: {self._summary()}>"

    def _summary(self) -> str:
        count = len(self.findings)
        met = sum(self.followed.values()) + sum(self.unfollowed.values())
        found = "no findings" if not count else f"{count} finding{'s' if count > 1 else ''}"
        coverage = f"{sum(self.followed.values())} of {met} operators followed"
        missing = ", ".join(f"{name} ({times})" for name, times in self.unfollowed.most_common(3))
        lines = [f"{self.target}: {found}; {coverage}{f', not {missing}' if missing else ''}"]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def notes_on_mode() -> list[str]:
    """The note on the mode: with checks off, much is not checked."""
    return [_OFF] if mode() == "off" else []


def finding_text(finding: Finding) -> str:
    """A finding as a user reads it: the place, what is wrong, the line, the operands, where names come from, the fix."""
    first, *rest = finding.message.splitlines() or [""]
    place = f"{finding.place.short}: " if finding.file else ""
    lines = [f"{place}{finding.kind}: {first}", *(f"  {line}" if line else line for line in rest)]
    lines += [f"    {line}" for line in finding.place.marked]
    lines += [f"    {operand}" for operand in _operand_lines(finding)] if finding.operator else []
    origins = [(name, origin) for name, origin in finding.origins.items() if name and origin]
    lines += [f"  {name}: {origin}" for name, origin in origins[:_MOST_ORIGINS]]
    if finding.fix:
        lines.append(f"  fix: {finding.fix}")
    if finding.times > 1:
        lines.append(f"  and {finding.times - 1} more time{'s' if finding.times > 2 else ''}")
    return "\n".join(lines)


def _operand_lines(finding: Finding) -> Iterable[str]:
    """The operands that the expression shows, and those beside them that have one of the names."""
    codes = finding.operand_codes or ("",) * len(finding.operands)
    rows = list(dict.fromkeys(zip(codes, finding.operands, strict=True)))
    hidden = ("", "parameter") if any(code not in ("", "parameter") for code, _ in rows) else ("parameter",)
    rows = [(code, text) for code, text in rows if code not in hidden or _has_a_name(text, finding.names)]
    width = max((len(code) for code, _ in rows if len(code) <= _LONGEST_CODE), default=0)
    for code, text in rows:
        if len(code) > _LONGEST_CODE:
            yield code
            code = ""
        yield f"{code:<{width}}  {text}" if width else text


def _has_a_name(text: str, names: Iterable[str]) -> bool:
    return any(f"{name}=" in text for name in names)
