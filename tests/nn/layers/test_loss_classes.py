"""Losses of one class of several: scores, class indices or probabilities, and layers with a loss inside."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st

from dimtyped import DimensionError, dims, nn
from tests.helpers.layer_cases import floats, ids
from tests.helpers.losses import REDUCTIONS, assert_equal_to_torch, rejected
from tests.helpers.named_calls import SIZES, Call, Index, assert_accepted, broken

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
        error = rejected(loss, floats(*shape), torch.stack([target, target], -1))
        assert (error.argument, isinstance(error, ValueError)) == ("target", True)

    def test_probabilities_that_do_not_fit(self, options, shape):
        error = rejected(nn.CrossEntropyLoss(**options), floats(*shape), floats(*shape[:-1], shape[-1] + 1))
        assert (error.argument, error.dim) == ("target", "*shape")


class TestTargets:
    @each_class_loss
    def test_one_column_of_classes_is_told_to_be_squeezed(self, kind):
        error = rejected(getattr(nn, kind)(), floats(4, 5), ids(4, 1, high=5))
        assert (error.argument, "`target.squeeze(1)`" in error.hint) == ("target", True)

    @each_class_loss
    def test_classes_that_are_floats_are_told_to_be_longs(self, kind):
        error = rejected(getattr(nn, kind)(), floats(4, 5), torch.ones(4))
        assert (error.argument, "target.long()" in error.hint) == ("target", True)

    def test_logits_whose_classes_come_last_are_told_to_be_permuted(self):
        error = rejected(nn.CrossEntropyLoss(), floats(4, 7, 5), ids(4, 7, high=5))
        assert error.dim == "*place"
        assert "input.permute(0, 2, 1)" in error.hint

    @each_class_loss
    def test_another_batch(self, kind):
        error = rejected(getattr(nn, kind)(), floats(4, 5), ids(3, high=5))
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
        error = rejected(getattr(nn, kind)(), floats(*shape), target)
        assert (error.argument, error.dim, error.expected, error.actual) == ("target", "classes", "0 to 4", 5)
        assert isinstance(error, theirs.type)

    @pytest.mark.parametrize("kind", [*CLASS_LOSSES, "MultiMarginLoss"])
    def test_weights_for_other_classes(self, kind):
        loss = getattr(nn, kind)(weight=torch.ones(6))
        error = rejected(loss, floats(4, 5), ids(4, high=5))
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
        assert rejected(nn.MultiLabelMarginLoss(), floats(*shape), target[..., :2]).dim == "*shape"


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

    def test_a_class_past_the_last(self):
        error = rejected(self.make(nn), floats(6, 3), torch.full((6,), 5))
        assert (error.argument, error.dim, error.expected, error.actual) == ("target", "classes", "0 to 4", 5)
        assert isinstance(error, IndexError)


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
        assert rejected(layer, floats(5, 3), ids(5)).dim == "hidden"
        assert rejected(layer, floats(5, 4), ids(6)).dim == "batch"
