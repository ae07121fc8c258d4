"""Prints results in the terminal: figures with their units, and one table for each question."""

from __future__ import annotations

import itertools

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.compare import Change
from benchmarks.record import MEASURED, Answer, Row, Spread

_WIDTHS = (27, 17, 17, 14)
_NAMES = {"us": "µs"}
_SCALES = {"us": ((1e6, "s"), (1e3, "ms"), (1, "µs")), "ms": ((1e3, "s"), (1, "ms"))}


def quantity(value: float, unit: str) -> str:
    """Three digits, in the unit that suits: `0.31 us`, `2.7 ms`."""
    for scale, name in _SCALES.get(unit, ()):
        if abs(value) >= scale:
            return f"{_digits(value / scale)} {name}"
    return f"{_digits(value)} {_NAMES.get(unit, unit)}".strip()


def _digits(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread_text(spread: Spread | None, unit: str) -> str:
    """The median, and how far it is uncertain: `0.31 ± 0.01 µs`."""
    if spread is None:
        return ""
    for scale, name in _SCALES.get(unit, ()):
        if abs(spread.median) >= scale:
            return f"{_digits(spread.median / scale)} ± {_digits(spread.margin / scale)} {name}"
    return f"{_digits(spread.median)} ± {_digits(spread.margin)} {_NAMES.get(unit, unit)}".strip()


def ratio_text(ratio: Spread | None) -> str:
    """The time as a multiple of the baseline's."""
    if ratio is None:
        return ""
    digits = 3 if ratio.median < 2 else 1 if ratio.median < 10 else 0
    return f"{ratio.median:.{digits}f} ± {ratio.margin:.{digits}f}"


def show_answer(console: Console, name: str, question: str, answer: Answer) -> None:
    """A question's rows, a table a case. Every time is a median, and how far that is uncertain."""
    console.print(f"\n[bold]{name}[/bold]: {escape(question)}")
    for case, rows in itertools.groupby(answer.rows, key=lambda row: row.case):
        _show_case(console, case, list(rows))


def _show_case(console: Console, case: str, rows: list[Row]) -> None:
    console.print(f"[cyan]{escape(case)}[/cyan]", highlight=False)
    headings = ("", "time", "beyond baseline", "times baseline") if any(row.over for row in rows) else ("",) * 4
    table = Table(box=None, header_style="dim", padding=(0, 0, 0, 1), show_header=bool(headings[1]))
    for heading, width in zip(headings, _WIDTHS, strict=True):
        table.add_column(heading, width=width, justify="left" if width == _WIDTHS[0] else "right", overflow="fold")
    for row in rows:
        if row.status == MEASURED:
            table.add_row(escape(_label(row)), *_cells(row))
    console.print(table)
    for row in rows:
        remark = ": ".join(part for part in (row.status if row.status != MEASURED else "", row.note) if part)
        if remark:
            console.print(f"[dim]  {escape(row.candidate)}: {escape(remark)}[/dim]", highlight=False)


def _label(row: Row) -> str:
    return f"{row.candidate} ({row.clock})" if row.clock == "cuda events" else row.candidate


def _cells(row: Row) -> tuple[str, str, str]:
    if row.value is not None:
        return (quantity(row.value, row.unit) if isinstance(row.value, float) else str(row.value), "", "")
    return (spread_text(row.figure, row.unit), spread_text(row.over, row.unit), ratio_text(row.ratio))


def show_changes(console: Console, changes: list[Change], compared: int) -> None:
    """Prints the changes that a comparison found, the slower first."""
    for change in sorted(changes, key=lambda change: not change.is_worse):
        style = "red" if change.is_worse else "green"
        place = f"{change.question}: {change.case}: {change.candidate}"
        console.print(f"[{style}]{change.verdict}[/{style}]  {escape(place)}", highlight=False)
        console.print(
            f"        {change.what or 'status'}: {escape(change.old)}, now {escape(change.new)}", highlight=False
        )
    worse = sum(change.is_worse for change in changes)
    console.print(f"{compared} figures compared: {worse} worse beyond their spread, {len(changes) - worse} better")
