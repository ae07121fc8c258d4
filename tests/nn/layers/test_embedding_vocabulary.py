"""Vocabularies: pretrained matrices, padding, an embedding that grows, and what a constructor is given."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

import dimtyped
from dimtyped import DeclarationError, Dim, DimSize, VocabularyError, dims, nn, tie
from dimtyped.runtime import config as _config
from tests.helpers.tied_models import WAYS, assert_tied

MATRIX = torch.arange(12.0).reshape(4, 3)


# Pretrained matrices --------------------------------------------------------------------------------------------------


class Sized:
    """Has a length and nothing else, as a tokenizer may."""

    def __len__(self) -> int:
        return 4


@pytest.mark.parametrize(
    "vocabulary",
    [4, np.int64(4), ["a", "b", "c", "d"], {"a": 0, "b": 1, "c": 2, "d": 3}, {"a", "b", "c", "d"}, Sized(), range(4)],
    ids=lambda value: type(value).__name__,
)
def test_a_vocabulary_that_fits(vocabulary: Any) -> None:
    embedding = nn.Embedding.from_pretrained(MATRIX, vocabulary=vocabulary)
    torch.testing.assert_close(embedding(torch.tensor([3])), MATRIX[3:])


def test_frozen_unless_asked_otherwise() -> None:
    """B4."""
    embedding = nn.Embedding.from_pretrained(MATRIX, vocabulary=4, embed=3)
    assert not embedding.weight.requires_grad
    assert nn.Embedding.from_pretrained(MATRIX, freeze=False).weight.requires_grad
    assert nn.Embedding.from_pretrained(MATRIX, True, 0).padding_idx == 0
    model = nn.Sequential(embedding, nn.Linear(3, 2))
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=1.0)
    model(torch.tensor([1, 2])).sum().backward()
    optimizer.step()
    torch.testing.assert_close(embedding.weight.detach(), MATRIX)


@pytest.mark.parametrize(
    ("vocabulary", "entries"),
    [(5, 5), (list("abcdef"), 6), ({"a": 0, "b": 7}, 8), (Dim("words", 9), 9)],
    ids=["size", "sequence", "mapping's largest id", "Dim"],
)
def test_a_matrix_with_too_few_rows(vocabulary: Any, entries: int) -> None:
    """B3."""
    name = getattr(vocabulary, "name", "vocab")
    with pytest.raises(DeclarationError) as info:
        nn.Embedding.from_pretrained(MATRIX, vocabulary=vocabulary)
    assert str(info.value) == (
        f"Embedding.from_pretrained: {name} is {entries}, but the matrix (4, 3) has 4 rows: "
        f"{entries - 4} {'entry has' if entries == 5 else 'entries have'} none\n"
        "  Add a row for each, or drop the entries."
    )
    assert (info.value.dim, info.value.expected, info.value.actual) == (name, entries, 4)


def test_a_matrix_of_another_width() -> None:
    """B3."""
    (embed,) = dims(embed=128)
    with pytest.raises(DeclarationError, match=r"embed is 128, but the matrix \(4, 3\) has width 3") as info:
        nn.Embedding.from_pretrained(MATRIX, vocabulary=4, embed=embed)
    assert (info.value.dim, info.value.expected, info.value.actual) == ("embed", 128, 3)
    with pytest.raises(DeclarationError, match="its embed is 3, must be 128"):
        nn.Embedding(4, embed, _weight=MATRIX)
    with pytest.raises(DeclarationError, match="its vocab is 4, must be 5"):
        nn.Embedding(5, 3, _weight=MATRIX)
    with pytest.raises(DeclarationError, match="takes a matrix"):
        nn.Embedding.from_pretrained(MATRIX[0])
    for matrix in (MATRIX.tolist(), MATRIX.numpy()):
        with pytest.raises(DeclarationError, match=f"as a tensor, not as a {type(matrix).__name__}") as info:
            nn.Embedding.from_pretrained(matrix)
        assert info.value.hint == "Make it a tensor, as with torch.as_tensor(matrix)."


def test_fewer_words_than_rows_warns_with_the_count() -> None:
    """B2."""
    text = r"the vocabulary has 3 entries, the matrix 4 rows: 1 row is never looked up and never trains"
    with pytest.warns(UserWarning, match=text) as caught:
        nn.Embedding.from_pretrained(MATRIX, vocabulary={"a": 0, "b": 1, "c": 2})
    assert caught[0].filename == __file__


@pytest.mark.parametrize("vocabulary", [-1, True, 4.0, "abcd", object()], ids=["-1", "True", "4.0", "str", "object"])
def test_what_is_no_vocabulary(vocabulary: Any) -> None:
    with pytest.raises(DeclarationError, match="Embedding.from_pretrained: vocabulary="):
        nn.Embedding.from_pretrained(MATRIX, vocabulary=vocabulary)


def test_dims_name_the_rows_and_the_width() -> None:
    vocab, embed = dims(words=4, width=3)
    assert repr(nn.Embedding.from_pretrained(MATRIX, vocabulary=vocab, embed=embed)) == "Embedding(words=4 -> width=3)"

    class Model(nn.Module):
        def __init__(self, vocab: DimSize, embed: DimSize) -> None:
            super().__init__()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # one row more than entries, which only warns
                self.embedding = nn.Embedding.from_pretrained(MATRIX, vocabulary=vocab, embed=embed)

    assert Model(4, 3)._dim_scope.names == {"vocab": 4, "embed": 3}
    assert Model(3, 3).embedding.num_embeddings == 4


def test_subclasses_are_made_of_their_own_class() -> None:
    class Scaled(nn.Embedding):
        pass

    assert type(Scaled.from_pretrained(MATRIX, vocabulary=4)) is Scaled
    assert type(Scaled(4, 3).resized(5).embedding) is Scaled


# Ids outside ----------------------------------------------------------------------------------------------------------


def test_ids_at_or_past_the_vocabulary() -> None:
    """B1: torch says `index out of range in self`."""
    with pytest.raises(VocabularyError) as info:
        nn.Embedding(*dims(vocab=10, embed=4))(torch.tensor([[1, 12], [10, 3]]))
    assert str(info.value) == (
        "Embedding.forward: argument `input` has 2 token ids outside the vocabulary: 10, 12, must be 0 to 9\n\n"
        "    input    int64 (2, 2)\n"
        "    at       (0, 1), (1, 0)\n"
        "    vocab = 10  declared by Embedding(vocab=10 -> embed=4)\n\n"
        "  The ids need vocab of at least 13: do they come from another tokenizer than the model's?"
    )
    assert isinstance(info.value, IndexError)


def test_off_by_one() -> None:
    """B6."""
    with pytest.raises(VocabularyError, match="one too many: was the padding or unknown token counted. Make vocab 11"):
        nn.Embedding(10, 4)(torch.tensor([10]))


def test_positions_past_the_last_one() -> None:
    places = nn.Embedding(*dims(context=16, embed=4))
    with pytest.raises(VocabularyError) as info:
        places(torch.arange(18).expand(2, -1))
    assert (
        info.value.hint
        == "They count up from 0, as positions do: the sequence has 18. Cut it to context, 16, or make context 18."
    )
    with pytest.raises(VocabularyError, match="The ids need context of at least 18"):
        places(torch.arange(17, -1, -1))


@pytest.fixture
def values_mode() -> Iterator[None]:
    before = _config.mode()
    dimtyped.configure("values")
    yield
    dimtyped.configure(before)


@pytest.mark.usefixtures("values_mode")
@pytest.mark.parametrize("kind", ["Embedding", "EmbeddingBag"])
def test_with_values_the_ids_are_looked_at_before_the_kernel(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = getattr(nn, kind)(*dims(vocab=10, embed=4))
    assert layer(torch.tensor([[0, 9]])).isfinite().all()
    kernel = "embedding" if kind == "Embedding" else "embedding_bag"
    monkeypatch.setattr(f"torch.nn.modules.sparse.F.{kernel}", lambda *_, **__: pytest.fail("the kernel has run"))
    text = rf"{kind}.forward: argument `input` has 2 token ids outside the vocabulary: 10, 12, must be 0 to 9"
    with pytest.raises(VocabularyError, match=text):
        layer(torch.tensor([[1, 12], [10, 3]]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.usefixtures("values_mode")
@pytest.mark.parametrize("kind", ["Embedding", "EmbeddingBag"])
def test_with_values_a_gpu_goes_on_after_an_id_outside(kind: str) -> None:
    layer = getattr(nn, kind)(10, 4, device="cuda")
    with pytest.raises(VocabularyError, match="1 token id outside the vocabulary: 10"):
        layer(torch.tensor([[1, 10]], device="cuda"))
    assert layer(torch.tensor([[1, 9]], device="cuda")).isfinite().all()


# Resized --------------------------------------------------------------------------------------------------------------


@given(rows=st.integers(1, 6), size=st.integers(0, 9), trains=st.booleans())
def test_rows_are_kept(rows: int, size: int, trains: bool) -> None:
    embedding = nn.Embedding(*dims(words=rows, width=3), dtype=torch.float64)
    embedding.weight.requires_grad_(trains)
    before = embedding.weight.detach().clone()
    resized, tied = embedding.resized(size)
    assert tied == ()
    torch.testing.assert_close(resized.weight[:rows].detach(), before[:size])
    assert repr(resized) == f"Embedding(words={size} -> width=3)"
    assert (resized.weight.shape, resized.weight.dtype, resized.weight.requires_grad) == (
        (size, 3),
        torch.float64,
        trains,
    )
    assert embedding.weight.shape == (rows, 3)
    torch.testing.assert_close(embedding.weight.detach(), before)


def test_new_rows_are_like_the_old_ones() -> None:
    torch.manual_seed(0)
    embedding = nn.Embedding(2000, 2)
    torch.nn.init.normal_(embedding.weight, 5.0, 0.01)
    new = embedding.resized(4000).embedding.weight[2000:]
    torch.testing.assert_close(new.mean(), torch.tensor(5.0), atol=0.01, rtol=0)
    torch.testing.assert_close(new.std(), torch.tensor(0.01), atol=0.002, rtol=0)
    assert torch.isfinite(nn.Embedding(0, 2).resized(3).embedding.weight).all()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("size", [7, 14])
def test_ties_are_kept(way: Callable[[], Any], size: int) -> None:
    model = way()
    old, kept = assert_tied(model), min(size, 11)
    embedding, tied = model.embedding.resized(size)
    assert all(layer.weight is embedding.weight for layer in tied)
    assert all(type(layer) in (nn.Embedding, nn.Linear, nn.TiedDecoder) for layer in tied)
    assert assert_tied(model) is old
    (out,) = (layer for layer in tied if not isinstance(layer, nn.Embedding))
    assert (out.out_features, out.bias.shape) == (size, (size,))
    torch.testing.assert_close(out.bias[:kept], model.out.bias[:kept])
    torch.testing.assert_close(out.weight[:kept], old[:kept])
    for again in (copy.deepcopy([embedding, out]), pickle.loads(pickle.dumps([embedding, out]))):
        assert again[0].weight is again[1].weight
    parts = nn.ModuleList([embedding, out]).to("meta").to_empty(device="cpu")
    assert parts[0].weight is parts[1].weight


class Model(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed, padding_idx=0)
        self.out = nn.TiedDecoder(self.embedding)


def test_put_in_place_of_the_old_ones_the_name_has_the_new_size() -> None:
    model = Model(10, 4)
    model.embedding, (model.out,) = model.embedding.resized(12)
    assert model._dim_scope.names["vocab"] == 12
    assert model.embedding.padding_idx == 0
    assert model.out(model.embedding(torch.tensor([11]))).shape == (1, 12)
    with pytest.raises(DeclarationError, match=r"`vocab` has two sizes: 10 by Model.other, 12 by Model\."):
        model.other = nn.Linear(4, Dim("vocab", 10))


def test_another_owner_of_the_old_size_is_named() -> None:
    model = Model(10, 4)
    model.head = nn.Linear(4, Dim("vocab", 10))
    model.embedding = model.embedding.resized(12).embedding
    assert "!vocab" in model._dim_scope.scope_key


def test_resized_by_a_dim_takes_its_name() -> None:
    model = Model(10, 4)
    embedding, (out,) = model.embedding.resized(Dim("words", 12))
    assert repr(embedding) == "Embedding(words=12 -> embed=4, padding_idx=0)"
    assert repr(out) == "TiedDecoder(embed=4 -> words=12, bias=True)"
    assert type(embedding.num_embeddings) is int


def test_tied_before_by_tie_and_by_hand() -> None:
    embedding = nn.Embedding(10, 4)
    by_hand, other = nn.Linear(4, 10, bias=False), tie(nn.Embedding(10, 4), embedding)
    by_hand.weight = embedding.weight
    _, tied = other.resized(11)
    assert [type(layer) for layer in tied] == [nn.Embedding, nn.Linear]
    assert [layer.weight.shape for layer in tied] == [(11, 4), (11, 4)]


@pytest.mark.parametrize("size", [-1, 2.0, True, "12"], ids=repr)
def test_what_is_no_size(size: Any) -> None:
    with pytest.raises(DeclarationError, match=f"Embedding.resized: new_size={size!r}"):
        nn.Embedding(10, 4).resized(size)


def test_resizing_that_cannot_be() -> None:
    with pytest.raises(DeclarationError, match="new_size=3 leaves no row for padding_idx=3"):
        nn.Embedding(10, 4, padding_idx=3).resized(3)
    embedding = torch.nn.utils.parametrizations.weight_norm(nn.Embedding(10, 4))
    with pytest.raises(DeclarationError, match="is not possible for rows that another module computes"):
        embedding.resized(12)
