"""Annotated assignments in bodies: `check` and `watch` read them from the source, or see the checks of the import hook."""

import functools

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from dimtyped import check, install_import_hook, typed, watch
from tests.import_hook.sources import imported

Image = Float[Tensor, "height width"]


@typed
def attend(q: Float[Tensor, "batch query head"], k: Float[Tensor, "batch key head"]) -> Tensor:
    scores: Float[Tensor, "batch query key"] = k @ q.transpose(1, 2)
    return scores


@typed
def right(q: Float[Tensor, "batch query head"], k: Float[Tensor, "batch key head"], flag: bool = True) -> Tensor:
    scores: Float[Tensor, "batch query key"] = (
        (q @ k.transpose(1, 2))
        .div(2.0)
        .softmax(-1)
    )  # fmt: skip
    weights: Float[Tensor, "batch query key"] = torch.nn.functional.softmax(scores, -1) if flag else scores.exp()
    total: Float[Tensor, "batch head"] = functools.reduce(torch.add, [*(weights @ k).unbind(1)])
    largest: Float[Tensor, "key head"] = max([*k], key=lambda part: part.sum())
    count: int = len(k)
    return weights * count + total.sum() + largest.sum()


class Plain(nn.Module):
    """Nothing is annotated but a variable."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 4)

    def forward(self, x, y):
        first: Float[Tensor, "batch seq"] = self.out(x)
        second: Float[Tensor, "seq batch"] = self.out(y)
        return first + second


@pytest.mark.filterwarnings("error")
def test_check_finds_a_variable_of_other_sizes():
    (found,) = check(attend).findings
    assert (found.kind, found.source) == ("refused", "k @ q.transpose(1, 2)")
    assert "in attend: `scores` is (batch=" in found.message
    assert 'is annotated Float[..., "batch query key"]: key=' in found.message


def test_watch_finds_another_name_of_the_same_size():
    with watch() as report:
        attend(torch.ones(2, 3, 4), torch.ones(2, 3, 4))
    (found,) = report.findings
    assert (found.kind, found.fix, found.where) == (
        "annotation",
        "(k @ q.transpose(1, 2)).transpose(1, 2)",
        "attend",
    )
    assert "key where it says query and query where it says key" in found.message


def test_a_right_function_has_no_finding():
    assert check(right).ok, str(check(right))
    with watch() as report:
        right(torch.ones(2, 3, 3), torch.ones(2, 3, 3), flag=False)
    assert report.ok, str(report)
    assert not report.notes


def test_a_function_of_which_only_variables_are_annotated():
    with watch() as report:
        Plain()(torch.ones(4, 4), torch.ones(4, 4))
    (found,) = report.findings
    assert found.kind == "coincidence"
    assert set(found.names) == {"batch", "seq"}
    assert found.source == "first + second"


SOURCE = """
from jaxtyping import Float
from torch import Tensor

def attend(q: Float[Tensor, "batch query head"], k: Float[Tensor, "batch key head"]) -> Tensor:
    scores: Float[Tensor, "batch query key"] = k @ q.transpose(1, 2)
    return scores
"""


def test_what_the_hook_checks_is_seen_once(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    module = imported(tmp_path, SOURCE, install_import_hook)
    with watch() as report:
        module.attend(torch.ones(2, 3, 4), torch.ones(2, 3, 4))
    (found,) = report.findings
    assert (found.kind, found.times) == ("annotation", 1)
    assert "in attend: `scores` is (batch=2, key=3, query=3)" in found.message
    assert found.source == "k @ q.transpose(1, 2)"
