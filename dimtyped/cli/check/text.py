"""The findings and totals as text: for a terminal, an editor and a pipe."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from dimtyped.cli.check.places import region_of
from dimtyped.cli.check.results import Results
from dimtyped.cli.targets.sources import shown_path
from dimtyped.cli.targets.usage import counted
from dimtyped.flow import Finding, finding_text

_MOST_SKIPPED = 10
_NAMES = textwrap.TextWrapper(
    80, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
)


@dataclass(frozen=True)
class Style:
    """How text is shown.

    Args:
        color: With the colors of a terminal.
        verbose: With a line for each class and function.
        quiet: The findings alone.
    """

    color: bool = False
    verbose: bool = False
    quiet: bool = False

    def paint(self, text: str, code: str) -> str:
        """A text in a color, if there are colors."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and text else text


def text_of(results: Results, style: Style) -> str:
    """The findings, what was skipped, and one line of totals."""
    parts = [_finding(finding, style) for finding in results.findings]
    if not style.quiet:
        reports = _reports(results) if style.verbose else []
        ending = [*reports, *_skipped(results, style), *([] if results.has_only_failed else [totals(results)])]
        parts.append("\n".join(ending))
    return "\n\n".join(filter(None, parts))


def _finding(finding: Finding, style: Style) -> str:
    """A finding; its first line is `file:line:column: kind: message`, which editors jump to."""
    place = f"{shown_path(finding.file)}:{finding.line}:{region_of(finding).column}"
    _, _, rest = finding_text(finding).partition(f": {finding.kind}: ")
    lines = f"{style.paint(place, '1')}: {style.paint(finding.kind, '1;31')}: {rest}".splitlines()
    return "\n".join(_painted(line, style) for line in lines)


def _painted(line: str, style: Style) -> str:
    if line.startswith("    ") and line.strip() and not line.strip(" ^"):
        return style.paint(line, "31")
    return style.paint(line, "32") if line.startswith("  fix: ") else line


def _reports(results: Results) -> list[str]:
    lines: list[str] = []
    for each in results.checked:
        if each.report is not None:
            followed, unfollowed = sum(each.report.followed.values()), sum(each.report.unfollowed.values())
            found = counted(len(each.report.findings), "finding")
            lines.append(f"{each.file}:{each.name}: {found}; {followed} of {followed + unfollowed} operators followed")
            lines += [f"  {note}" for note in each.report.notes]
    return lines


def _skipped(results: Results, style: Style) -> list[str]:
    """A line for each reason to skip, and below it what was skipped for it."""
    reasons: dict[str, list[str]] = {}
    for each in results.skipped:
        reasons.setdefault(each.skipped, []).append(f"{each.file}:{each.name}")
    most = None if style.verbose else _MOST_SKIPPED
    lines: list[str] = []
    for reason, names in reasons.items():
        more = f" and {len(names) - _MOST_SKIPPED} more" if names[_MOST_SKIPPED:] and most else ""
        shown = ", ".join(names[:most]) + more
        lines.append(f"skipped: {reason}")
        lines += _NAMES.wrap(shown)
    return lines


def totals(results: Results) -> str:
    """What was checked, found, skipped and followed, in one line."""
    classes, functions = results.count(classes=True), results.count(classes=False)
    skipped = f"{len(results.skipped)} skipped"
    if not classes + functions:
        return f"nothing was checked: {skipped if results.skipped else 'no module class and no annotated function'}"
    looked_at = [counted(count, word) for count, word in ((classes, "class"), (functions, "function")) if count]
    checked = f"{' and '.join(looked_at)} checked"
    followed, unfollowed = sum(results.followed.values()), results.unfollowed
    missing = ", ".join(f"{name} ({times})" for name, times in unfollowed.most_common(3))
    parts = [
        f"{checked}, {skipped}" if results.skipped else checked,
        counted(len(results.findings), "finding"),
        f"{followed} of {followed + sum(unfollowed.values())} operators followed{f', not {missing}' if missing else ''}",
        f"{results.seconds:.1f} s",
    ]
    return "; ".join(parts)
