"""Ties whose weight another computes: parametrized, weight-normed and pruned embeddings."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch.nn.utils import parametrizations, parametrize, prune

from dimtyped import nn, tie
from tests.helpers.tied_models import (
    EMBED,
    VOCAB,
    ByAssignment,
    ByDecoder,
    Tied,
    assert_tied,
    tokens,
)
from tests.nn.tying.ways import three_kinds


class Doubled(torch.nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


@three_kinds
def test_parametrize_on_the_embedding(way: type[Tied]) -> None:
    model = way()
    weight = assert_tied(model)
    parametrize.register_parametrization(model.embedding, "weight", Doubled())
    with parametrize.cached():
        assert model.out.weight is model.embedding.weight
    torch.testing.assert_close(model.out.weight, 2 * weight)
    assert model.embedding.parametrizations["weight"].original is weight
    assert sum(parameter is weight for parameter in model.parameters()) == 1
    _trains_as_one(model)
    parametrize.remove_parametrizations(model.embedding, "weight")
    assert assert_tied(model) is weight
    assert type(model.out) in (nn.Linear, nn.TiedDecoder)


@three_kinds
def test_parametrize_on_the_output(way: type[Tied]) -> None:
    model = way()
    parametrize.register_parametrization(model.out, "weight", Doubled())
    with parametrize.cached():
        assert model.out.weight is model.embedding.weight
    _trains_as_one(model)
    parametrize.remove_parametrizations(model.out, "weight")
    assert_tied(model)


@three_kinds
@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("add", "remove"),
    [
        (parametrizations.weight_norm, lambda layer: parametrize.remove_parametrizations(layer, "weight")),
        (torch.nn.utils.weight_norm, torch.nn.utils.remove_weight_norm),
        (torch.nn.utils.spectral_norm, torch.nn.utils.remove_spectral_norm),
        (
            lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
            lambda layer: prune.remove(layer, "weight"),
        ),
    ],
    ids=["weight_norm", "old weight_norm", "old spectral_norm", "prune"],
)
def test_weight_norm_and_its_like_on_the_embedding(
    way: type[Tied], add: Callable[..., object], remove: Callable[..., object]
) -> None:
    model = way()
    add(model.embedding)
    model(tokens())
    with parametrize.cached():
        assert model.out.weight is model.embedding.weight
    assert "out.weight" not in dict(model.named_parameters(remove_duplicate=False))
    _trains_as_one(model)
    remove(model.embedding)
    assert_tied(model)


def _trains_as_one(model: Tied) -> None:
    """A step through the output alone also moves the embedding."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    before = model.embedding(tokens()).detach().clone()
    for _ in range(2):
        optimizer.zero_grad()
        model(tokens()).square().sum().backward()
        optimizer.step()
    after = model.embedding(tokens()).detach()
    assert not torch.equal(before, after)
    torch.testing.assert_close(model.out.weight, model.embedding.weight)


def test_a_parametrized_tie_is_copied_and_converted() -> None:
    model = ByDecoder()
    parametrize.register_parametrization(model.embedding, "weight", Doubled())
    again = copy.deepcopy(model).double()
    with parametrize.cached():
        assert again.out.weight is again.embedding.weight
    assert again.out.weight.dtype == torch.float64
    originals = [copied.embedding.parametrizations["weight"].original for copied in (again, model)]
    assert originals[0] is not originals[1]
    torch.testing.assert_close(again(tokens()), model.double()(tokens()))
    parametrize.remove_parametrizations(again.embedding, "weight")
    assert_tied(again)


def test_a_pruned_tie_is_pickled() -> None:
    model = ByAssignment()
    prune.l1_unstructured(model.embedding, "weight", 0.5)
    model = pickle.loads(pickle.dumps(model))
    model(tokens())
    assert model.out.weight is model.embedding.weight
    prune.remove(model.embedding, "weight")
    assert_tied(model)


def test_tied_to_an_embedding_that_is_parametrized_already() -> None:
    embedding = parametrizations.weight_norm(nn.Embedding(VOCAB, EMBED))
    decoder, linear = nn.TiedDecoder(embedding), tie(nn.Linear(EMBED, VOCAB), embedding)
    with parametrize.cached():
        assert decoder.weight is linear.weight is embedding.weight


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
def test_a_hook_that_comes_too_late_for_the_embedding_is_said_to_part_them() -> None:
    model = ByAssignment()
    with pytest.warns(UserWarning, match="Linear.weight is computed by a hook .* no longer tied to Embedding.weight"):
        torch.nn.utils.weight_norm(model.out)
    model(tokens()).sum().backward()


def test_a_plain_tensor_in_a_tied_place_is_said_to_part_them() -> None:
    model = ByAssignment()
    del model.embedding._parameters["weight"]
    with pytest.warns(UserWarning, match="Embedding.weight is a plain tensor now, .* no longer tied to Linear.weight"):
        model.embedding.weight = torch.zeros(VOCAB, EMBED)
    model.embedding.weight = torch.ones(VOCAB, EMBED)  # said once


def test_compile_of_a_following_decoder() -> None:
    embedding = nn.Embedding(VOCAB, EMBED)
    model = nn.Sequential(embedding, nn.TiedDecoder(embedding))
    parametrize.register_parametrization(embedding, "weight", Doubled())
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(tokens()), model(tokens()))
