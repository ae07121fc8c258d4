"""Losses: which targets fit a prediction, and which broadcasting is meant."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st

from dimtyped import DimensionError, dims, nn
from tests.helpers.layer_cases import floats, ids
from tests.helpers.named_calls import SIZES, Call, Index, Place, assert_accepted, broken, outcome

WARNED_OF = ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss")
"""Torch warns of any broadcasting."""
REFUSED_BY_TORCH = ("BCELoss", "BCEWithLogitsLoss")
LET_PASS = ("KLDivLoss", "PoissonNLLLoss", "GaussianNLLLoss", "HingeEmbeddingLoss", "MultiLabelSoftMarginLoss")
"""Torch broadcasts without a word, both ways."""
POINTWISE = (*WARNED_OF, *REFUSED_BY_TORCH, *LET_PASS, "SoftMarginLoss")
REDUCTIONS = ("none", "mean", "sum")
each_pointwise = pytest.mark.parametrize("kind", POINTWISE)
silent_broadcasting = pytest.mark.filterwarnings("ignore:Using a target size")
pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")  # KLDivLoss


def first_of(kind: str) -> str:
    return "log_input" if kind == "PoissonNLLLoss" else "input"


def pair(kind: str, prediction: Any, target: Any) -> dict[str, Any]:
    """A call of a pointwise loss; the variances of a GaussianNLLLoss are one number."""
    inputs = {first_of(kind): prediction, "target": target}
    return inputs | ({"var": 0.5} if kind == "GaussianNLLLoss" else {})


def assert_equal_to_torch(kind: str, options: dict[str, Any], *inputs: Any) -> None:
    ours, theirs = (getattr(namespace, kind)(**options)(*inputs) for namespace in (nn, torch.nn))
    for our, their in zip(
        *([each] if isinstance(each, torch.Tensor) else each for each in (ours, theirs)), strict=True
    ):
        assert torch.equal(our, their)


def refused(loss: Any, *inputs: Any) -> DimensionError:
    with pytest.raises(DimensionError) as caught:
        loss(*inputs)
    return caught.value


# A prediction for each target -----------------------------------------------------------------------------------------


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
    error = refused(call.typed(), *inputs.values())
    assert (error.argument, error.dim) == ("target", "*shape")
    assert error.actual == tuple(inputs["target"].shape)


@silent_broadcasting
@each_pointwise
@pytest.mark.parametrize("reduction", REDUCTIONS)
class TestAColumnAgainstARow:
    def test_no_silent_broadcasting_of_batch_1_against_batch(self, kind, reduction):
        loss = getattr(nn, kind)(reduction=reduction)
        inputs = pair(kind, floats(4, 1).sigmoid(), floats(4).sigmoid())
        error = refused(loss, *inputs.values())
        assert (error.argument, error.expected, error.actual) == ("target", (4, 1), (4,))
        assert "`target.unsqueeze(1)`" in error.hint
        inputs["target"] = inputs["target"].unsqueeze(1)
        assert_equal_to_torch(kind, {"reduction": reduction}, *inputs.values())

    def test_nor_the_other_way_round(self, kind, reduction):
        loss = getattr(nn, kind)(reduction=reduction)
        inputs = pair(kind, floats(4).sigmoid(), floats(4, 1).sigmoid())
        error = refused(loss, *inputs.values())
        assert (error.argument, error.expected, error.actual) == ("target", (4,), (4, 1))
        assert "`target.squeeze(1)`" in error.hint
        inputs["target"] = inputs["target"].squeeze(1)
        assert_equal_to_torch(kind, {"reduction": reduction}, *inputs.values())

    def test_nor_with_more_axes(self, kind, reduction):
        inputs = pair(kind, floats(2, 4, 1).sigmoid(), floats(2, 4).sigmoid())
        assert "`target.unsqueeze(2)`" in refused(getattr(nn, kind)(reduction=reduction), *inputs.values()).hint


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
        assert refused(getattr(nn, kind)(), *pair(kind, floats(4, 1), floats(1, 3)).values()).dim == "*shape"

    @silent_broadcasting
    @pytest.mark.parametrize("kind", WARNED_OF)
    @pytest.mark.parametrize(("prediction", "target"), [((4, 3), ()), ((), (4, 3))])
    def test_a_scalar_for_all(self, kind, prediction, target):
        assert_equal_to_torch(kind, {}, floats(*prediction), floats(*target))

    @silent_broadcasting
    @pytest.mark.parametrize("kind", WARNED_OF)
    @pytest.mark.parametrize("target", [(3,), (4, 1), (1,)], ids=str)
    def test_nothing_else_where_torch_warns(self, kind, target):
        assert refused(getattr(nn, kind)(), floats(4, 3), floats(*target)).argument == "target"

    def test_the_targets_of_a_soft_margin_loss(self):
        assert_equal_to_torch("SoftMarginLoss", {}, floats(4, 3), floats(3).sign())
        with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
            torch.nn.SoftMarginLoss()(floats(3), floats(4, 3))
        assert refused(nn.SoftMarginLoss(), floats(3), floats(4, 3)).argument == "target"

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
    error = refused(getattr(nn, kind)(), prediction, target)
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


# One class of several -------------------------------------------------------------------------------------------------

CLASS_LOSSES = ("CrossEntropyLoss", "NLLLoss")
each_class_loss = pytest.mark.parametrize("kind", CLASS_LOSSES)
LOGITS = {"batch": (4, 5), "sequence": (4, 5, 3), "image": (4, 5, 3, 2), "volume": (4, 5, 3, 2, 2), "unbatched": (5,)}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"reduction": "none"},
    {"reduction": "sum"},
    {"ignore_index": 1},
    {"weight": torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])},
]


def indices(shape: tuple[int, ...]) -> torch.Tensor:
    """A class for each place of these logits."""
    return ids(*(shape[:1] + shape[2:] if len(shape) > 1 else ()), high=5)


@st.composite
def class_calls(draw: st.DrawFn) -> Call:
    kind = draw(st.sampled_from([*CLASS_LOSSES, "MultiMarginLoss"]))
    places = [] if kind == "MultiMarginLoss" else ["height", "width"][: draw(st.integers(0, 2))]
    sizes = {name: draw(SIZES) for name in ("batch", "classes", *places)}
    target = Index(" ".join(["batch", *places]), sizes["classes"])
    shapes = {"input": " ".join(["batch", "classes", *places]), "target": target}
    return Call(kind, {"reduction": draw(st.sampled_from(REDUCTIONS))}, sizes, shapes)


@given(class_calls(), st.data())
def test_a_class_for_each_place(call, data):
    assert_accepted(call)
    place, size = data.draw(broken(call))
    with pytest.raises(DimensionError) as refusal:
        call.typed()(**call.inputs(place, size))
    assert refusal.value.dim in (place.name, "*place")
    with pytest.raises((ValueError, RuntimeError)) as theirs:
        call.plain()(**call.inputs(place, size))
    assert isinstance(refusal.value, theirs.type)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ", ".join(options) or "plain")
@pytest.mark.parametrize("shape", LOGITS.values(), ids=LOGITS)
class TestClasses:
    @each_class_loss
    def test_indices(self, kind, options, shape):
        assert_equal_to_torch(kind, options, floats(*shape), indices(shape))

    def test_probabilities_and_smoothing(self, options, shape):
        made = {name: value for name, value in options.items() if name != "ignore_index"}
        assert_equal_to_torch("CrossEntropyLoss", made, floats(*shape), floats(*shape).softmax(0))
        for target in (indices(shape), floats(*shape).softmax(0)):
            smoothed = made | {"label_smoothing": 0.1}
            assert_equal_to_torch("CrossEntropyLoss", smoothed, floats(*shape), target)

    @each_class_loss
    def test_indices_that_do_not_fit(self, kind, options, shape):
        loss, target = getattr(nn, kind)(**options), indices(shape)
        error = refused(loss, floats(*shape), torch.stack([target, target], -1))
        assert (error.argument, isinstance(error, ValueError)) == ("target", True)

    def test_probabilities_that_do_not_fit(self, options, shape):
        error = refused(nn.CrossEntropyLoss(**options), floats(*shape), floats(*shape[:-1], shape[-1] + 1))
        assert (error.argument, error.dim) == ("target", "*shape")


class TestTargets:
    @each_class_loss
    def test_one_column_of_classes_is_told_to_be_squeezed(self, kind):
        error = refused(getattr(nn, kind)(), floats(4, 5), ids(4, 1, high=5))
        assert (error.argument, "`target.squeeze(1)`" in error.hint) == ("target", True)

    @each_class_loss
    def test_classes_that_are_floats_are_told_to_be_longs(self, kind):
        error = refused(getattr(nn, kind)(), floats(4, 5), torch.ones(4))
        assert (error.argument, "target.long()" in error.hint) == ("target", True)

    def test_logits_whose_classes_come_last_are_told_to_be_permuted(self):
        error = refused(nn.CrossEntropyLoss(), floats(4, 7, 5), ids(4, 7, high=5))
        assert error.dim == "*place"
        assert "input.permute(0, 2, 1)" in error.hint

    @each_class_loss
    def test_another_batch(self, kind):
        error = refused(getattr(nn, kind)(), floats(4, 5), ids(3, high=5))
        assert (error.argument, error.dim, error.expected, error.actual) == ("target", "batch", 4, 3)

    @each_class_loss
    def test_unbatched_with_one_class_in_a_tensor(self, kind):
        assert_equal_to_torch(kind, {}, floats(5), ids(1, high=5))

    @pytest.mark.parametrize("kind", [*CLASS_LOSSES, "MultiMarginLoss"])
    @pytest.mark.parametrize("shape", [(4, 5), (5,)], ids=str)
    def test_a_class_past_the_last(self, kind, shape):
        target = torch.full(shape[:-1], 5)
        with pytest.raises((IndexError, RuntimeError), match="out of") as theirs:
            getattr(torch.nn, kind)()(floats(*shape), target)
        error = refused(getattr(nn, kind)(), floats(*shape), target)
        assert (error.argument, error.dim, error.expected, error.actual) == ("target", "classes", "0 to 4", 5)
        assert isinstance(error, theirs.type)

    @pytest.mark.parametrize("kind", [*CLASS_LOSSES, "MultiMarginLoss"])
    def test_weights_for_other_classes(self, kind):
        loss = getattr(nn, kind)(weight=torch.ones(6))
        error = refused(loss, floats(4, 5), ids(4, high=5))
        assert (error.argument, error.dim, error.expected, error.actual) == ("input", "classes", 6, 5)

    def test_a_class_below_0(self):
        with pytest.raises(IndexError, match="-1 is none of the classes, 0 to 4"):
            nn.CrossEntropyLoss()(floats(4, 5), torch.full((4,), -1))
        assert nn.CrossEntropyLoss()(floats(4, 5), torch.full((4,), -100)).isnan()  # all are ignored

    @pytest.mark.parametrize("target", [(), (1,)], ids=str)
    @pytest.mark.parametrize("prediction", [(5,), (1, 5)], ids=str)
    def test_multi_margin_of_one_item(self, prediction, target):
        assert_equal_to_torch("MultiMarginLoss", {}, floats(*prediction), ids(*target, high=5))

    @pytest.mark.parametrize("shape", [(4, 3), (3,)], ids=str)
    def test_several_classes(self, shape):
        target = torch.full(shape, -1).index_fill(-1, torch.tensor(0), 2)
        assert_equal_to_torch("MultiLabelMarginLoss", {}, floats(*shape), target)
        assert refused(nn.MultiLabelMarginLoss(), floats(*shape), target[..., :2]).dim == "*shape"


@pytest.mark.skipif(not hasattr(torch.nn, "LinearCrossEntropyLoss"), reason="this torch has none")
class TestLinearCrossEntropy:
    """The classes are those of the layer; the places are its `out_features`."""

    @staticmethod
    def make(namespace: Any, **options: Any) -> Any:
        torch.manual_seed(0)
        return namespace.LinearCrossEntropyLoss(3, 5, **options)

    @pytest.mark.parametrize("places", [(), (4, 2)], ids=str)
    @pytest.mark.parametrize("options", [{}, {"bias": True}, {"reduction": "none"}, {"label_smoothing": 0.1}], ids=str)
    def test_is_torchs_bit_for_bit(self, places, options):
        ours, theirs = (self.make(namespace, out_features=places, **options) for namespace in (nn, torch.nn))
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for target in (ids(6, *places, high=5), ids(6, *places, high=5).byte(), floats(6, 5, *places).softmax(1)):
            if target.dtype != torch.uint8 or not (places or "label_smoothing" in options):  # which torch refuses
                assert torch.equal(ours(floats(6, 3), target), theirs(floats(6, 3), target))

    @pytest.mark.parametrize(
        "target", [ids(high=5), ids(1, high=5), floats(5).softmax(0)], ids=["class", "[class]", "p"]
    )
    def test_without_batch(self, target):
        assert torch.equal(self.make(nn)(floats(3), target), self.make(torch.nn)(floats(3), target))

    def test_in_chunks(self):
        options = {"options": torch.nn.LinearCrossEntropyOptions()}
        results = [self.make(namespace, **options)(floats(6, 3), ids(6, high=5)) for namespace in (nn, torch.nn)]
        assert torch.equal(*results)

    @pytest.mark.parametrize(
        ("places", "given", "target", "wrong"),
        [
            ((), (6, 4), ids(6, high=5), "argument `input` does not fit: hidden is 4, must be 3"),
            ((), (6, 2, 3), ids(6, high=5), "argument `input` does not fit: it has 3 axes, must have 2"),
            ((), (6, 3), ids(4, high=5), "argument `target` does not fit: batch is 4, must be 6"),
            ((), (6, 3), ids(6, 1, high=5), "argument `target` does not fit: it has 2 axes, must have 1"),
            ((), (6, 3), floats(6, 4), "argument `target` does not fit: vocab is 4, must be 5"),
            ((), (3,), floats(4), "argument `target` does not fit: vocab is 4, must be 5"),
            ((2,), (6, 3), ids(6, 1, high=5), "argument `target` does not fit: axis 1 is 1, must be 2"),
            ((2,), (6, 3), floats(6, 5, 1), "argument `target` does not fit: axis 2 is 1, must be 2"),
            ((2,), (6, 3), ids(6, high=5), "argument `target` does not fit: it has 1 axis, must have 2"),
            ((2,), (3,), ids(high=5), "argument `input` does not fit: it has 1 axis, must have 2"),
        ],
    )
    def test_what_does_not_fit_is_named(self, places, given, target, wrong):
        plain = torch.nn.LinearCrossEntropyLoss(3, 5, out_features=places)
        with pytest.raises((RuntimeError, ValueError)) as theirs:
            plain(floats(*given), target)
        hidden, vocab = dims(hidden=3, vocab=5)
        with pytest.raises(DimensionError, match=wrong) as ours:
            nn.LinearCrossEntropyLoss(hidden, vocab, out_features=places)(floats(*given), target)
        assert isinstance(ours.value, theirs.type)

    def test_a_class_past_the_last_is_torchs_to_say(self):
        with pytest.raises(IndexError, match="Target 5 is out of bounds"):
            self.make(nn)(floats(6, 3), torch.full((6,), 5))


def test_a_torch_without_the_linear_cross_entropy_has_the_rest():
    code = """
import torch
vars(torch.nn).pop("LinearCrossEntropyLoss", None)
from dimtyped import nn
assert not hasattr(nn, "LinearCrossEntropyLoss")
nn.CrossEntropyLoss()(torch.rand(4, 5), torch.zeros(4).long())
"""
    subprocess.run([sys.executable, "-c", code], check=True)


class TestAdaptiveSoftmax:
    @staticmethod
    def make(namespace: Any) -> Any:
        torch.manual_seed(0)
        return namespace.AdaptiveLogSoftmaxWithLoss(4, 10, [3, 6], div_value=2.0)

    @pytest.mark.parametrize("batch", [(5,), ()], ids=str)
    def test_is_torchs_bit_for_bit(self, batch):
        ours, theirs = self.make(nn), self.make(torch.nn)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        results = [layer(floats(*batch, 4), ids(*batch)) for layer in (ours, theirs)]
        assert torch.equal(results[0].output, results[1].output)
        assert torch.equal(results[0].loss, results[1].loss)

    def test_names(self):
        hidden, words = dims(hidden=4, words=10)
        layer = nn.AdaptiveLogSoftmaxWithLoss(hidden, words, [3, 6], div_value=2.0)
        assert refused(layer, floats(5, 3), ids(5)).dim == "hidden"
        assert refused(layer, floats(5, 4), ids(6)).dim == "batch"


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
    error = refused(nn.TripletMarginWithDistanceLoss(), floats(4, 3), floats(4, 5), floats(4, 3))
    assert (error.argument, error.dim) == ("positive", "*shape")
    error = refused(nn.TripletMarginWithDistanceLoss(**by_first), floats(4, 3), floats(4), floats(4, 3))
    assert error.argument == "positive"


@pytest.mark.parametrize("shapes", [((4,), (4,), (4,)), ((4, 1), (4, 1), (4, 1)), ((4, 3), (4, 1), (1, 3))], ids=str)
def test_rankings_that_broadcast_without_a_new_axis(shapes):
    assert_equal_to_torch("MarginRankingLoss", {}, *(floats(*shape) for shape in shapes))


def test_rankings_of_a_column_against_a_row():
    with pytest.raises(RuntimeError, match="margin_ranking_loss : All input tensors should have same dimension"):
        torch.nn.MarginRankingLoss()(floats(4, 1), floats(4, 1), floats(4))
    error = refused(nn.MarginRankingLoss(), floats(4, 1), floats(4, 1), floats(4))
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
