"""RNNCell, LSTMCell, GRUCell."""

import pytest  # noqa: I001
import torch
from hypothesis import given
from hypothesis import strategies as st
from named_calls import SIZES, Call, assert_accepted, assert_refused, broken

from dimtyped import DimensionError, TyingError, dims, nn
from dimtyped._errors import RankError

KINDS = ("RNNCell", "LSTMCell", "GRUCell")
each_kind = pytest.mark.parametrize("kind", KINDS)


@st.composite
def cell_calls(draw: st.DrawFn) -> Call:
    kind = draw(st.sampled_from(KINDS))
    batched, with_state = draw(st.booleans()), draw(st.booleans())
    sizes = {name: draw(SIZES) for name in ("batch", "embed", "hidden")}
    axes = "batch {}" if batched else "{}"
    state = axes.format("hidden")
    shapes = {"input": axes.format("embed")}
    if with_state:
        shapes["hx"] = (state, state) if kind == "LSTMCell" else state
    arguments = {"input_size": sizes["embed"], "hidden_size": sizes["hidden"], "bias": draw(st.booleans())}
    return Call(kind, arguments, sizes, shapes, declared=("embed", "hidden"))


@given(cell_calls(), st.data())
def test_a_right_call_is_accepted_and_one_broken_size_is_named(call, data):
    assert_accepted(call)
    assert_refused(call, *data.draw(broken(call)))


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
