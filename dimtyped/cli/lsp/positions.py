"""Positions as editors count them: lines from 0, columns in the units that client and server have agreed on."""

from __future__ import annotations

from collections.abc import Sequence

from lsprotocol import types

from dimtyped.cli.lsp.data import Span

_BYTES = {types.PositionEncodingKind.Utf8: ("utf-8", 1), types.PositionEncodingKind.Utf32: ("utf-32-le", 4)}


class Positions:
    """Converts positions of one text.

    Args:
        lines: Its lines.
        encoding: The units of a column.
    """

    def __init__(self, lines: Sequence[str], encoding: types.PositionEncodingKind | str | None):
        self._lines = lines
        kind = types.PositionEncodingKind(encoding) if encoding else types.PositionEncodingKind.Utf16
        self._codec, self._size = _BYTES.get(kind, ("utf-16-le", 2))

    def of(self, line: int, column: int) -> types.Position:
        """The position of a character."""
        before = self._lines[line][:column] if line < len(self._lines) else ""
        return types.Position(line, len(before.encode(self._codec, "surrogatepass")) // self._size)

    def range_of(self, span: Span) -> types.Range:
        """The range of a span."""
        return types.Range(self.of(span.line, span.column), self.of(span.end_line, span.end_column))

    def column(self, position: types.Position) -> int:
        """The character at a position."""
        line = self._lines[position.line] if position.line < len(self._lines) else ""
        units = line.encode(self._codec, "surrogatepass")[: position.character * self._size]
        return len(units.decode(self._codec, "replace"))
