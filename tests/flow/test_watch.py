"""`watch`: what runs inside is followed, and gives what it gives without."""

import sys

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its name everywhere

from dimtyped import DimensionError, DimSize, nn, typed, watch


class Critic(nn.Module):
    def __init__(self, state: DimSize, hidden: DimSize):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(state, hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, 1))

    def forward(self, states: Float[Tensor, "batch state"]) -> Float[Tensor, "batch 1"]:
        return self.layers(states)


def train(is_right):
    torch.manual_seed(0)
    critic = Critic(3, 8)
    optimizer = torch.optim.Adam(critic.parameters())
    states = torch.randn(16, 3)
    returns = critic(states).detach().squeeze(-1) + 1
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        values = critic(states)
        loss = (values.squeeze(-1) - returns if is_right else values - returns).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return [*losses, *critic.state_dict().values(), torch.rand(2)]


def test_a_training_step_gives_what_it_gives_without():
    plain = train(is_right=True)
    with watch() as report:
        watched = train(is_right=True)
    assert report.ok, str(report)
    assert all(torch.equal(one, other) for one, other in zip(plain, watched, strict=True))
    assert report.followed["linear"] == 8


def test_a_loss_outside_of_any_module():
    with watch() as report:
        train(is_right=False)
    [found] = report.findings
    assert (found.kind, found.names, found.source, found.times) == ("outer", ("batch",), "values - returns", 3)
    assert found.where == "train"


def test_batch_is_one_dimension_in_all_calls():
    @typed
    def returns(rewards: Float[Tensor, "batch time"]) -> Float[Tensor, "batch"]:
        return rewards.sum(1)

    critic = Critic(3, 8)
    with watch() as report:
        (critic(torch.ones(16, 3)) - returns(torch.ones(16, 9))).square().mean()
    [found] = report.findings
    assert (found.kind, found.names) == ("outer", ("batch",))
    with watch() as report:
        (critic(torch.ones(16, 3)).squeeze(1) - returns(torch.ones(16, 9))).square().mean()
    assert report.ok


def test_torchs_error_propagates_and_is_explained():
    with pytest.raises(RuntimeError, match="The size of tensor a") as caught, watch() as report:
        Critic(3, 8)(torch.ones(4, 3)) + torch.ones(3, 3)
    assert not isinstance(caught.value, DimensionError)
    [found] = report.findings
    assert found.kind == "refused"
    assert found.operands == ("float32 (batch=4, 1)", "float32 (3, 3)")


def test_a_dimension_error_goes_on_and_is_a_finding():
    with pytest.raises(DimensionError), watch() as report:
        Critic(3, 8)(torch.ones(4, 4))
    [found] = report.findings
    assert (found.kind, found.names, found.source) == ("refused", ("state",), "Critic(3, 8)(torch.ones(4, 4))")


def test_other_errors_are_no_finding():
    with pytest.raises(KeyError), watch() as report:
        raise KeyError
    assert report.ok


def test_a_profiler_that_was_there_is_there_again():
    seen = []

    def profile(frame, event, value):
        seen.append(event)

    sys.setprofile(profile)
    try:
        with watch():
            pass
        assert sys.getprofile() is profile
    finally:
        sys.setprofile(None)


def test_typed_functions_that_call_one_another_may_name_one_dimension_differently():
    @typed
    def inner(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return x * 2

    @typed
    def outer(x: Float[Tensor, "batch embed"], y: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
        return inner(x) + y

    with watch() as report:
        outer(torch.ones(4, 4), torch.ones(4, 4))
    assert report.ok, str(report)


def test_labels_not_shifted_are_found_by_their_name():
    @typed
    def loss(logits: Float[Tensor, "batch seq vocab"], targets: Int[Tensor, "batch seq"]) -> Float[Tensor, ""]:
        return F.cross_entropy(logits.transpose(0, 1).flatten(0, 1), targets.flatten())

    with watch() as report:
        loss(torch.randn(4, 4, 9), torch.randint(9, (4, 4)))
    assert [found.kind for found in report.findings] == ["coincidence"]
