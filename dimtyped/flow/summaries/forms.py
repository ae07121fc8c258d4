"""The forms of a summary: text, Markdown, HTML, and rich's table."""

from __future__ import annotations

import html
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

HEADINGS = ("module", "parameters", "share", "multiply-adds", "shapes")


@dataclass(frozen=True)
class Lines:
    """What a summary shows.

    Args:
        rows: The cells of each row, those of HEADINGS; the first is indented by the level.
        totals: The lines below the table.
    """

    rows: Sequence[tuple[str, ...]]
    totals: Sequence[str]

    @property
    def levels(self) -> list[tuple[int, tuple[str, ...]]]:
        """The rows, each with its level."""
        return [((len(row[0]) - len(row[0].lstrip())) // 2, row) for row in self.rows]


def text_of(shown: Lines) -> str:
    """A table as wide as the terminal; where shapes do not fit beside the numbers, they stand below them."""
    rows = shown.rows
    widths = [max(len(row[column]) for row in (HEADINGS, *rows)) for column in range(4)]
    room = shutil.get_terminal_size((100, 24)).columns
    beside = sum(widths) + 8 + max(len(row[4]) for row in rows) <= room
    rule = "-" * min(room, sum(widths) + 8)
    table = [_line(row, widths, beside=beside) for row in (HEADINGS, *rows)]
    return "\n".join([table[0], rule, *table[1:], rule, *shown.totals])


def _line(row: tuple[str, ...], widths: list[int], *, beside: bool) -> str:
    name, *numbers, shapes = row
    cells = [name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))]
    first = "  ".join(cells)
    if beside or shapes in ("", HEADINGS[4]):
        return f"{first}  {shapes if beside else ''}".rstrip()
    indent = len(name) - len(name.lstrip())
    return f"{first.rstrip()}\n{' ' * (indent + 4)}{shapes}"


def markdown_of(shown: Lines) -> str:
    """A table of Markdown; below it the totals."""
    rows = [
        (f"{'&emsp;' * level}`{row[0].strip()}`", *row[1:4], f"`{row[4]}`" if row[4] else "")
        for level, row in shown.levels
    ]
    lines = [HEADINGS, ("---", "--:", "--:", "--:", "---"), *rows]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", *(f"- {line}" for line in shown.totals)])


def html_of(shown: Lines) -> str:
    """A table of HTML; below it the totals."""
    lines = ["<table>", f"<tr>{''.join(f'<th>{heading}</th>' for heading in HEADINGS)}</tr>"]
    for level, (name, *numbers, shapes) in shown.levels:
        cells = [f'<td style="text-align: left; padding-left: {level + 0.5}em">{html.escape(name.strip())}</td>']
        cells += [f'<td style="text-align: right">{number}</td>' for number in numbers]
        cells.append(f'<td style="text-align: left"><code>{html.escape(shapes)}</code></td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</table>", f"<p>{'<br>'.join(map(html.escape, shown.totals))}</p>"])


def rich_of(shown: Lines) -> Table:
    """A table of rich; the totals are its caption."""
    from rich import box  # noqa: PLC0415  # an optional package
    from rich.markup import escape  # noqa: PLC0415  # the same
    from rich.table import Table  # noqa: PLC0415  # the same

    table = Table(box=box.SIMPLE_HEAD, caption="\n".join(map(escape, shown.totals)), caption_justify="left")
    for heading in HEADINGS:
        is_number = heading not in (HEADINGS[0], HEADINGS[4])
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=heading != HEADINGS[4])
    for row in shown.rows:
        table.add_row(*map(escape, row))
    return table
