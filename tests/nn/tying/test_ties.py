"""A tie survives what a model goes through, by identity: each test here fails for a tie that is kept by copy."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable

import cloudpickle
import pytest
import torch

from dimtyped import TyingError, nn
from tests.helpers.tied_models import (
    EMBED,
    VOCAB,
    ByAssignment,
    ByDecoder,
    assert_tied,
    keep_by_copy,
    tokens,
)
from tests.nn.tying.ways import Way, every_way


def test_a_tie_kept_by_copy_is_told_from_a_tie() -> None:
    model = ByDecoder()
    assert_tied(model)
    keep_by_copy(model)
    torch.testing.assert_close(model.out.weight, model.embedding.weight)
    with pytest.raises(AssertionError):
        assert_tied(model)


@every_way
def test_a_tied_parameter_is_counted_once(way: Way) -> None:
    model, copied = way(), way()
    keep_by_copy(copied)
    assert assert_tied(model).shape == (VOCAB, EMBED)
    count, separate = (sum(parameter.numel() for parameter in each.parameters()) for each in (model, copied))
    assert separate == count + VOCAB * EMBED
    assert (
        sum(parameter.numel() for parameter in torch.optim.SGD(model.parameters()).param_groups[0]["params"]) == count
    )


def test_a_projection_before_the_tied_output() -> None:
    """A hidden size other than the embedding's width: project=True maps it, and anything else is an error."""
    decoder = nn.TiedDecoder(nn.Embedding(VOCAB, EMBED), 9, project=True)
    x = torch.randn(2, 5, 9)
    expected = x @ decoder.projection.weight.T @ decoder.weight.T + decoder.bias
    torch.testing.assert_close(decoder(x), expected)
    assert {name: tuple(p.shape) for name, p in decoder.named_parameters()} == {
        "weight": (VOCAB, EMBED),
        "bias": (VOCAB,),
        "projection.weight": (EMBED, 9),
    }
    text = r"Use nn.TiedDecoder\(embedding, 9, project=True\), which learns a map"
    with pytest.raises(TyingError, match=text) as info:
        nn.TiedDecoder(nn.Embedding(VOCAB, EMBED), 9)
    error = info.value
    assert (error.where, error.dim, error.expected, error.actual) == ("TiedDecoder", "hidden", EMBED, 9)


@every_way
@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: cloudpickle.loads(cloudpickle.dumps(model)),
        lambda model: torch.load(_saved(model), weights_only=False),
        lambda model: copy.deepcopy(copy.deepcopy(model)),
    ],
    ids=["deepcopy", "pickle", "cloudpickle", "torch.save", "deepcopy twice"],
)
def test_copy(way: Way, copied: Callable[[torch.nn.Module], torch.nn.Module]) -> None:
    model = way()
    again = copied(model)
    assert assert_tied(again) is not assert_tied(model)
    torch.testing.assert_close(again(tokens()), model(tokens()))
    assert assert_tied(again.to("meta").to_empty(device="cpu")).device.type == "cpu"  # the copy keeps it as well
    assert_tied(model)


def _saved(value: object) -> io.BytesIO:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return buffer


def test_copies_of_one_half() -> None:
    model = ByDecoder()
    out = copy.deepcopy(model.out)
    assert out.weight is not model.out.weight
    assert_tied(model.to("meta"))
    assert out.weight.device.type == "cpu"
    shallow = copy.copy(model.out)
    assert shallow.weight is model.embedding.weight


@every_way
def test_to_dtype_with_gradients(way: Way, conversion: str) -> None:
    model = way()
    model(tokens()).sum().backward()
    assert assert_tied(model.double()).grad is not None


def test_to_empty_of_one_half_takes_the_other_along() -> None:
    with torch.device("meta"):
        model = ByAssignment()
    model.embedding.to_empty(device="cpu")
    assert not assert_tied(model).is_meta


def test_a_shared_layer_that_is_met_twice() -> None:
    model = torch.nn.ModuleList([ByDecoder(), ByDecoder()])
    model.append(model[0])
    model.to("meta").to_empty(device="cpu")
    assert assert_tied(model[0]) is not assert_tied(model[1])


def test_layers_that_are_not_tied_stay_so() -> None:
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(20)))
    for _ in range(3):
        model.to("meta").to_empty(device="cpu")
        model.load_state_dict(model.state_dict(), assign=True)
        assert len({id(layer.weight) for layer in model}) == len(model)


def test_a_gradient_has_both_parts() -> None:
    model = ByDecoder()
    model(tokens()).sum().backward()
    from_both = model.embedding.weight.grad
    assert from_both is not None
    separate = ByDecoder()
    separate.load_state_dict(model.state_dict())
    keep_by_copy(separate)
    separate(tokens()).sum().backward()
    torch.testing.assert_close(from_both, separate.embedding.weight.grad + separate.out.weight.grad)
