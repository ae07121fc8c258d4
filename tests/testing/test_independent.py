"""`independent`: bugs that mix samples are found and named, and what is no bug passes."""

import pytest
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor

from dimtyped import DeclarationError, nn, typed
from dimtyped.cli.demo.model import Seq2Seq
from dimtyped.testing import fuzz, independent
from tests.testing.seeded_bugs import BUGS

pytestmark = pytest.mark.any_engine  # what is found is found by what the models compute
MIXING = [bug for bug in BUGS if bug.mixes]
# The expression in which each of them begins to mix.
EXPRESSIONS = {
    "h_n.view(batch, -1)": "h_n.view(len(x), -1)",
    "heads split by view without transpose": "x.reshape(batch, 2, seq, -1)",
    "softmax over the batch": "self.out(x).softmax(0 if self.bug else -1)",
    "position table along the batch": "x + self.places(torch.arange(x.shape[0])).unsqueeze(1)",
    "batch_first forgotten in attention": "self.attention(x, x, x, need_weights=False)",
    "a bidirectional out[:, -1]": "self.gru(embedded)",
    "(batch,) + (batch, 1)": "(bias + column).mean(1)",
}


@pytest.mark.parametrize("bug", MIXING, ids=str)
def test_a_bug_that_mixes_is_found(bug):
    found = failure(bug.make(bug=True), **bug.options)
    assert (found.axis, found.changed, found.affected) == (bug.alone or bug.mixes)
    assert found.where.startswith(f"It begins {bug.begins}")
    assert found.place.source == EXPRESSIONS[str(bug)]


@pytest.mark.parametrize("bug", MIXING, ids=str)
def test_its_right_twin_passes(bug):
    independent(bug.make(bug=False), **bug.options)


def failure(model, *axes, **options):
    with pytest.raises(AssertionError) as caught:
        independent(model, *axes, **options)
    return caught.value


def test_it_names_the_axis_the_two_indices_and_where_it_begins():
    found = failure(next(bug for bug in BUGS if str(bug) == "h_n.view(batch, -1)").make(bug=True), "batch")
    assert (found.axis, found.changed, found.affected) == ("batch", 0, 1)
    assert found.where.splitlines() == [
        "It begins in the forward of StateByView itself, after `gru` and before `out`.",
        f"  tests/testing/seeded_bugs.py:{found.place.line}, in StateByView.forward:",
        "      joined = h_n.view(len(x), -1) if self.bug else h_n.transpose(0, 1).reshape(len(x), -1)",
        "               ^^^^^^^^^^^^^^^^^^^^",
    ]
    assert str(found).startswith(
        "StateByView: axis `batch` mixes: changing only batch 0 of `x` changes batch 1 of the result"
    )
    assert 'x            Float[Tensor, "batch seq embed"]  (2, 1, 3)' in str(found)


@typed
def by_sample(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
    rows = [row.softmax(0) for row in x]
    merged = torch.stack(rows).flatten()
    total = merged.view(x.shape[0], -1).cumsum(1)
    mean = total.mean(0)
    return total - mean


def test_what_works_sample_by_sample_or_on_merged_axes_is_not_blamed():
    assert failure(by_sample).place.source == "total - mean"


def test_an_expression_that_cannot_be_told_is_left_out(monkeypatch):
    monkeypatch.setattr("dimtyped.testing.properties.steps._MOST", 1)
    found = failure(by_sample)
    assert not found.place.source
    assert not found.where


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.inner = next(bug for bug in BUGS if str(bug) == "softmax over the batch").make(bug=True)

    def forward(self, x: Float[Tensor, "batch 4"]) -> Float[Tensor, "batch 4"]:
        return self.inner(x)


def test_a_submodule_inside_is_named_by_its_path():
    assert "the forward of `inner` (SoftmaxOverTheBatch) itself, after `inner.out`" in failure(Nested()).where


class Normed(nn.Module):
    """Batch statistics, even in eval mode, and a dropout that is always on."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4, track_running_stats=False)

    def forward(self, x: Float[Tensor, "batch 4"]) -> Float[Tensor, "batch 4"]:
        return torch.nn.functional.dropout(self.norm(x))


def test_batch_statistics_and_dropout_are_no_mixing():
    independent(Normed())
    independent(nn.BatchNorm1d(3))


def test_the_module_stays_as_it_was():
    model = Normed().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    independent(model)
    assert model.training
    assert model.norm.running_mean is None
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("check", [independent, fuzz])
def test_torch_runs_in_one_thread_meanwhile(check):
    threads = []

    def watched(x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
        threads.append(torch.get_num_threads())
        return x

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        check(watched, max_examples=2, **({"broken": False} if check is fuzz else {}))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(threads) == {1}


class Single(nn.Module):
    def forward(self, x: Float32[Tensor, "batch"]) -> Float32[Tensor, "batch"]:
        return x + torch.ones(1, dtype=torch.float32)


class Mixed(nn.Module):
    def forward(self, x: Float32[Tensor, "batch"]) -> Float32[Tensor, "batch"]:
        return x - x.mean()


def test_a_module_of_single_precision_is_tested_in_it():
    independent(Single())
    assert failure(Mixed()).axis == "batch"


class Reader(nn.Module):
    """Reads one step ahead."""

    def forward(self, x: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch seq"]:
        return x + x.roll(-1, 1)


def test_a_step_that_sees_a_later_one_is_found():
    independent(Reader())
    found = failure(Reader(), causal="seq")
    assert found.affected < found.changed


class Pooled(nn.Module):
    def __init__(self, bug):
        super().__init__()
        self.bug = bug

    def forward(self, x: Float[Tensor, "batch seq"], real: Bool[Tensor, "batch seq"]) -> Float[Tensor, "batch"]:
        return (x if self.bug else x * real).sum(1)


def test_padding_told_by_a_mask():
    independent(Pooled(bug=False), padding="real")
    assert "values past `real` change the result" in str(failure(Pooled(bug=True), padding="real"))


class Optional(Pooled):
    """Without a mask nothing is padding."""

    def forward(
        self, x: Float[Tensor, "batch seq"], real: Bool[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "batch"]:
        return x.sum(1) if real is None else super().forward(x, real)


def test_a_mask_that_may_be_left_out_is_tested_where_it_is_given():
    independent(Optional(bug=False), padding="real")
    fuzz(Optional(bug=False), padding="real", max_examples=20)
    assert "values past `real` change the result" in str(failure(Optional(bug=True), padding="real"))


def test_the_demo_and_layers_keep_samples_apart():
    independent(Seq2Seq(5, 2, 3), max_examples=5)
    independent(nn.GRU(3, 4, bidirectional=True), max_examples=5)
    independent(nn.MultiheadAttention(4, 2, batch_first=True), max_examples=5)
    independent(nn.GRU(3, 4, batch_first=True), causal="seq", max_examples=5)


def test_a_method_and_a_function_are_tested_too():
    def shifted(x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
        return x + x.roll(1, 0)

    assert failure(shifted).place.source == "x.roll(1, 0)"


class Plain(nn.Module):
    def forward(self, x: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
        return x


def scalar(x: Float[Tensor, "batch n"]) -> Float[Tensor, ""]:
    return x.sum()


def tokens(x: Int[Tensor, "batch n"]) -> Int[Tensor, "batch n"]:
    return x


@pytest.mark.parametrize(
    ("thing", "options", "text"),
    [
        (Plain(), {}, "Plain: no parameter has an axis named `batch`"),
        (scalar, {}, "scalar: no result has an axis named `batch`"),
        (Plain(), {"causal": "seq"}, "no parameter has an axis named `seq`"),
        (tokens, {"padding": "x"}, "padding='x': tokens has no such lengths or mask"),
        (tokens, {"padding": "lengths"}, "padding='lengths': tokens has no such lengths or mask"),
    ],
    ids=["parameter", "result", "causal", "no mask", "no parameter"],
)
def test_bad_input_is_refused_with_what_to_write(thing, options, text):
    with pytest.raises(DeclarationError, match=text):
        independent(thing, **options)
