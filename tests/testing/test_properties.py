"""What values show and no shape does: gradients, places, scalar losses, padding; and what a report says of it."""

import pytest
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dimtyped import DeclarationError, DimSize, nn, typed
from dimtyped.testing import fuzz, independent

pytestmark = pytest.mark.any_engine


def failure(thing, check=fuzz, **options):
    with pytest.raises(AssertionError) as caught:
        check(thing, **options)
    return str(caught.value)


# Gradients ------------------------------------------------------------------------------------------------------------


class Pooled(nn.Module):
    """Attention pooling; with the bug its softmax is over an axis of 1."""

    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.axis, self.score = -1 if bug else 1, nn.Linear(width, 1)

    def forward(self, x: Float[Tensor, "batch seq width"]) -> Float[Tensor, "batch width"]:
        return (self.score(x).softmax(self.axis) * x).sum(1)


class Last(nn.Module):
    """The last step of a reader of both directions: its backward half has read one step."""

    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.bug, self.gru = bug, nn.GRU(width, 4, batch_first=True, bidirectional=True)

    def forward(self, x: Float[Tensor, "batch seq width"]) -> Float[Tensor, "batch 8"]:
        output, state = self.gru(x)
        return output[:, -1] if self.bug else torch.cat([state[0], state[1]], 1)


class Unused(nn.Module):
    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.bug, self.first, self.second = bug, nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return self.first(x) if self.bug else self.second(self.first(x))


@pytest.mark.parametrize(
    ("model", "names"),
    [(Pooled, "`score.weight`"), (Last, "`gru.weight_hh_l0_reverse`"), (Unused, "`second.weight`, `second.bias`")],
    ids=["softmax over one", "backward half", "unused"],
)
def test_a_parameter_that_no_call_trains_is_told(model, names):
    fuzz(model(4, bug=False), grad=True, max_examples=20)
    fuzz(model(4, bug=True), max_examples=20)
    text = failure(model(4, bug=True), grad=True, max_examples=20)
    assert f"fails: the gradient of {names}" in text
    assert "is exactly 0 in all 20 calls" in text


class Adapted(nn.Module):
    """What starts at 0 is trained, though nothing before it is while it is 0; a bias that a difference cancels is no bug."""

    def __init__(self, width: DimSize):
        super().__init__()
        self.down, self.up = nn.Linear(width, 2, bias=False), nn.Linear(2, width)
        self.gate = torch.nn.Parameter(torch.zeros(()))
        self.inner = nn.Linear(width, width)
        torch.nn.init.zeros_(self.up.weight)

    def forward(self, x: Float[Tensor, "batch width"], y: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return self.up(self.down(x)) - self.up(self.down(y)) + self.gate * self.inner(x)


def test_layers_that_start_at_zero_are_no_bug():
    fuzz(Adapted(4), grad=True, max_examples=20)


# Places ---------------------------------------------------------------------------------------------------------------


class Heads(nn.Module):
    """Self-attention in two heads, where positions may mix; with the bug a view trades their places."""

    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.bug, self.query = bug, nn.Linear(width, width)

    def heads(self, x: Tensor) -> Tensor:
        batch, seq, _ = x.shape
        return x.reshape(batch, 2, seq, -1) if self.bug else x.reshape(batch, seq, 2, -1).transpose(1, 2)

    def forward(self, x: Float[Tensor, "batch seq width"]) -> Float[Tensor, "batch seq width"]:
        q, k = self.heads(self.query(x)), self.heads(x)
        mixed = (q @ k.transpose(2, 3)).softmax(-1) @ k
        return mixed.reshape(x.shape) if self.bug else mixed.transpose(1, 2).reshape(x.shape)


@pytest.mark.parametrize("check", [fuzz, independent])
def test_places_that_are_traded_are_told_where_positions_may_mix(check):
    check(Heads(4, bug=False), moves="seq", max_examples=20)
    check(Heads(4, bug=True), max_examples=9)
    assert "its place along seq matters" in failure(Heads(4, bug=True), check, moves="seq", max_examples=20)


class Across(nn.Module):
    """A norm of the wrong axis: fresh, it changes no number."""

    def __init__(self, layer, bug: bool):
        super().__init__()
        self.bug, self.norm = bug, layer

    def forward(self, x: Float[Tensor, "batch 4"]) -> Float[Tensor, "batch 4"]:
        return self.norm(x.T).T if self.bug else self.norm(x)


class Fixed(nn.Module):
    """A number that is no weight: what is not trained stays as it is."""

    def __init__(self):
        super().__init__()
        self.ones = torch.nn.Parameter(torch.ones(4), requires_grad=False)

    def forward(self, x: Float[Tensor, "batch 4"]) -> Float[Tensor, "batch 4"]:
        return x / (self.ones == 1).float()


def test_what_is_not_trained_is_not_drawn():
    fuzz(Fixed(), finite=True, max_examples=20)


def test_the_user_s_own_module_stays_as_it_is():
    model = Adapted(4).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fuzz(model, grad=True, max_examples=9)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_fresh_norm_is_not_blind_to_place():
    independent(Across(nn.BatchNorm1d(4), bug=False), sizes={"batch": 4})
    assert "its place along batch matters" in failure(
        Across(nn.BatchNorm1d(4), bug=True), independent, sizes={"batch": 4}
    )


# Scalar results -------------------------------------------------------------------------------------------------------


def squared(broadcast):
    @typed
    def loss(p: Float[Tensor, "batch 1"], t: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
        return ((p - t) ** 2 if broadcast else (p.squeeze(1) - t) ** 2).mean()

    return loss


def weighted(bug):
    @typed
    def loss(
        p: Float[Tensor, "batch seq"], t: Float[Tensor, "batch seq"], real: Bool[Tensor, "batch seq"]
    ) -> Float[Tensor, ""]:
        error = (p - t).square()
        return (error - error.mean(0)).square().sum() if bug else (error * real).sum() / real.sum().clamp(min=1)

    return loss


@pytest.mark.parametrize("options", [{"reduction": "mean"}, {"separable": "batch"}], ids=["mean", "separable"])
def test_samples_that_meet_in_a_loss_are_told(options):
    fuzz(squared(broadcast=False), max_examples=20, **options)
    fuzz(squared(broadcast=True), max_examples=20)
    assert "axis `batch` mixes: " in failure(squared(broadcast=True), max_examples=20, **options)


def test_a_sum_and_a_masked_mean_are_separable():
    @typed
    def total(x: Float[Tensor, "batch n"]) -> Float[Tensor, ""]:
        return x.sin().sum()

    fuzz(total, separable="batch", reduction="sum", max_examples=20)
    assert "is not the mean of the results of each batch alone" in failure(total, reduction="mean", max_examples=20)
    independent(weighted(bug=False), separable="batch")
    assert "samples mix" in failure(weighted(bug=True), independent, separable="batch")


def test_a_target_that_torch_broadcasts_with_a_warning_is_a_failure():
    @typed
    def loss(p: Float[Tensor, "batch 1"], t: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
        return torch.nn.functional.mse_loss(p, t)

    assert "UserWarning: Using a target size" in failure(loss)


def test_a_reduction_is_one_that_is_known():
    with pytest.raises(DeclarationError, match="reduction='max' must be one of 'mean', 'sum'"):
        fuzz(squared(broadcast=False), reduction="max")
    with pytest.raises(DeclarationError, match="no parameter has an axis named `rows`"):
        fuzz(squared(broadcast=False), separable="rows")


# Padding --------------------------------------------------------------------------------------------------------------


class Mean(nn.Module):
    """The mean of what is real: with a bug it is divided by the padded length, or the last step is left out."""

    def __init__(self, width: DimSize, bug: str = ""):
        super().__init__()
        self.bug, self.out = bug, nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "batch seq width"], lengths: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch width"]:
        last = lengths - 1 if self.bug == "left out" else lengths
        real = (torch.arange(x.shape[1]) < last.unsqueeze(1)).unsqueeze(2)
        total = (self.out(x) * real).sum(1)
        return total / (x.shape[1] if self.bug == "padded length" else lengths.unsqueeze(1))


class Masked(Mean):
    def forward(
        self, x: Float[Tensor, "batch seq width"], pad_mask: Bool[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch width"]:
        real = ~pad_mask.unsqueeze(2)
        total = (self.out(x) * real).sum(1)
        return total / (x.shape[1] if self.bug == "padded length" else real.sum(1).clamp(min=1))


@pytest.mark.parametrize(("model", "name"), [(Mean, "lengths"), (Masked, "pad_mask")], ids=["lengths", "mask"])
def test_a_padded_sequence_gives_what_it_gives_alone(model, name):
    fuzz(model(3), padding=name, max_examples=30)
    text = failure(model(3, "padded length"), padding=name)
    assert "axis `seq` mixes: padded to " in text
    assert "gives another result than alone, " in text


class Placed(nn.Module):
    """A mean over the real places; with the bug each place has its own position, counted from the left."""

    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.out, self.bug = nn.Linear(width, width), bug

    def forward(
        self, x: Float[Tensor, "batch seq width"], mask: Bool[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch width"]:
        if self.bug:
            x = x + torch.arange(x.shape[1]).unsqueeze(1)
        real = mask.unsqueeze(2)
        return (self.out(x) * real).sum(1) / real.sum(1).clamp(min=1)


class TestPaddingInFront:
    @pytest.mark.parametrize("side", ["left", "both", "right"])
    def test_a_right_model_passes(self, side):
        report = fuzz(Placed(3, bug=False), padding="mask", padding_side=side, max_examples=30, broken=False)
        in_front = "padded in front by `mask`, a sequence has the result that it has alone"
        assert report.padding == (in_front if side == "right" else "")
        independent(Placed(3, bug=False), padding="mask", padding_side=side)

    @pytest.mark.parametrize("side", ["left", "both"])
    def test_positions_that_count_from_the_left_are_found(self, side):
        text = failure(Placed(3, bug=True), padding="mask", padding_side=side)
        assert "axis `seq` mixes: padded to " in text
        assert " in front, batch " in text
        assert f"padding_side={side!r}" in text
        with pytest.raises(AssertionError, match="in front"):
            independent(Placed(3, bug=True), padding="mask", padding_side=side)

    def test_unasked_it_is_reported(self):
        report = fuzz(Placed(3, bug=True), padding="mask", max_examples=30, broken=False)
        assert "  learned: padded in front by `mask`, a sequence has another result than alone" in str(report)

    def test_lengths_are_padded_behind_alone(self):
        assert fuzz(Mean(3), padding="lengths", max_examples=10, broken=False).padding == ""
        fuzz(Mean(3), padding="lengths", padding_side="both", max_examples=10, broken=False)

    def test_another_side_is_refused(self):
        with pytest.raises(DeclarationError, match="padding_side='front' must be one of 'right', 'left', 'both'"):
            independent(Placed(3, bug=False), padding="mask", padding_side="front")


class TestPaddingThatNobodyNamed:
    def test_is_tried_and_reported(self):
        report = fuzz(Placed(3, bug=False), max_examples=30, broken=False)
        assert report.padding == "values past `mask` change nothing"

    def test_a_padded_sequence_that_gives_another_result_is_reported(self):
        report = fuzz(Mean(3, "padded length"), max_examples=30, broken=False)
        assert report.padding.startswith("if `lengths` is padding, give padding='lengths'")


class Encoded(nn.Module):
    """Torch's fast path makes nested tensors of what is padded; a sequence is never all padding."""

    def __init__(self, bug: bool):
        super().__init__()
        self.bug = bug
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 1)

    def forward(self, x: Float[Tensor, "batch seq 4"], pad: Bool[Tensor, "batch seq"]) -> Float[Tensor, "batch 4"]:
        found = self.encoder(x, src_key_padding_mask=pad)
        return (x if self.bug else found.masked_fill(pad.unsqueeze(2), 0)).sum(1)


# torch's own, of the nested tensors that it makes
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_and_masks_of_padding():
    fuzz(Encoded(bug=False), padding="pad", max_examples=30, finite=True)
    assert "values past `pad` change the result" in failure(Encoded(bug=True), padding="pad")


class Counted(nn.Module):
    """Takes a mask of padding for lengths, which is right where padding is behind."""

    def forward(self, x: Float[Tensor, "batch seq n"], real: Bool[Tensor, "batch seq"]) -> Float[Tensor, "batch n"]:
        return x[torch.arange(len(x)), real.sum(1) - 1]


def test_a_mask_of_padding_is_padding_behind():
    fuzz(Counted(), padding="real", max_examples=30)
    independent(Counted(), padding="real")


def test_a_name_that_a_result_has_twice_is_not_tested_unasked():
    @typed
    def similar(a: Float[Tensor, "batch d"], b: Float[Tensor, "batch d"]) -> Float[Tensor, "batch batch"]:
        return a @ b.T

    assert fuzz(similar, max_examples=9).untested == ("batch", "d")
    with pytest.raises(DeclarationError, match="no result has an axis named `batch`"):
        fuzz(similar, independent=["batch"])


def test_the_last_real_place_must_matter():
    text = failure(Mean(3, "left out"), padding="lengths")
    assert "the last place inside `lengths` changes the result in none of" in text


# Reports --------------------------------------------------------------------------------------------------------------


class Marked(nn.Module):
    def forward(self, x: Float[Tensor, "batch seq n"], real: Bool[Tensor, "batch seq"]) -> Float[Tensor, "batch n"]:
        return (x * real.unsqueeze(2)).sum(1)


def test_a_report_says_which_axes_were_tested_and_which_were_not():
    report = fuzz(Marked(), max_examples=20)
    assert (report.name, report.tested, report.untested) == ("Marked", ("batch",), ("seq", "n"))
    assert report.calls["right"] >= 20
    assert report.calls["broken"] >= 6
    assert str(report).splitlines()[1:] == [
        "  independent: batch",
        "  not tested: seq, n",
        "  learned: values past `real` change nothing",
    ]
    assert fuzz(Marked(), max_examples=9, padding="real").tested == ("batch", "seq")


def test_a_mask_that_may_be_padding_and_is_not_is_no_failure():
    @typed
    def whole(x: Float[Tensor, "batch seq"], chosen: Bool[Tensor, "batch seq"]) -> Float[Tensor, "batch"]:
        return x.sum(1) + (x * chosen).sum(1)

    assert "if `chosen` is padding, give padding='chosen'" in str(fuzz(whole, max_examples=20))


def test_an_axis_of_another_name_is_proposed():
    @typed
    def other(x: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        return x - x.mean(0)

    report = fuzz(other, max_examples=9)
    assert (report.tested, report.proposed) == ((), "b")
    assert "Every tensor has `b`: independent=['b'] tests it." in str(report)
    assert "axis `b` mixes" in failure(other, independent=["b"])


def test_a_scalar_result_is_said_not_to_show_what_mixes():
    report = fuzz(squared(broadcast=True), max_examples=9)
    assert report.untested == ("batch",)
    assert 'The result has no axis like `batch`: reduction="mean" or separable="batch" tests it.' in str(report)
    assert fuzz(squared(broadcast=False), max_examples=9, separable="batch").tested == ("batch",)
