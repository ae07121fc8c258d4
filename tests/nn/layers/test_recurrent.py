"""`nn.RNN`, `nn.LSTM`, `nn.GRU`: every form of input and state that torch takes, and the name by which others fail."""

import pytest
import torch
from hypothesis import given, strategies as st
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from dimtyped import Dim, DimensionError, DimSize, dims, nn
from tests.helpers.layer_cases import Draw, floats, other_than, packed, recurrent_calls

KINDS = ["RNN", "LSTM", "GRU"]
each_kind = pytest.mark.parametrize("kind", KINDS)
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")  # torch's own


def make(draw: Draw):
    """Ours, of Dims named as the test names them."""
    arguments = draw.arguments()
    arguments |= {"input_size": Dim("width", draw.embed), "hidden_size": Dim("memory", draw.hidden)}
    torch.manual_seed(0)
    return getattr(nn, draw.kind)(**arguments)


def make_torchs(draw: Draw):
    torch.manual_seed(0)
    return getattr(torch.nn, draw.kind)(**draw.arguments())


def tensors(output) -> list[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, PackedSequence):
        return [output.data, output.batch_sizes]
    return [tensor for part in output for tensor in tensors(part)]


def assert_equal(ours, theirs):
    pairs = list(zip(tensors(ours), tensors(theirs), strict=True))
    assert pairs
    assert all(torch.equal(our, their) for our, their in pairs)


def refused(layer, *arguments) -> DimensionError:
    with pytest.raises(DimensionError) as caught:
        layer(*arguments)
    error = caught.value
    assert f"{error.dim} is {error.actual}, must be {error.expected}" in str(error)
    return error


# What fits ------------------------------------------------------------------------------------------------------------


@given(recurrent_calls())
def test_takes_what_fits_with_torchs_numbers(draw):
    arguments = (draw.input(), draw.state()) if draw.has_state else (draw.input(),)
    assert_equal(make(draw)(*arguments), make_torchs(draw)(*arguments))


@given(recurrent_calls(batched=True), st.data())
def test_takes_packed_sequences_with_torchs_numbers(draw, data):
    lengths = data.draw(st.lists(st.integers(1, draw.seq), min_size=draw.batch, max_size=draw.batch))
    data_ = draw.input()
    sequences = pack_padded_sequence(data_, torch.tensor(lengths), draw.batch_first, enforce_sorted=False)
    arguments = (sequences, draw.state()) if draw.has_state else (sequences,)
    ours, theirs = make(draw)(*arguments), make_torchs(draw)(*arguments)
    assert isinstance(ours[0], PackedSequence)
    assert_equal(ours, theirs)
    assert_equal(pad_packed_sequence(ours[0])[0], pad_packed_sequence(theirs[0])[0])


@given(recurrent_calls(batched=True))
def test_the_state_that_it_gives_is_one_that_it_takes(draw):
    layer = make(draw)
    _, state = layer(draw.input())
    layer(draw.input(), state)


# What does not --------------------------------------------------------------------------------------------------------


@given(recurrent_calls(), st.data())
def test_refuses_another_width_of_the_input_by_name(draw, data):
    wrong = data.draw(other_than(draw.embed))
    arguments = (draw.input(embed=wrong), draw.state()) if draw.has_state else (draw.input(embed=wrong),)
    error = refused(make(draw), *arguments)
    assert (error.argument, error.dim, error.expected, error.actual) == ("input", "width", draw.embed, wrong)


@given(recurrent_calls(with_state=True), st.data())
def test_refuses_another_width_of_the_state_by_name(draw, data):
    part = data.draw(st.sampled_from([0, 1])) if draw.kind == "LSTM" else None
    width = draw.proj or draw.hidden if part == 0 else draw.hidden
    wrong = data.draw(other_than(width))
    error = refused(make(draw), draw.input(), draw.state(part, width=wrong))
    name = "proj" if part == 0 and draw.proj else "memory"
    assert (error.argument, error.dim, error.expected, error.actual) == ("hx", name, width, wrong)


@given(recurrent_calls(with_state=True), st.data())
def test_refuses_another_number_of_states_by_name(draw, data):
    wrong = data.draw(other_than(draw.states))
    error = refused(make(draw), draw.input(), draw.state(states=wrong))
    name = "layers*directions" if draw.bidirectional else "layers"
    assert (error.argument, error.dim, error.expected, error.actual) == ("hx", name, draw.states, wrong)


@given(recurrent_calls(batched=True, with_state=True), st.data())
def test_refuses_a_state_of_another_batch_by_name(draw, data):
    wrong = data.draw(other_than(draw.batch))
    error = refused(make(draw), draw.input(), draw.state(batch=wrong))
    assert (error.argument, error.dim, error.expected, error.actual) == ("hx", "batch", draw.batch, wrong)
    assert f"from `input` {tuple(draw.input().shape)}" in str(error)


@given(recurrent_calls(batched=True, with_state=True), st.data())
def test_refuses_packed_sequences_that_do_not_fit(draw, data):
    lengths = torch.full((draw.batch,), draw.seq)
    dim = data.draw(st.sampled_from(["width", "batch", "memory"]))
    right = {"width": draw.embed, "batch": draw.batch, "memory": draw.hidden}[dim]
    wrong = data.draw(other_than(right).filter(bool))
    sequences = pack_padded_sequence(
        draw.input(embed=wrong) if dim == "width" else draw.input(), lengths, draw.batch_first
    )
    changed = {"batch": {"batch": wrong}, "memory": {"width": wrong}}.get(dim, {})
    error = refused(make(draw), sequences, draw.state(1 if dim == "memory" else None, **changed))
    argument = "input" if dim == "width" else "hx"
    assert (error.argument, error.dim, error.expected, error.actual) == (argument, dim, right, wrong)


@each_kind
def test_names_both_parts_of_a_state_that_do_not_fit(kind):
    layer = getattr(nn, kind)(*dims(width=3, memory=4))
    wrong = floats(1, 2, 5)
    error = refused(layer, floats(7, 2, 3), (wrong, wrong) if kind == "LSTM" else wrong)
    assert ("hx[0]" in str(error), "hx[1]" in str(error)) == ((True, True) if kind == "LSTM" else (False, False))


@each_kind
def test_says_which_sizes_are_its_own(kind):
    layer = getattr(nn, kind)(3, 4)
    error = refused(layer, floats(7, 2, 5))
    assert (error.where, error.dim) == (f"{kind}.forward", "embed")
    assert f"declared by {kind}(embed=3 -> hidden=4)" in str(error)


@each_kind
@pytest.mark.parametrize("batch_first", [False, True])
def test_the_annotation_in_the_error_has_the_users_names(kind, batch_first):
    layer = getattr(nn, kind)(*dims(width=3, memory=4), batch_first=batch_first)
    error = refused(layer, floats(7, 2, 5))
    assert f'"{"batch seq" if batch_first else "seq batch"} width"' in str(error)
    state = floats(1, 7 if batch_first else 2, 5)
    error = refused(layer, floats(7, 2, 3), (state, state) if kind == "LSTM" else state)
    assert '"layers batch memory"' in str(error)


# Ranks, types and dtypes ----------------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("shape", [(3,), (2, 5, 7, 3), ()], ids=str)
def test_an_input_of_a_rank_that_no_form_has_is_a_value_error_as_torchs(kind, shape):
    with pytest.raises(ValueError, match="2D or 3D"):
        getattr(torch.nn, kind)(3, 4)(floats(*shape))
    with pytest.raises(DimensionError, match="axes|axis") as caught:
        getattr(nn, kind)(3, 4)(floats(*shape))
    assert isinstance(caught.value, ValueError)
    assert caught.value.argument == "input"


@each_kind
@pytest.mark.parametrize(("input_shape", "state_shape"), [((5, 3), (1, 2, 4)), ((5, 2, 3), (1, 4))], ids=str)
def test_a_state_with_a_batch_for_an_input_without_and_the_other_way_round(kind, input_shape, state_shape):
    state = floats(*state_shape)
    with pytest.raises(DimensionError, match=f"it has {len(state_shape)} axes, must have {len(input_shape)}") as caught:
        getattr(nn, kind)(3, 4)(floats(*input_shape), (state, state) if kind == "LSTM" else state)
    assert caught.value.argument == "hx"
    assert not isinstance(caught.value, ValueError)  # nor is torch's


@each_kind
def test_a_state_of_another_kind(kind):
    state = floats(1, 2, 4)
    with pytest.raises(DimensionError, match="argument `hx` does not fit: it is a") as caught:
        getattr(nn, kind)(3, 4)(floats(5, 2, 3), state if kind == "LSTM" else (state, state))
    assert caught.value.argument == "hx"


@pytest.mark.parametrize("count", [1, 3])
def test_an_lstms_state_has_two_parts(count):
    with pytest.raises(DimensionError, match="argument `hx` does not fit"):
        nn.LSTM(3, 4)(floats(5, 2, 3), (floats(1, 2, 4),) * count)


@each_kind
@pytest.mark.parametrize("value", [None, 3, [1.0]], ids=repr)
def test_an_input_that_is_no_tensor(kind, value):
    with pytest.raises(DimensionError, match="argument `input` does not fit"):
        getattr(nn, kind)(3, 4)(value)


@each_kind
@pytest.mark.parametrize("dtype", [torch.float64, torch.int64], ids=str)
def test_another_dtype_is_a_value_error_as_torchs(kind, dtype):
    for layer in (getattr(torch.nn, kind)(3, 4), getattr(nn, kind)(3, 4)):
        with pytest.raises(ValueError, match="dtype"):
            layer(torch.ones(5, 2, 3, dtype=dtype))


@each_kind
def test_another_dtype_of_packed_sequences_too(kind):
    sequences = packed(3).to(torch.float64)
    with pytest.raises((ValueError, RuntimeError), match="dtype") as theirs:
        getattr(torch.nn, kind)(3, 4)(sequences)
    with pytest.raises(theirs.type, match="dtype"):
        getattr(nn, kind)(3, 4)(sequences)


@each_kind
def test_under_autocast_another_dtype_passes_as_in_torch(kind):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = getattr(nn, kind)(3, 4)(floats(5, 2, 3).bfloat16())
        expected, _ = getattr(torch.nn, kind)(3, 4)(floats(5, 2, 3).bfloat16())
    assert output.dtype == expected.dtype


# Models ---------------------------------------------------------------------------------------------------------------


class Encoder(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize, kind: str):
        super().__init__()
        self.rnn = getattr(nn, kind)(embed, hidden, num_layers=2, bidirectional=True)

    def forward(self, x, state=None):
        return self.rnn(x, state)


@each_kind
def test_names_its_path_in_the_model(kind):
    error = refused(Encoder(3, 4, kind), floats(5, 2, 9))
    assert (error.where, error.dim) == ("Encoder.rnn", "embed")
    assert f"declared by Encoder.rnn: {kind}(embed=3 -> hidden=4)" in str(error)


def test_a_subclass_that_calls_super():
    class Doubled(nn.GRU):
        def forward(self, input, hx=None):
            output, state = super().forward(input, hx)
            return 2 * output, state

    layer = Doubled(*dims(width=3, memory=4))
    assert layer(floats(5, 2, 3))[0].shape == (5, 2, 4)
    assert refused(layer, floats(5, 2, 9)).dim == "width"


def test_checks_each_call_however_the_layer_has_been_called_before():
    layer = nn.GRU(3, 4, batch_first=True)
    for _ in range(2):
        layer(floats(2, 5, 3))
        layer(floats(5, 3))
        layer(packed(3, batch_first=True))
        assert refused(layer, floats(2, 5, 4)).dim == "embed"
        assert refused(layer, floats(5, 4)).dim == "embed"
        assert refused(layer, packed(4, batch_first=True)).dim == "embed"


def test_batch_first_changed_by_hand_is_followed():
    layer = nn.GRU(3, 4)
    layer.batch_first = True
    assert layer(floats(2, 5, 3), floats(1, 2, 4))[0].shape == (2, 5, 4)
    assert refused(layer, floats(2, 5, 3), floats(1, 5, 4)).dim == "batch"


@each_kind
def test_the_flat_weights_are_torchs(kind):
    layer = getattr(nn, kind)(3, 4, num_layers=2)
    assert [weight.shape for weight in layer._flat_weights] == [
        weight.shape for weight in getattr(torch.nn, kind)(3, 4, num_layers=2)._flat_weights
    ]
    assert all(flat is named for flat, (_, named) in zip(layer._flat_weights, layer.named_parameters(), strict=True))
    layer.flatten_parameters()
