"""The report's text and data."""

import json

import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import check, typed
from dimtyped.flow import Report


@typed
def bad(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
    for _ in range(3):
        y = x.softmax(0)
    return y


def test_text():
    report = check(bad)
    line = bad.__wrapped__.__code__.co_firstlineno + 3
    assert str(report).splitlines() == [
        f"tests/flow/test_report.py:{line}: mixing: `x.softmax(0)` in bad: softmax carries values along batch",
        "    y = x.softmax(0)",
        "        ^^^^^^^^^^^^",
        "    x  float32 (batch=5, dim=7)",
        "  batch: bound by `x` of bad",
        "  fix: x.softmax(-1)",
        "  and 2 more times",
        "",
        "bad: 1 finding; 3 of 3 operators followed",
    ]


def test_data():
    report = check(bad)
    data = json.loads(json.dumps(report.to_dict()))
    assert data["ok"] is False
    assert data["target"] == "bad"
    assert data["followed"] == {"softmax": 3}
    assert data["sizes"] == {"batch": 5, "dim": 7}
    [found] = data["findings"]
    assert found["kind"] == "mixing"
    assert found["source"] == "x.softmax(0)"
    assert (found["column"], found["end_column"]) == (12, 24)
    assert found["names"] == ["batch"]


def test_unfollowed_operators_are_counted():
    @typed
    def strided(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        return torch.as_strided(x, x.shape, x.stride())

    assert str(check(strided)) == "strided: no findings; 0 of 1 operators followed, not as_strided (1)"


def test_repr_is_the_summary():
    assert repr(Report("model")) == "<Report: model: no findings; 0 of 0 operators followed>"
