"""Positions in the units that client and server have agreed on."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from lsprotocol import types

from dimtyped.cli.lsp.data import Span
from dimtyped.cli.lsp.positions import Positions

CODECS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4), None: ("utf-16-le", 2)}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.data(), st.sampled_from(list(CODECS)))
def test_a_column_is_counted_in_units_and_back(line, data, encoding):
    column = data.draw(st.integers(0, len(line)))
    position = Positions(["", line], encoding).of(1, column)
    codec, size = CODECS[encoding]
    assert line.encode(codec)[: position.character * size].decode(codec) == line[:column]
    assert Positions(["", line], encoding).column(position) == column


@pytest.mark.parametrize(("encoding", "units"), [("utf-8", 6), ("utf-16", 3), ("utf-32", 2), (None, 3)])
def test_a_range(encoding, units):
    found = Positions(["", "ü😀x"], encoding).range_of(Span(0, 0, 1, 2))
    assert found == types.Range(types.Position(0, 0), types.Position(1, units))


def test_a_line_that_is_gone_has_its_begin():
    assert Positions([], None).of(3, 7) == types.Position(3, 0)
    assert Positions([], None).column(types.Position(3, 7)) == 0
