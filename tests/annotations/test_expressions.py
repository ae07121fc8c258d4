"""Expressions solved for the one name in them that has no size."""

import pytest
from hypothesis import example, given, strategies as st

from dimtyped.annotations import linear, solve

SIZES = st.integers(0, 6)


@pytest.mark.parametrize(
    ("expression", "name", "parts"),
    [
        ("n", "n", ("1", "0")),
        ("2*n", "n", ("2", "0")),
        ("n*2", "n", ("2", "0")),
        ("n-1", "n", ("1", "-1")),
        ("1+n", "n", ("1", "1")),
        ("n+n", "n", ("2", "0")),
        ("7-n", "n", ("-1", "7")),
        ("-n", "n", ("-1", "0")),
        ("2*(n-1)", "n", ("2", "-2")),
        ("rows*cols", "cols", ("rows", "0")),
        ("rows*(cols+1)", "cols", ("rows", "rows")),
        ("n+m//2", "n", ("1", "m // 2")),
        ("n*n", "n", None),
        ("n//2", "n", None),
        ("2**n", "n", None),
        ("min(n, 3)", "n", None),
        ("n +", "n", None),
    ],
)
def test_the_parts_of_a_linear_expression(expression: str, name: str, parts: tuple[str, str] | None) -> None:
    assert linear(expression, name) == parts


def grown(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({}{}{})".format, parts, st.sampled_from("+-*"), parts),
        st.builds("-{}".format, parts),
    )


EXPRESSIONS = st.recursive(st.sampled_from(["n", "m", "1", "2", "3"]), grown, max_leaves=6)


@given(EXPRESSIONS, SIZES, st.integers(-3, 40))
@example("(2*n)", 0, 5)
@example("(n*m)", 0, 0)
def test_it_finds_the_size_that_there_is(expression: str, m: int, size: int) -> None:
    right = [n for n in range(200) if eval(expression, {"n": n, "m": m}) == size]
    try:
        found = solve(expression, "n", size, {"m": m})
    except NameError:
        assert linear(expression, "n") is None
        return
    if found is not None:
        assert eval(expression, {"n": found, "m": m}) == size
    elif len(right) == 1:
        raise AssertionError(f"{right} solve {expression} = {size}")
