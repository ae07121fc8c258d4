"""Losses that compare a prediction with each target: which targets fit, and which broadcasting is meant."""

from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st

from dimtyped import DimensionError, nn
from tests.helpers.layer_cases import floats, ids
from tests.helpers.losses import REDUCTIONS, assert_equal_to_torch, rejected
from tests.helpers.named_calls import SIZES, Call, Place, assert_accepted, outcome

# Torch warns of any broadcasting.
WARNED_OF = ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss")
REFUSED_BY_TORCH = ("BCELoss", "BCEWithLogitsLoss")
# Torch broadcasts without a word, both ways.
LET_PASS = ("KLDivLoss", "PoissonNLLLoss", "GaussianNLLLoss", "HingeEmbeddingLoss", "MultiLabelSoftMarginLoss")
POINTWISE = (*WARNED_OF, *REFUSED_BY_TORCH, *LET_PASS, "SoftMarginLoss")
each_pointwise = pytest.mark.parametrize("kind", POINTWISE)
silent_broadcasting = pytest.mark.filterwarnings("ignore:Using a target size")
pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")  # KLDivLoss


def first_of(kind: str) -> str:
    return "log_input" if kind == "PoissonNLLLoss" else "input"


def pair(kind: str, prediction: Any, target: Any) -> dict[str, Any]:
    """A call of a pointwise loss; the variances of a GaussianNLLLoss are one number."""
    inputs = {first_of(kind): prediction, "target": target}
    return inputs | ({"var": 0.5} if kind == "GaussianNLLLoss" else {})


@st.composite
def pointwise_calls(draw: st.DrawFn) -> Call:
    kind = draw(st.sampled_from(POINTWISE))
    axes = ["batch", "seq", "features"][: draw(st.integers(1, 3))]
    sizes = {name: draw(SIZES) for name in axes}
    shape = " ".join(axes)
    shapes = {first_of(kind): shape, "target": shape}
    constants = {"var": 0.5} if kind == "GaussianNLLLoss" else {}
    return Call(kind, {"reduction": draw(st.sampled_from(REDUCTIONS))}, sizes, shapes, constants=constants)


@given(pointwise_calls(), st.data())
def test_a_right_call_is_accepted_and_a_target_of_another_shape_is_named(call, data):
    assert_accepted(call)
    axes = call.shapes["target"].split()
    axis = data.draw(st.integers(0, len(axes) - 1))
    size = call.sizes[axes[axis]] + data.draw(st.integers(1, 3))
    inputs = call.inputs(Place("target", 0, axis, axes[axis]), size)
    if call.sizes[axes[axis]] == 1 and call.kind in LET_PASS:
        outcome(call.typed(), inputs)  # one rate for all counts
        return
    error = rejected(call.typed(), *inputs.values())
    assert (error.argument, error.dim) == ("target", "*shape")
    assert error.actual == tuple(inputs["target"].shape)


@silent_broadcasting
@each_pointwise
@pytest.mark.parametrize("reduction", REDUCTIONS)
class TestAColumnAgainstARow:
    def test_no_silent_broadcasting_of_batch_1_against_batch(self, kind, reduction):
        loss = getattr(nn, kind)(reduction=reduction)
        inputs = pair(kind, floats(4, 1).sigmoid(), floats(4).sigmoid())
        error = rejected(loss, *inputs.values())
        assert (error.argument, error.expected, error.actual) == ("target", (4, 1), (4,))
        assert "`target.unsqueeze(1)`" in error.hint
        inputs["target"] = inputs["target"].unsqueeze(1)
        assert_equal_to_torch(kind, {"reduction": reduction}, *inputs.values())

    def test_nor_the_other_way_round(self, kind, reduction):
        loss = getattr(nn, kind)(reduction=reduction)
        inputs = pair(kind, floats(4).sigmoid(), floats(4, 1).sigmoid())
        error = rejected(loss, *inputs.values())
        assert (error.argument, error.expected, error.actual) == ("target", (4,), (4, 1))
        assert "`target.squeeze(1)`" in error.hint
        inputs["target"] = inputs["target"].squeeze(1)
        assert_equal_to_torch(kind, {"reduction": reduction}, *inputs.values())

    def test_nor_with_more_axes(self, kind, reduction):
        inputs = pair(kind, floats(2, 4, 1).sigmoid(), floats(2, 4).sigmoid())
        assert "`target.unsqueeze(2)`" in rejected(getattr(nn, kind)(reduction=reduction), *inputs.values()).hint


class TestLegalBroadcasting:
    """What torch takes and a user means: one value for all, never a result larger than both."""

    @pytest.mark.parametrize("kind", LET_PASS)
    @pytest.mark.parametrize(
        ("prediction", "target"),
        [
            ((4, 3), (3,)),
            ((4, 3), (4, 1)),
            ((4, 1), (4, 3)),
            ((4, 3), ()),
            ((1,), (1, 1)),
            ((4,), (1, 4)),
            ((1, 4), (4,)),
            ((4, 3), (0, 4, 3)),
            ((0, 3), (2, 0, 3)),
        ],
    )
    def test_one_of_the_two_for_all_of_the_other(self, kind, prediction, target):
        given = pair(kind, floats(*prediction), floats(*target).sigmoid())
        assert_equal_to_torch(kind, {"reduction": "sum"}, *given.values())  # a mean of nothing is no number

    @pytest.mark.parametrize("kind", LET_PASS)
    def test_but_not_both_at_once(self, kind):
        assert rejected(getattr(nn, kind)(), *pair(kind, floats(4, 1), floats(1, 3)).values()).dim == "*shape"

    @silent_broadcasting
    @pytest.mark.parametrize("kind", WARNED_OF)
    @pytest.mark.parametrize(("prediction", "target"), [((4, 3), ()), ((), (4, 3))])
    def test_a_scalar_for_all(self, kind, prediction, target):
        assert_equal_to_torch(kind, {}, floats(*prediction), floats(*target))

    @silent_broadcasting
    @pytest.mark.parametrize("kind", WARNED_OF)
    @pytest.mark.parametrize("target", [(3,), (4, 1), (1,)], ids=str)
    def test_nothing_else_where_torch_warns(self, kind, target):
        assert rejected(getattr(nn, kind)(), floats(4, 3), floats(*target)).argument == "target"

    def test_the_targets_of_a_soft_margin_loss(self):
        assert_equal_to_torch("SoftMarginLoss", {}, floats(4, 3), floats(3).sign())
        with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
            torch.nn.SoftMarginLoss()(floats(3), floats(4, 3))
        assert rejected(nn.SoftMarginLoss(), floats(3), floats(4, 3)).argument == "target"

    @pytest.mark.parametrize("options", [{"weight": (3,)}, {"weight": (4, 1)}], ids=str)
    @pytest.mark.parametrize("kind", REFUSED_BY_TORCH)
    def test_the_weights_of_a_binary_cross_entropy(self, kind, options):
        made = {name: floats(*shape).abs() for name, shape in options.items()}
        assert_equal_to_torch(kind, made, floats(4, 3).sigmoid(), floats(4, 3).sigmoid())


@pytest.mark.parametrize("kind", REFUSED_BY_TORCH)
def test_a_binary_target_of_ints_is_told_to_be_floats(kind):
    prediction, target = floats(4).sigmoid(), ids(4, high=2)
    with pytest.raises(RuntimeError, match="Found dtype Long|can't be cast"):
        getattr(torch.nn, kind)()(prediction, target)
    error = rejected(getattr(nn, kind)(), prediction, target)
    assert (error.argument, error.hint) == ("target", "`target.float()` fits.")


class TestVariances:
    @pytest.mark.parametrize("var", [(4, 3), (4, 1), (1, 3), (4,)], ids=str)
    def test_of_the_inputs_shape_or_of_one_for_an_axis(self, var):
        assert_equal_to_torch("GaussianNLLLoss", {}, floats(4, 3), floats(4, 3), floats(*var).abs())

    @pytest.mark.parametrize(
        ("var", "wrong"),
        [
            ((4, 2), "axis 1 is 2, must be 3"),
            ((1, 1), "axis 1 is 1, must be 3"),
            ((3,), "axis 0 is 3, must be 4"),
            ((1, 4, 3), "it has 3 axes, must have 2 or 1"),
            ((), "it has 0 axes, must have 2 or 1"),
        ],
        ids=str,
    )
    def test_of_another(self, var, wrong):
        with pytest.raises(ValueError, match="var is of incorrect size"):
            torch.nn.GaussianNLLLoss()(floats(4, 3), floats(4, 3), floats(*var).abs())
        with pytest.raises(ValueError, match=f"argument `var` does not fit: {wrong}") as caught:
            nn.GaussianNLLLoss()(floats(4, 3), floats(4, 3), floats(*var).abs())
        assert isinstance(caught.value, DimensionError)

    def test_what_is_wrong_elsewhere_is_torchs_to_say(self):
        with pytest.raises(ValueError, match="var has negative entry/entries"):
            nn.GaussianNLLLoss()(floats(4), floats(4), -floats(4).abs())
