"""Problems and shapes in a text that was edited since it was checked: at their places now, or not at all."""

from __future__ import annotations

from hypothesis import given, strategies as st

from dimtyped.cli.lsp.data import Edit, Function, Problem, Span, Variable
from dimtyped.cli.lsp.staleness import LineMap

LINES = st.lists(st.sampled_from("abcdef"), max_size=12)
EDITS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3), LINES), max_size=3)


def after_edits(lines, edits):
    """Each edit replaces some lines at a place with others."""
    now = list(lines)
    for place, count, inserted in edits:
        now[place : place + count] = inserted
    return now


@given(LINES, EDITS)
def test_a_line_is_mapped_to_one_that_is_the_same_and_none_to_one_above_another(before, edits):
    after = after_edits(before, edits)
    mapped = LineMap(before, after)
    kept = [(line, place) for line in range(len(before)) if (place := mapped.line(line)) is not None]
    assert all(before[line] == after[place] for line, place in kept)
    assert [place for _, place in kept] == sorted({place for _, place in kept})


@given(LINES)
def test_a_text_that_was_not_edited_is_itself(lines):
    mapped = LineMap(lines, list(lines))
    assert [mapped.line(line) for line in range(len(lines))] == list(range(len(lines)))
    assert mapped.kept(0, len(lines) - 1) == len(lines) - 1


@given(LINES, st.integers(0, 12), LINES)
def test_lines_above_and_below_one_edit_are_kept(before, place, inserted):
    marked = [f"{number}{line}" for number, line in enumerate(before)]  # no two lines are the same
    mapped = LineMap(marked, after_edits(marked, [(place, 0, inserted)]))
    place = min(place, len(marked))
    for line in range(len(marked)):
        assert mapped.line(line) == (line if line < place else line + len(inserted))


@given(LINES, EDITS, st.integers(0, 11), st.integers(0, 4))
def test_a_span_is_kept_only_if_its_lines_are_still_together(before, edits, first, more):
    before = [*before, "x", "y", "z"]
    last = min(first + more, len(before) - 1)
    first = min(first, last)
    after = after_edits(before, edits)
    span = LineMap(before, after).span(Span(first, 1, last, 2))
    if span is not None:
        assert after[span.line : span.end_line + 1] == before[first : last + 1]
        assert (span.column, span.end_column) == (1, 2)


def variable(name, line, end=None):
    return Variable(name, line, 4, line if end is None else end, f"({name})")


BEFORE = ["import a", "def f(x):", "y = x", "z = y(", "y)", "w = z", "def g():", "v = 1"]
FUNCTIONS = [
    Function("f", 1, 5, (variable("x", 1), variable("y", 2), variable("z", 3, 4), variable("w", 5))),
    Function("g", 6, 7, (variable("v", 7),)),
]


def shown(after):
    return [(each.name, each.line) for _, each in LineMap(BEFORE, after).variables(FUNCTIONS)]


def test_shapes_move_with_their_lines_and_vanish_below_an_edit_of_their_function():
    assert shown(BEFORE) == [("x", 1), ("y", 2), ("z", 3), ("w", 5), ("v", 7)]
    assert shown(["", *BEFORE]) == [("x", 2), ("y", 3), ("z", 4), ("w", 6), ("v", 8)]
    assert shown([*BEFORE[:3], "inserted", *BEFORE[3:]]) == [("x", 1), ("y", 2), ("v", 8)]
    assert shown([*BEFORE[:4], "x)", *BEFORE[5:]]) == [("x", 1), ("y", 2), ("v", 7)]
    assert shown([*BEFORE[:2], *BEFORE[3:]]) == [("x", 1), ("v", 6)]
    assert shown([BEFORE[0], "def f(x, n):", *BEFORE[2:]]) == [("v", 7)]
    assert shown(BEFORE[:6]) == [("x", 1), ("y", 2), ("z", 3), ("w", 5)]


def test_a_problem_keeps_its_edit_while_the_lines_of_both_are_as_they_were():
    edit = Edit("", Span(2, 0, 2, 1), "y", "yy")
    problem = Problem("f.py", Span(5, 0, 5, 1), "outer", "", edit=edit)
    moved = LineMap(BEFORE, ["", *BEFORE]).problem(problem)
    assert (moved.span.line, moved.edit.span.line) == (6, 3)
    changed = LineMap(BEFORE, [*BEFORE[:2], "y = 2", *BEFORE[3:]]).problem(problem)
    assert (changed.span.line, changed.edit) == (5, None)
    assert LineMap(BEFORE, [*BEFORE[:5], "w = 2"]).problem(problem) is None
