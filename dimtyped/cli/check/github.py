"""The findings as annotations of GitHub Actions: `::error file=...,line=...,col=...::message`."""

from __future__ import annotations

from dimtyped.cli.check.places import region_of
from dimtyped.cli.check.results import Results
from dimtyped.cli.check.text import totals
from dimtyped.cli.targets.sources import shown_path
from dimtyped.flow import Finding


def github_of(results: Results) -> str:
    """A command of the workflow for each finding, which GitHub shows at its line, and the totals."""
    return "\n".join([*map(_command, results.findings), totals(results)])


def _command(finding: Finding) -> str:
    region = region_of(finding)
    properties = {"file": shown_path(finding.file), "line": region.line, "col": region.column}
    if region.end_column:
        properties["endColumn"] = region.end_column
    properties["title"] = f"dimtyped: {finding.kind}"
    shown = ",".join(f"{key}={_escaped(str(value), also=':,')}" for key, value in properties.items())
    message = f"{finding.message}\nfix: {finding.fix}" if finding.fix else finding.message
    return f"::error {shown}::{_escaped(message)}"


def _escaped(text: str, also: str = "") -> str:
    """A text as the runner reads it back: `%`, line ends, and in a property `:` and `,` by their codes."""
    for character in f"%\r\n{also}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text
