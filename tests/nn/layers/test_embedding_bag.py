"""EmbeddingBag: ids in a matrix of bags, or end to end with where each bag begins."""

import copy
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st

from dimtyped import DimensionError, TyingError, VocabularyError, dims, nn
from tests.helpers.layer_cases import floats, ids
from tests.helpers.named_calls import SIZES, Call, Index, assert_accepted, assert_refused

OFFSETS = torch.tensor([0, 2, 5])
CALLS: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "a matrix": ({}, (ids(3, 4),)),
    "a matrix of int32": ({}, (ids(3, 4).int(),)),
    "no bags": ({}, (ids(0, 4),)),
    "end to end": ({}, (ids(7), OFFSETS)),
    "end to end in int32": ({}, (ids(7).int(), OFFSETS.int())),
    "ids narrower than the offsets": ({}, (ids(7).to(torch.uint8), OFFSETS)),
    "offsets narrower than the ids": ({}, (ids(7), OFFSETS.int())),
    "an empty bag": ({}, (ids(7), torch.tensor([0, 2, 2]))),
    "with the last offset": ({"include_last_offset": True}, (ids(7), torch.tensor([0, 2, 5, 7]))),
    "the largest": ({"mode": "max"}, (ids(7), OFFSETS)),
    "weighed in a matrix": ({"mode": "sum"}, (ids(3, 4), None, floats(3, 4))),
    "weighed end to end": ({"mode": "sum"}, (ids(7), OFFSETS, floats(7))),
    "with padding": ({"padding_idx": 1}, (ids(3, 4),)),
    "with a largest norm": ({"max_norm": 1.0}, (ids(3, 4),)),
    "sparse": ({"sparse": True}, (ids(3, 4),)),
}
WRONG: dict[str, tuple[dict[str, Any], tuple[Any, ...], str, str]] = {
    "a matrix with offsets": ({}, (ids(3, 4), OFFSETS), "offsets", "it is a Tensor, must be None"),
    "no offsets": ({}, (ids(7),), "offsets", "it is None, must be a Tensor"),
    "offsets with two axes": ({}, (ids(7), OFFSETS[None]), "offsets", "it has 2 axes, must have 1"),
    "three axes": ({}, (ids(2, 3, 4),), "input", "it has 3 axes, must have 2"),
    "floats for ids": ({}, (floats(3, 4),), "input", "its dtype is float32"),
    "other weights": ({"mode": "sum"}, (ids(3, 4), None, floats(3, 5)), "per_sample_weights", "tokens is 5, must be 4"),
    "fewer weights": ({"mode": "sum"}, (ids(7), OFFSETS, floats(6)), "per_sample_weights", "tokens is 6, must be 7"),
    "bags of no ids": ({}, (ids(3, 0),), "input", "tokens is 0, must be at least 1"),
    "no last offset": (
        {"include_last_offset": True},
        (ids(7), OFFSETS[:0]),
        "offsets",
        "bags is 0, must be at least 1",
    ),
}


def make(namespace: Any, **options: Any) -> Any:
    torch.manual_seed(0)
    return namespace.EmbeddingBag(10, 3, **options)


@pytest.mark.parametrize(("options", "inputs"), CALLS.values(), ids=CALLS)
def test_what_torch_takes_gives_what_torch_gives(options, inputs):
    ours, theirs = make(nn, **options), make(torch.nn, **options)
    for copied in (lambda layer: layer, copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))):
        results = []
        for layer in (copied(ours), copied(theirs)):
            result = layer(*inputs)
            if options.get("mode") != "max" and "max_norm" not in options:
                result.sum().backward()
            results.append((result, layer.weight.grad))
        assert torch.equal(results[0][0], results[1][0])
        assert (results[0][1] is None) == (results[1][1] is None)
        if results[0][1] is not None:
            assert torch.equal(results[0][1].to_dense(), results[1][1].to_dense())
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize(("options", "inputs", "argument", "wrong"), WRONG.values(), ids=WRONG)
def test_what_torch_refuses_is_named_and_caught_by_what_caught_torchs(options, inputs, argument, wrong):
    with pytest.raises(Exception) as theirs:  # noqa: PT011  # of whatever kind
        make(torch.nn, **options)(*inputs)
    with pytest.raises(DimensionError, match=f"argument `{argument}` does not fit: {wrong}") as ours:
        make(nn, **options)(*inputs)
    assert isinstance(ours.value, theirs.type)


@given(st.data(), SIZES, SIZES)
def test_weights_of_another_shape_are_named(data, batch, tokens):
    sizes = {"batch": batch, "tokens": tokens}
    shapes = {"input": Index("batch tokens", 10), "per_sample_weights": "batch tokens"}
    arguments = {"num_embeddings": 10, "embedding_dim": 3, "mode": "sum"}
    call = Call("EmbeddingBag", arguments, sizes, shapes)
    assert_accepted(call)
    place = data.draw(st.sampled_from([place for place in call.places() if place.argument == "per_sample_weights"]))
    assert_refused(call, place, sizes[place.name] + data.draw(st.integers(1, 3)))


@pytest.mark.parametrize(
    "inputs", [(torch.tensor([[1, 10], [2, 3]]),), (torch.tensor([1, 10, 2]), torch.tensor([0, 1]))]
)
def test_an_id_outside_the_vocabulary(inputs):
    words, width = dims(words=10, width=3)
    with pytest.raises(VocabularyError, match="1 token id outside the vocabulary: 10, must be 0 to 9") as caught:
        nn.EmbeddingBag(words, width)(*inputs)
    assert (caught.value.dim, caught.value.expected) == ("words", 10)


def test_names_and_parameters():
    layer = nn.EmbeddingBag(*dims(words=10, width=3))
    assert repr(layer) == "EmbeddingBag(words=10 -> width=3, mode='mean')"
    with pytest.raises(TyingError, match="words=10, width=3"):
        layer.weight = torch.nn.Parameter(floats(10, 4))
