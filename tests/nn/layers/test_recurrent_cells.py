"""RNNCell, LSTMCell, GRUCell."""

import pytest
import torch
from hypothesis import find, given, strategies as st
from jaxtyping import Float
from torch import Tensor

from dimtyped import DimensionError, TyingError, dims, nn, typed
from dimtyped.errors import RankError
from dimtyped.testing import broken_calls, calls
from tests.helpers.drawn_calls import assert_named, assert_torchs, pair
from tests.helpers.layer_cases import SIZES

KINDS = ("RNNCell", "LSTMCell", "GRUCell")
each_kind = pytest.mark.parametrize("kind", KINDS)


# What torch's documentation says that a cell takes.
Batched, Single = Float[Tensor, "batch hidden"], Float[Tensor, "hidden"]


def one(input: Float[Tensor, "batch embed"], hx: Batched | None = None) -> None: ...
def one_unbatched(input: Float[Tensor, "embed"], hx: Single | None = None) -> None: ...
def two(input: Float[Tensor, "batch embed"], hx: tuple[Batched, Batched] | None = None) -> None: ...
def two_unbatched(input: Float[Tensor, "embed"], hx: tuple[Single, Single] | None = None) -> None: ...


@given(st.data(), st.sampled_from(KINDS), st.booleans(), SIZES, SIZES, st.booleans())
def test_a_right_call_is_accepted_and_one_broken_size_is_named(data, kind, is_batched, embed, hidden, bias):
    ours, theirs = pair(kind, embed, hidden, bias=bias)
    sizes = dims(embed=embed, hidden=hidden)
    batched, unbatched = (two, two_unbatched) if kind == "LSTMCell" else (one, one_unbatched)
    documented = typed(dims=sizes)(batched if is_batched else unbatched)
    assert_torchs(ours, theirs, data.draw(calls(documented)))
    broken = data.draw(broken_calls(documented).filter(lambda broken: broken.kind == "size"))
    assert_named(ours, theirs, broken, {"embed": embed, "hidden": hidden})


@each_kind
@pytest.mark.parametrize("place", [("input", "embed"), ("hx", "hidden"), ("hx", "batch")], ids=str)
def test_every_place_of_a_call_is_broken(kind, place):
    documented = typed(dims=dims(embed=3, hidden=4))(two if kind == "LSTMCell" else one)
    find(broken_calls(documented), lambda broken: (broken.argument, broken.dim) == place)


@given(st.data(), st.sampled_from(KINDS), SIZES, SIZES)
def test_what_is_broken_is_refused_as_what_it_is(data, kind, embed, hidden):
    ours, theirs = pair(kind, *dims(width=embed, memory=hidden))
    assert_torchs(ours, theirs, data.draw(calls(ours)))
    assert_named(ours, theirs, data.draw(broken_calls(ours)), {"width": embed, "memory": hidden})


def state_of(kind: str, *shape: int):
    return (torch.ones(shape), torch.ones(shape)) if kind == "LSTMCell" else torch.ones(shape)


@each_kind
class TestCases:
    def test_c1_the_inputs_width_is_not_the_cells(self, kind):
        embed, hidden = dims(embed=4, hidden=5)
        with pytest.raises(DimensionError, match="embed is 6, must be 4") as raised:
            getattr(nn, kind)(embed, hidden)(torch.ones(3, 6))
        assert raised.value.dim == "embed"
        assert f"declared by {kind}(embed=4 -> hidden=5)" in str(raised.value)

    def test_c2_the_states_width_is_not_the_cells(self, kind):
        with pytest.raises(DimensionError, match="hidden is 6, must be 5") as raised:
            getattr(nn, kind)(4, 5)(torch.ones(3, 4), state_of(kind, 3, 6))
        assert raised.value.argument == "hx"

    def test_c3_a_state_for_another_batch(self, kind):
        with pytest.raises(DimensionError, match="batch is 4, must be 3") as raised:
            getattr(nn, kind)(4, 5)(torch.ones(3, 4), state_of(kind, 4, 5))
        assert "batch  = 3  from `input` (3, 4)" in str(raised.value)

    def test_c4_a_state_in_another_order(self, kind):
        with pytest.raises(DimensionError, match=r"permute|\.T") as raised:
            getattr(nn, kind)(4, 5)(torch.ones(3, 4), state_of(kind, 5, 3))
        assert raised.value.hint

    def test_c6_weights_of_other_sizes(self, kind):
        with pytest.raises(RuntimeError, match="hidden") as raised:
            getattr(nn, kind)(4, 5).load_state_dict(getattr(torch.nn, kind)(4, 6).state_dict())
        assert "6 in the checkpoint, 5 in the model" in str(raised.value)

    def test_c7_unbatched(self, kind):
        cell = getattr(nn, kind)(4, 5)
        result = cell(torch.ones(4), state_of(kind, 5))
        assert (result[0] if kind == "LSTMCell" else result).shape == (5,)

    def test_c7_unbatched_with_a_batched_state(self, kind):
        with pytest.raises(RankError, match="it has 2 axes, must have 1"):
            getattr(nn, kind)(4, 5)(torch.ones(4), state_of(kind, 1, 5))


def test_c7_a_pair_of_states_names_which_one():
    with pytest.raises(DimensionError, match=r"argument `hx\[1\]` does not fit: hidden is 4, must be 5"):
        nn.LSTMCell(4, 5)(torch.ones(3, 4), (torch.ones(3, 5), torch.ones(3, 4)))


def test_the_pair_may_be_a_list_as_in_torch():
    cell, state = nn.LSTMCell(4, 5), [torch.ones(3, 5), torch.ones(3, 5)]
    assert torch.equal(cell(torch.ones(3, 4), state)[0], cell(torch.ones(3, 4), tuple(state))[0])


@each_kind
def test_too_many_axes_are_caught_by_what_caught_torchs(kind):
    with pytest.raises(ValueError, match="3D"):
        getattr(torch.nn, kind)(4, 5)(torch.ones(2, 3, 4))
    with pytest.raises(ValueError, match="it has 3 axes"):
        getattr(nn, kind)(4, 5)(torch.ones(2, 3, 4))


@each_kind
def test_a_square_unbatched_state_that_torch_computes_with_wrongly_is_refused(kind):
    with pytest.raises(DimensionError, match="it has 2 axes"):
        getattr(nn, kind)(4, 4)(torch.ones(4), state_of(kind, 4, 4))


@each_kind
def test_a_weight_of_another_shape_is_refused_at_the_assignment(kind):
    cell = getattr(nn, kind)(4, 5)
    with pytest.raises(TyingError, match="hidden=5"):
        cell.weight_ih = torch.nn.Parameter(torch.ones(3, 4))
