"""Predicates on a call: what they write as Python means what was combined."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, strategies as st

from dimtyped import nn
from dimtyped.engine import ALWAYS, Predicate, of_call, of_owner
from dimtyped.nn.contract import has_axes, is_none, layer_classes

Meaning = Any  # of a predicate: a function of the values of a, b and c
LEAVES: list[tuple[Predicate, Meaning]] = [
    (of_call("a"), lambda a, b, c: a),
    (of_call("b == c"), lambda a, b, c: b == c),
    (of_owner("c", "{} is True"), lambda a, b, c: c),
    (ALWAYS, lambda a, b, c: True),
]


def combined(inner: st.SearchStrategy[tuple[Predicate, Meaning]]) -> st.SearchStrategy[tuple[Predicate, Meaning]]:
    def both(pair: Any) -> tuple[Predicate, Meaning]:
        (one, first), (other, second) = pair
        return one & other, lambda *values: first(*values) and second(*values)

    def either(pair: Any) -> tuple[Predicate, Meaning]:
        (one, first), (other, second) = pair
        return one | other, lambda *values: first(*values) or second(*values)

    def neither(one: Any) -> tuple[Predicate, Meaning]:
        return ~one[0], lambda *values: not one[1](*values)

    pairs = st.tuples(inner, inner)
    return pairs.map(both) | pairs.map(either) | inner.map(neither)


class Owner:
    def __init__(self, c: bool) -> None:
        self.c = c


@pytest.mark.any_engine
@given(st.recursive(st.sampled_from(LEAVES), combined, max_leaves=12))
def test_the_source_means_what_was_combined(made: tuple[Predicate, Meaning]) -> None:
    predicate, meaning = made
    for a, b, c in itertools.product([False, True], repeat=3):
        found = eval(predicate.source(), {"self": Owner(c), "a": a, "b": b, "c": c})
        assert bool(found) == bool(meaning(a, b, c)), predicate.source()


def test_brackets_stand_only_where_they_are_needed() -> None:
    a, b, c = of_call("a"), of_call("b"), of_owner("c")
    assert (a & b & c).source() == "a and b and self.c"
    assert (a & (b | c)).source() == "a and (b or self.c)"
    assert ((a & b) | c).source() == "a and b or self.c"
    assert (~(a & b) | ~c).source() == "not (a and b) or not self.c"


def test_an_attribute_is_read_where_its_reader_says() -> None:
    predicate = is_none("mask") & of_owner("attention.batch_first") & of_owner("attention", "type({}) is Attention")
    assert list(predicate.paths) == ["attention.batch_first", "attention"]
    read = {"attention": "part", "attention.batch_first": "part.batch_first"}.__getitem__
    assert predicate.source(read) == "mask is None and part.batch_first and type(part) is Attention"


def test_a_condition_says_which_axes_a_call_has() -> None:
    assert has_axes("input", 2).source() == "isinstance(input, Tensor) and input.dim() == 2"


@pytest.mark.parametrize("cls", layer_classes(), ids=lambda cls: cls.__name__)
def test_each_layer_has_one_form_for_every_call(cls: type[nn.Module]) -> None:
    calls = cls.contract.calls  # type: ignore[attr-defined]  # a layer's
    usual = [form for form in calls if not form.rare]
    assert [form.when is None for form in usual] == [False] * (len(usual) - 1) + [True]
    assert all(form.when is not None for form in calls if form.rare)
    assert all(form.output is not None for form in calls if form.inputs is not None and form.inputs.keys() != {"input"})
