"""Losses of two or three items against each other, and of sequences."""

import pytest
import torch
from hypothesis import given, strategies as st

from dimtyped import DimensionError, nn
from tests.helpers.layer_cases import floats, ids
from tests.helpers.losses import REDUCTIONS, assert_equal_to_torch, rejected
from tests.helpers.named_calls import SIZES, Call, assert_accepted, broken

# Two or three items against each other --------------------------------------------------------------------------------


@st.composite
def item_calls(draw: st.DrawFn) -> Call:
    kind = draw(st.sampled_from(["CosineEmbeddingLoss", "TripletMarginLoss", "TripletMarginWithDistanceLoss"]))
    batch = "batch " if draw(st.booleans()) else ""
    sizes = {name: draw(SIZES) for name in ("batch", "features")}
    items = ("input1", "input2") if kind == "CosineEmbeddingLoss" else ("anchor", "positive", "negative")
    shapes = dict.fromkeys(items, f"{batch}features")
    if kind == "CosineEmbeddingLoss":
        shapes["target"] = batch.strip()
    return Call(kind, {"reduction": draw(st.sampled_from(REDUCTIONS))}, sizes, shapes)


@given(item_calls(), st.data())
def test_items_of_one_shape(call, data):
    assert_accepted(call)
    place, size = data.draw(broken(call))
    if call.sizes[place.name] != 1:
        with pytest.raises(DimensionError) as refusal:
            call.typed()(**call.inputs(place, size))
        assert refusal.value.dim in (place.name, "*shape")
        with pytest.raises(RuntimeError):
            call.plain()(**call.inputs(place, size))


@pytest.mark.parametrize("options", [{}, {"swap": True, "p": 1.0}, {"reduction": "none"}], ids=str)
def test_triplets_are_torchs_bit_for_bit(options):
    assert_equal_to_torch("TripletMarginLoss", options, floats(4, 3), floats(4, 3) + 1, floats(4, 3) * 2)


@pytest.mark.parametrize("options", [{}, {"swap": True}, {"reduction": "none"}], ids=str)
def test_triplets_with_a_distance_are_torchs_bit_for_bit(options):
    made = options | {"distance_function": lambda left, right: (left - right).abs().amax(-1)}
    for given_options in (options, made):
        inputs = (floats(4, 3), floats(4, 3) + 1, floats(4, 3) * 2)
        assert_equal_to_torch("TripletMarginWithDistanceLoss", given_options, *inputs)


def test_what_a_given_distance_takes_is_its_own_to_say():
    by_first = {"distance_function": lambda left, right: left[:, 0] - right[:, 0]}
    assert_equal_to_torch("TripletMarginWithDistanceLoss", by_first, floats(4, 3), floats(4, 5), floats(4, 2))
    error = rejected(nn.TripletMarginWithDistanceLoss(), floats(4, 3), floats(4, 5), floats(4, 3))
    assert (error.argument, error.dim) == ("positive", "*shape")
    error = rejected(nn.TripletMarginWithDistanceLoss(**by_first), floats(4, 3), floats(4), floats(4, 3))
    assert error.argument == "positive"


@pytest.mark.parametrize("shapes", [((4,), (4,), (4,)), ((4, 1), (4, 1), (4, 1)), ((4, 3), (4, 1), (1, 3))], ids=str)
def test_rankings_that_broadcast_without_a_new_axis(shapes):
    assert_equal_to_torch("MarginRankingLoss", {}, *(floats(*shape) for shape in shapes))


def test_rankings_of_a_column_against_a_row():
    with pytest.raises(RuntimeError, match="margin_ranking_loss : All input tensors should have same dimension"):
        torch.nn.MarginRankingLoss()(floats(4, 1), floats(4, 1), floats(4))
    error = rejected(nn.MarginRankingLoss(), floats(4, 1), floats(4, 1), floats(4))
    assert (error.argument, "`target.unsqueeze(1)`" in error.hint) == ("target", True)


# Sequences ------------------------------------------------------------------------------------------------------------

LENGTHS = torch.tensor([6, 5]), torch.tensor([3, 2])
CTC_CALLS = {
    "padded targets": (floats(6, 2, 5), ids(2, 3, high=5), *LENGTHS),
    "targets end to end": (floats(6, 2, 5), ids(5, high=5), *LENGTHS),
    "lengths in tuples": (floats(6, 2, 5), ids(2, 3, high=5), (6, 5), (3, 2)),
    "lengths of int32": (floats(6, 2, 5), ids(2, 3, high=5), *(each.int() for each in LENGTHS)),
    "lengths in a row": (floats(6, 2, 5), ids(2, 3, high=5), *(each[None] for each in LENGTHS)),
    "targets longer than needed": (floats(6, 2, 5), ids(2, 9, high=5), *LENGTHS),
    "unbatched": (floats(6, 5), ids(3, high=5), (6,), (3,)),
    "unbatched with scalar lengths": (floats(6, 5), ids(3, high=5), torch.tensor(6), torch.tensor(3)),
    "a batch of one": (floats(6, 1, 5), ids(1, 3, high=5), torch.tensor([6]), torch.tensor([3])),
    "no target": (floats(6, 2, 5), ids(2, 0, high=5), (6, 5), (0, 0)),
}
WRONG_CTC_CALLS = {
    "targets of another batch": ((floats(6, 2, 5), ids(3, 3, high=5), *LENGTHS), "`targets` .* batch is 3, must be 2"),
    "other input lengths": (
        (floats(6, 2, 5), ids(2, 3, high=5), (6,), (3, 2)),
        "`input_lengths` .* batch is 1, must be 2",
    ),
    "other target lengths": (
        (floats(6, 2, 5), ids(2, 3, high=5), LENGTHS[0], LENGTHS[1].repeat(2)),
        "`target_lengths` .* batch is 4, must be 2",
    ),
    "a scalar for two": (
        (floats(6, 2, 5), ids(2, 3, high=5), torch.tensor(6), LENGTHS[1]),
        "`input_lengths` .* it has 0 axes, must have 1",
    ),
    "inputs too short": (
        (floats(5, 2, 5), ids(2, 3, high=5), *LENGTHS),
        "`log_probs` .* time is 5, must be at least 6",
    ),
    "targets too short": (
        (floats(6, 2, 5), ids(2, 2, high=5), *LENGTHS),
        "`targets` .* length is 2, must be at least 3",
    ),
    "targets that do not add up": ((floats(6, 2, 5), ids(6, high=5), *LENGTHS), "`targets` .* total is 6, must be 5"),
    "too many axes": ((floats(6, 2, 5, 1), ids(2, 3, high=5), *LENGTHS), "`log_probs` .* it has 4 axes, must have 3"),
    "unbatched with two targets": ((floats(6, 5), ids(2, 3, high=5), (6,), (3,)), "`targets` .* must be 1"),
}


@pytest.mark.parametrize("inputs", CTC_CALLS.values(), ids=CTC_CALLS)
@pytest.mark.parametrize("options", [{}, {"reduction": "none", "zero_infinity": True}], ids=str)
def test_ctc_takes_what_torch_takes(inputs, options):
    log_probs = inputs[0].log_softmax(-1)
    assert_equal_to_torch("CTCLoss", options, log_probs, *inputs[1:])


@pytest.mark.parametrize(("inputs", "wrong"), WRONG_CTC_CALLS.values(), ids=WRONG_CTC_CALLS)
def test_ctc_names_what_does_not_fit(inputs, wrong):
    with pytest.raises(RuntimeError) as theirs:
        torch.nn.CTCLoss()(*inputs)
    with pytest.raises(DimensionError, match=wrong) as ours:
        nn.CTCLoss()(*inputs)
    assert isinstance(ours.value, theirs.type)
