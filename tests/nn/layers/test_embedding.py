"""`nn.Embedding`: what it takes, and what it says of an id outside the vocabulary."""

import warnings

import pytest
import torch
from hypothesis import given, strategies as st
from jaxtyping import Int
from torch import Tensor

import dimtyped
from dimtyped import DeclarationError, DimensionError, DimSize, VocabularyError, dims, nn
from dimtyped.runtime import config as _config
from dimtyped.testing import broken_calls, calls, tensors
from tests.helpers.drawn_calls import assert_named, assert_torchs, pair
from tests.helpers.layer_cases import SIZES, floats, ids, other_than


def tokens_below(vocab: int, **options):
    """Ids of any shape and either dtype, every one in the vocabulary."""
    dtypes = [torch.int64, torch.int32]
    return tensors(Int[Tensor, "..."], sizes={"vocab": vocab}, dtypes=dtypes, **options)


@given(st.data(), SIZES, SIZES)
def test_takes_ids_of_any_shape_with_torchs_numbers(data, vocab, embed):
    ours, theirs = pair("Embedding", *dims(vocab=vocab, embed=embed))
    tokens = data.draw(tokens_below(vocab, allow_empty=True))
    assert_torchs(ours, theirs, ((tokens,), {}))
    assert ours(tokens).shape == (*tokens.shape, embed)


@given(st.data(), SIZES, SIZES)
def test_what_is_broken_is_refused_as_what_it_is(data, vocab, embed):
    ours, theirs = pair("Embedding", *dims(vocab=vocab, embed=embed))
    assert_torchs(ours, theirs, data.draw(calls(ours)))
    assert_named(ours, theirs, data.draw(broken_calls(ours)), {})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int16, torch.uint8, torch.bool], ids=str)
def test_refuses_ids_of_another_dtype_as_torch_does(dtype):
    with pytest.raises(RuntimeError):
        torch.nn.Embedding(9, 3)(torch.ones(2, 5, dtype=dtype))
    with pytest.raises(DimensionError) as caught:
        nn.Embedding(9, 3)(torch.ones(2, 5, dtype=dtype))
    assert caught.value.argument == "input"
    assert f"its dtype is {str(dtype).removeprefix('torch.')}, must be int32 or int64" in str(caught.value)


class TestIdsOutsideTheVocabulary:
    @given(data=st.data(), vocab=st.integers(1, 20), beyond=st.integers(0, 5), place=st.integers(0, 100))
    def test_are_named_with_place_and_number(self, data, vocab, beyond, place):
        tokens = data.draw(tokens_below(vocab)).clone(memory_format=torch.contiguous_format)
        tokens.view(-1)[place % tokens.numel()] = vocab + beyond
        with pytest.raises(VocabularyError) as caught:
            nn.Embedding(*dims(words=vocab, embed=3))(tokens)
        error = caught.value
        assert (error.argument, error.dim, error.expected, error.actual) == ("input", "words", vocab, vocab + beyond)
        assert error.bindings == {"words": vocab}
        assert f"1 token id outside the vocabulary: {vocab + beyond}, must be 0 to {vocab - 1}" in str(error)

    def test_below_zero(self):
        with pytest.raises(VocabularyError, match="-100") as caught:
            nn.Embedding(9, 3)(torch.tensor([1, -100, -100]))
        assert "mask" in caught.value.hint
        assert (caught.value.dim, caught.value.actual) == ("vocab", -100)

    def test_the_largest_one_too_many_is_told_apart(self):
        with pytest.raises(VocabularyError, match="one too many"):
            nn.Embedding(9, 3)(torch.tensor([0, 9]))

    def test_many_are_not_all_listed(self):
        with pytest.raises(VocabularyError, match="1000 token ids outside .* and 995 more") as caught:
            nn.Embedding(9, 3)(torch.arange(9, 1009))
        assert len(str(caught.value).splitlines()) < 10

    def test_are_all_that_the_error_is(self):
        with pytest.raises(VocabularyError) as caught:
            nn.Embedding(9, 3)(torch.tensor([9]))
        for kind in (IndexError, DimensionError, RuntimeError, TypeError):
            assert isinstance(caught.value, kind)
        assert caught.value.__suppress_context__

    def test_name_the_path_in_the_model(self):
        class Encoder(nn.Module):
            def __init__(self, vocab: DimSize):
                super().__init__()
                self.embedding = nn.Embedding(vocab, 3)

            def forward(self, tokens):
                return self.embedding(tokens)

        with pytest.raises(VocabularyError, match=r"^Encoder.embedding: argument `input` has 1 token id outside"):
            Encoder(9)(torch.tensor([[9]]))

    def test_of_an_embedding_whose_weight_has_changed_are_counted_in_its_rows(self):
        """`num_embeddings` is what the user says; the rows are what the kernel has."""
        layer = nn.Embedding(9, 3)
        layer.num_embeddings = 12
        layer.weight = torch.nn.Parameter(floats(12, 3))
        assert layer(torch.tensor([11])).shape == (1, 3)
        with pytest.raises(VocabularyError, match="must be 0 to 11"):
            layer(torch.tensor([12]))

    @pytest.mark.parametrize("mode", ["on", "values"])
    def test_of_an_embedding_grown_through_its_data(self, mode):
        before = _config.mode()
        dimtyped.configure(mode)
        try:
            layer = nn.Embedding(9, 3)
            layer.weight.data = floats(12, 3)
            assert layer(torch.tensor([11])).shape == (1, 3)
            with pytest.raises(VocabularyError, match="must be 0 to 11"):
                layer(torch.tensor([12]))
        finally:
            dimtyped.configure(before)


@pytest.fixture
def values_mode():
    before = _config.mode()
    dimtyped.configure("values")
    yield
    dimtyped.configure(before)


@pytest.mark.usefixtures("values_mode")
class TestValuesMode:
    def test_looks_at_the_ids_before_the_kernel(self):
        layer = nn.Embedding(9, 3)
        with pytest.raises(VocabularyError, match="1 token id outside the vocabulary: 9, must be 0 to 8"):
            layer(torch.tensor([[1, 9]]))
        assert layer(ids(2, 3, high=9)).shape == (2, 3, 3)

    @pytest.mark.parametrize("tokens", [ids(2, 0), ids(2, 3).to("meta")], ids=["none", "meta"])
    def test_not_where_there_are_none(self, tokens):
        assert nn.Embedding(9, 3, device=tokens.device)(tokens).shape == (*tokens.shape, 3)

    def test_not_under_vmap(self):
        assert torch.vmap(nn.Embedding(9, 3))(ids(2, 5, high=9)).shape == (2, 5, 3)

    def test_not_inside_a_trace(self):
        torch.compiler.reset()
        compiled = torch.compile(nn.Embedding(9, 3), fullgraph=True, backend="eager")
        assert compiled(ids(2, 3, high=9)).shape == (2, 3, 3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.usefixtures("values_mode")
class TestValuesModeOnAGpu:
    def test_the_ids_are_refused_before_the_kernel_would_end_the_context(self):
        layer = nn.Embedding(9, 3, device="cuda")
        with pytest.raises(VocabularyError, match="1 token id outside the vocabulary: 9"):
            layer(torch.tensor([[1, 9]], device="cuda"))
        assert layer(ids(2, 3, high=9).cuda()).sum().isfinite()

    def test_not_while_a_graph_is_captured(self):
        layer, tokens = nn.Embedding(9, 3, device="cuda"), ids(2, 3, high=9).cuda()
        layer(tokens)
        with torch.cuda.graph(torch.cuda.CUDAGraph()):
            assert layer(tokens).shape == (2, 3, 3)


class TestFromPretrained:
    def test_is_torchs(self):
        matrix = floats(9, 3)
        ours, theirs = nn.Embedding.from_pretrained(matrix), torch.nn.Embedding.from_pretrained(matrix)
        assert type(ours) is nn.Embedding
        assert torch.equal(ours.weight, theirs.weight)
        assert ours.weight.data_ptr() == matrix.data_ptr()
        assert not ours.weight.requires_grad
        assert nn.Embedding.from_pretrained(matrix, freeze=False, padding_idx=1).weight.requires_grad
        assert nn.Embedding.from_pretrained(matrix, False, 1, 2.0).max_norm == 2.0

    def test_takes_a_vocabulary_as_large_as_the_matrix(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for vocabulary in (9, range(9), {str(index): index for index in range(9)}, list("abcdefghi")):
                assert nn.Embedding.from_pretrained(floats(9, 3), vocabulary=vocabulary).num_embeddings == 9

    @given(st.data(), SIZES, SIZES)
    def test_refuses_a_larger_one_and_warns_of_a_smaller(self, data, rows, embed):
        entries = data.draw(other_than(rows))
        if entries > rows:
            with pytest.raises(
                DeclarationError, match=f"vocab is {entries}, but the matrix .* has {rows} rows"
            ) as caught:
                nn.Embedding.from_pretrained(floats(rows, embed), vocabulary=entries)
            assert (caught.value.dim, caught.value.expected, caught.value.actual) == ("vocab", entries, rows)
        else:
            with pytest.warns(UserWarning, match=f"{rows - entries} rows? (is|are) never looked up"):
                nn.Embedding.from_pretrained(floats(rows, embed), vocabulary=entries)

    def test_counts_the_largest_id_of_a_mapping(self):
        with pytest.raises(DeclarationError, match="vocab is 21"):
            nn.Embedding.from_pretrained(floats(9, 3), vocabulary={"a": 0, "b": 20})

    @pytest.mark.parametrize("shape", [(9,), (9, 3, 1)])
    def test_refuses_what_is_no_matrix(self, shape):
        with pytest.raises(DeclarationError, match="takes a matrix"):
            nn.Embedding.from_pretrained(floats(*shape))
