"""`nn.TiedDecoder` at construction and at calls; that its tie outlives copies and conversions is test_ties."""

import pytest
import torch
from hypothesis import given, strategies as st
from jaxtyping import Float32
from torch import Tensor

from dimtyped import DimensionError, DimSize, TyingError, dims, nn
from dimtyped.testing import broken_calls, tensors
from tests.helpers.layer_cases import SIZES, floats, other_than


def tied(vocab: int, embed: int, hidden: int | None = None, **options) -> nn.TiedDecoder:
    """A decoder over an embedding, its sizes named."""
    words, width, memory = dims(words=vocab, width=embed, memory=embed if hidden is None else hidden)
    return nn.TiedDecoder(nn.Embedding(words, width), None if hidden is None else memory, **options)


def states_of(width: int) -> st.SearchStrategy[Tensor]:
    """What a decoder takes: states of this width, of any batch."""
    return tensors(Float32[Tensor, "... width"], sizes={"width": width}, allow_empty=True)


@given(st.data(), SIZES, SIZES, st.booleans())
def test_logits_are_the_states_times_the_embedding(data, vocab, embed, bias):
    decoder = tied(vocab, embed, bias=bias)
    states = data.draw(states_of(embed))
    logits = decoder(states)
    assert logits.shape == (*states.shape[:-1], vocab)
    assert torch.equal(logits, torch.nn.functional.linear(states, decoder.weight, decoder.bias))


@given(st.data(), SIZES, SIZES, SIZES, st.booleans())
def test_project_puts_a_linear_without_bias_before_it(data, vocab, embed, hidden, bias):
    decoder = tied(vocab, embed, hidden, project=True, bias=bias)
    states = data.draw(states_of(hidden))
    assert decoder(states).shape == (*states.shape[:-1], vocab)
    assert list(dict(decoder.named_parameters())) == ["weight", *(["bias"] if bias else []), "projection.weight"]
    assert torch.equal(
        decoder(states), torch.nn.functional.linear(decoder.projection(states), decoder.weight, decoder.bias)
    )


@given(st.data(), SIZES, SIZES)
def test_refuses_another_width_than_the_embeddings_at_construction(data, vocab, embed):
    hidden = data.draw(other_than(embed).filter(bool))
    with pytest.raises(TyingError, match=f"memory is {hidden}, but the embedding's width is width={embed}") as caught:
        tied(vocab, embed, hidden)
    error = caught.value
    assert (error.argument, error.dim, error.expected, error.actual) == ("hidden", "memory", embed, hidden)
    assert "project=True" in error.hint


@given(st.data(), SIZES, SIZES, st.none() | SIZES)
def test_refuses_another_width_at_a_call_by_name(data, vocab, embed, hidden):
    decoder = tied(vocab, embed, hidden, project=hidden is not None)
    broken = data.draw(broken_calls(decoder).filter(lambda broken: broken.kind == "size"))
    with pytest.raises(DimensionError) as caught:
        decoder(*broken.args, **broken.kwargs)
    error = caught.value
    name, right = ("width", embed) if hidden is None else ("memory", hidden)
    assert (broken.argument, broken.dim) == ("input", name)
    assert (error.argument, error.dim, error.expected) == ("input", name, right)
    assert error.actual == broken.args[0].shape[-1]


def test_has_one_weight_the_embeddings_own():
    embedding = nn.Embedding(9, 3)
    decoder = nn.TiedDecoder(embedding)
    assert decoder.weight is embedding.weight
    decoder(embedding(torch.tensor([1]))).sum().backward()
    assert embedding.weight.grad is decoder.weight.grad
    assert len(list(torch.nn.ModuleList([embedding, decoder]).parameters())) == 2


def test_follows_the_embeddings_device_and_dtype():
    decoder = nn.TiedDecoder(nn.Embedding(9, 3, dtype=torch.float64, device="meta"), 4, project=True)
    assert {(p.dtype, p.device.type) for p in decoder.parameters()} == {(torch.float64, "meta")}


def test_its_bias_is_drawn_within_a_linears_bounds():
    assert 0 < nn.TiedDecoder(nn.Embedding(9, 3)).bias.abs().max() <= 1 / 3**0.5


@pytest.mark.parametrize("hidden", [9, *dims(words=9)], ids=repr)
def test_the_vocabulary_given_for_the_width_of_what_comes_in(hidden):
    with pytest.raises(TyingError, match=r"Leave hidden out: .*\. The output has words anyway\.$"):
        nn.TiedDecoder(nn.Embedding(*dims(words=9, width=3)), hidden)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (None, "None of type NoneType"),
        (torch.nn.Linear(3, 9), "Linear(in_features=3, out_features=9, bias=True) of type Linear"),
        (torch.ones(9, 3), "a Tensor of shape (9, 3)"),
        (nn.Embedding, "the class Embedding"),
    ],
    ids=["none", "a layer", "a tensor", "a class"],
)
def test_takes_an_embedding(wrong, text):
    with pytest.raises(TyingError) as caught:
        nn.TiedDecoder(wrong)
    assert str(caught.value).startswith(
        f"TiedDecoder takes an embedding, not {text}\n  Give it the embedding layer itself"
    )


def test_a_plain_embedding_becomes_a_typed_one_in_place():
    embedding = torch.nn.Embedding(9, 3)
    decoder = nn.TiedDecoder(embedding)
    assert type(embedding) is nn.Embedding
    assert decoder.weight is embedding.weight


def test_its_repr_shows_names():
    assert repr(tied(9, 3)) == "TiedDecoder(width=3 -> words=9, bias=True)"
    assert repr(tied(9, 3, 4, project=True)).startswith("TiedDecoder(\n  memory=4 -> words=9, bias=True, project=True")
    assert repr(nn.TiedDecoder(nn.Embedding(9, 3), bias=False)) == "TiedDecoder(hidden=3 -> vocab=9, bias=False)"


def test_in_a_module_its_names_are_declared_and_its_path_is_named():
    class Decoder(nn.Module):
        def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize):
            super().__init__()
            self.embedding = nn.Embedding(vocab, embed)
            self.out = nn.TiedDecoder(self.embedding, hidden, project=True)

        def forward(self, states):
            return self.out(states)

    model = Decoder(9, 3, 4)
    assert model(floats(2, 4)).shape == (2, 9)
    with pytest.raises(DimensionError, match=r"^Decoder.out: argument `input` does not fit: hidden is 5, must be 4"):
        model(floats(2, 5))
