"""Where a finding is, as editors count: columns are characters and begin at 1."""

from __future__ import annotations

import linecache
from dataclasses import dataclass

from dimtyped.flow import Finding


@dataclass(frozen=True)
class Region:
    """A piece of a line.

    Args:
        line: From 1.
        column: The first character, from 1.
        end_column: The one after the last; 0 if the expression goes on below or its end is not known.
    """

    line: int
    column: int
    end_column: int


def region_of(finding: Finding) -> Region:
    """The region of a finding; Python counts a column in bytes, from 0."""
    line = linecache.getline(finding.file, finding.line).rstrip("\n").encode()
    start = len(line[: finding.column].decode(errors="replace")) + 1
    is_whole = line[finding.column : finding.end_column].decode(errors="replace") == finding.source != ""
    end = len(line[: finding.end_column].decode(errors="replace")) + 1 if is_whole else 0
    return Region(max(finding.line, 1), start, end)
