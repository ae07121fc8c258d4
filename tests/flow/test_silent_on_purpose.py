"""What may be a mistake and may be meant: check reports nothing, as the page says."""

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from dimtyped import check, typed

Rows = Float[Tensor, "batch dim"]
Column = Float[Tensor, "batch"]


@typed
def distances(x: Rows, y: Rows) -> Float[Tensor, "batch batch"]:
    return x.norm(dim=1, keepdim=True) + y.norm(dim=1) - 2 * x @ y.T


@typed
def ranked(x: Rows, y: Column) -> Float[Tensor, ""]:
    return (x.sum(1, keepdim=True) - y).relu().mean()


@typed
def negatives(x: Rows) -> Column:
    return (x * x.flip(0)).sum(1)


@typed
def shuffled(x: Rows) -> Rows:
    return 0.7 * x + 0.3 * x[torch.randperm(x.shape[0])]


@typed
def neighbors(x: Rows) -> Rows:
    return x + torch.cat([x[1:], x[:1]])


@typed
def centered(x: Rows) -> Rows:
    return x - x.mean(0)


@typed
def siamese(x: Rows, y: Rows) -> Column:
    left, right = torch.cat([x, y]).tanh().chunk(2)
    return (left * right).sum(1)


@typed
def repeated(x: Rows, y: Float[Tensor, "batch*3 dim"]) -> Float[Tensor, "batch*3 dim"]:
    return x.repeat(3, 1) + y


@pytest.mark.parametrize(
    "function",
    [distances, ranked, negatives, shuffled, neighbors, centered, siamese, repeated],
    ids=lambda f: f.__name__,
)
def test_nothing_is_reported(function):
    assert check(function).ok


@pytest.mark.parametrize("function", [negatives, neighbors, centered], ids=lambda f: f.__name__)
def test_values_show_what_mixes(function):
    assert [found.kind for found in check(function, fuzz=True).findings] == ["mixing"]


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_a_loss_compares_no_kept_axis_with_a_vector():
    @typed
    def loss(x: Rows, y: Column) -> Float[Tensor, ""]:
        return nn.functional.mse_loss(x.sum(1, keepdim=True), y)

    [found] = check(loss).findings
    assert (found.kind, found.fix) == ("outer", "nn.functional.mse_loss(x.sum(1, keepdim=True).squeeze(-1), y)")
