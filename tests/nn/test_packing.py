"""`pack_padded_sequence`, checked, and packs that hold other than they count."""

import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

import dimtyped
from dimtyped import DimensionError, Packed, assert_dims, nn, typed
from dimtyped.nn.utils.rnn import pack_padded_sequence

BATCH, SEQ, EMBED = 4, 6, 3
BATCH_FIRST = torch.randn(BATCH, SEQ, EMBED)
SEQ_FIRST = BATCH_FIRST.transpose(0, 1)
RIGHT = [[6, 5, 2, 1], (6, 5, 2, 1), torch.tensor([6, 5, 2, 1]), torch.tensor([5, 5, 2, 1])]


@pytest.mark.any_engine
class TestPackPaddedSequence:
    @pytest.mark.parametrize("lengths", RIGHT, ids=str)
    @pytest.mark.parametrize("batch_first", [True, False])
    def test_what_fits_is_packed_as_by_torch(self, lengths, batch_first):
        x = BATCH_FIRST if batch_first else SEQ_FIRST
        made = pack_padded_sequence(x, lengths, batch_first)
        expected = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first)
        torch.testing.assert_close(made.data, expected.data)
        assert type(made) is PackedSequence
        assert made.batch_sizes.equal(expected.batch_sizes)

    def test_it_is_found_where_torchs_is(self):
        assert nn.utils.rnn.pack_padded_sequence is pack_padded_sequence
        assert torch.nn.utils.rnn.pack_padded_sequence is not pack_padded_sequence

    def test_gradients_and_unsorted_lengths(self):
        x = BATCH_FIRST.clone().requires_grad_()
        pack_padded_sequence(x, [1, 6, 2, 5], batch_first=True, enforce_sorted=False).data.sum().backward()
        assert x.grad.sum() == 14 * EMBED

    @pytest.mark.parametrize("lengths", [[6, 5], torch.tensor([6, 5, 2, 1, 1])], ids=["fewer", "more"])
    def test_one_length_for_each_sequence(self, lengths):
        with pytest.raises(DimensionError, match="batch is 4, there are [25] lengths") as caught:
            pack_padded_sequence(BATCH_FIRST, lengths, batch_first=True)
        error = caught.value
        assert (error.where, error.argument, error.dim) == ("pack_padded_sequence", "lengths", "batch")
        assert (error.expected, error.actual) == (4, len(lengths))
        assert error.bindings == {"batch": 4, "seq": 6}

    @pytest.mark.parametrize("lengths", [[7, 5, 2, 1], torch.tensor([9, 5, 2, 1])], ids=["list", "tensor"])
    @pytest.mark.parametrize("batch_first", [True, False])
    def test_no_length_beyond_the_padding(self, lengths, batch_first):
        with pytest.raises(DimensionError, match="seq is 6, a length is [79]") as caught:
            pack_padded_sequence(BATCH_FIRST if batch_first else SEQ_FIRST, lengths, batch_first)
        assert caught.value.dim == "seq"

    def test_a_forgotten_batch_first(self):
        with pytest.raises(DimensionError, match="Give batch_first=True.") as caught:
            pack_padded_sequence(BATCH_FIRST, [6, 5, 2, 1])
        assert "float32 (seq=4, batch=6, 3)" in str(caught.value)

    @pytest.mark.parametrize(
        "lengths", [[6, 5, 1, 2], [0, 0, 0, 0], torch.ones(4, 1).long()], ids=["unsorted", "0", "rank"]
    )
    def test_what_torch_refuses_by_itself_it_still_does(self, lengths):
        with pytest.raises(RuntimeError) as expected:
            torch.nn.utils.rnn.pack_padded_sequence(BATCH_FIRST, lengths, batch_first=True)
        with pytest.raises(RuntimeError) as caught:
            pack_padded_sequence(BATCH_FIRST, lengths, batch_first=True)
        assert str(caught.value) == str(expected.value)

    def test_off_is_torchs(self):
        before = dimtyped.runtime.mode()
        dimtyped.configure("off")
        try:
            pack_padded_sequence(BATCH_FIRST, [5, 5, 2, 1], batch_first=True)
            with pytest.raises(RuntimeError, match="Expected `len"):
                pack_padded_sequence(BATCH_FIRST, [5, 5], batch_first=True)
        finally:
            dimtyped.configure(before)


@typed
def total(x: Packed[Float[Tensor, "batch seq embed"]]) -> Float[Tensor, ""]:
    return x.data.sum()


@typed
def asserting(x: object) -> Float[Tensor, ""]:
    return assert_dims(x, Packed[Float[Tensor, "batch seq embed"]]).data.sum()


def _broken(enforce_sorted=True):
    """A pack by torch with a length beyond the padding: its data has fewer rows than it counts."""
    made = torch.nn.utils.rnn.pack_padded_sequence(BATCH_FIRST, [9, 5, 2, 1], True, enforce_sorted)
    return PackedSequence(made.data[:14], made.batch_sizes, made.sorted_indices, made.unsorted_indices)


@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize(
    "call",
    [total, asserting, nn.GRU(EMBED, 2), nn.LSTM(EMBED, 2), nn.RNN(EMBED, 2)],
    ids=lambda call: getattr(call, "__name__", type(call).__name__),
)
def test_a_pack_with_other_rows_than_it_counts_is_refused(call, enforce_sorted):
    fits = pack_padded_sequence(BATCH_FIRST, [6, 5, 2, 1], True, enforce_sorted)
    call(fits)
    with pytest.raises(DimensionError, match="its data has 14 rows, but its batch_sizes add up to 17") as caught:
        call(_broken(enforce_sorted))
    assert (caught.value.expected, caught.value.actual) == (17, 14)
