"""`fuzz`: each seeded bug is found, what is right passes, and a failure can be repeated."""

import functools
import re

import pytest
import torch
from hypothesis import given
from jaxtyping import Float
from torch import Tensor

from dimtyped import DeclarationError, nn, typed
from dimtyped.cli.demo.model import Seq2Seq
from dimtyped.testing import calls, fuzz
from tests.testing.fuzzed_layers import MAKERS, typed_classes
from tests.testing.seeded_bugs import BUGS


def failure(model, **options):
    with pytest.raises(AssertionError) as caught:
        fuzz(model, **options)
    return caught.value


@functools.cache
def failure_of(name):
    """How `fuzz` finds the seeded bug of this name, the same each time."""
    bug = seeded(name)
    return failure(bug.make(bug=True), **bug.options)


def seeded(name):
    return next(bug for bug in BUGS if str(bug) == name)


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_a_seeded_bug_is_found(bug):
    found = failure_of(str(bug))
    first = str(found).partition("\n")[0]
    assert bug.says in first
    assert found.sizes == bug.smallest
    assert f" fails for {', '.join(f'{name}={size}' for name, size in bug.smallest.items())}: " in first
    assert ("\n  It begins " in str(found)) == bool(bug.begins)
    assert f"\n  It begins {bug.begins}" in str(found) or not bug.begins
    assert "\n  To repeat it: fuzz(model, " in str(found)


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.mixes], ids=str)
def test_a_bug_that_mixes_is_told_by_axis_and_two_indices(bug):
    mixed = failure_of(str(bug)).error
    assert (mixed.axis, mixed.changed, mixed.affected) == bug.mixes
    assert mixed.where.startswith(f"It begins {bug.begins}")


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_its_right_twin_passes(bug):
    fuzz(bug.make(bug=False), max_examples=15, **bug.options)


def test_there_are_sixteen_bugs():
    assert len({bug.model for bug in BUGS}) == len({bug.bug for bug in BUGS}) == 16


def test_a_failure_prints_the_smallest_inputs_by_name_and_size():
    found = failure_of("squeeze at batch 1")
    assert str(found).startswith(
        "SqueezeAtBatchOne fails for batch=1: DimensionError: SqueezeAtBatchOne.forward: the result does not fit"
    )
    assert "    x  float32 (1, 4)\n" in str(found)
    assert found.sizes == {"batch": 1}


def test_a_failure_prints_a_few_ids_and_lengths():
    text = str(failure_of("a bidirectional out[:, -1]"))
    assert (
        "\n    tokens   int64 (2, 6)  [[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]\n    lengths  int64 (2,)  [6, 1]\n"
        in text
    )


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_a_failure_prints_a_line_that_repeats_it(bug):
    model, found = bug.make(bug=True), failure_of(str(bug))
    line = str(found).rpartition("To repeat it: ")[2]
    ran = []
    model.register_forward_pre_hook(lambda *_: ran.append(1))  # a copy of the model has it too
    with pytest.raises(AssertionError) as again:
        eval(line, {"fuzz": fuzz, "model": model})
    assert str(again.value) == str(found)
    assert 0 < len(ran) < 30  # that one example, not a search
    eval(line, {"fuzz": fuzz, "model": bug.make(bug=False)})


@pytest.mark.parametrize("name", MAKERS)
# torch warns that it has no fast kernel for these, of what it makes of a mask, and of channels that it does not use
@pytest.mark.filterwarnings(
    "ignore:LSTM with projections", "ignore:The PyTorch API of nested tensors", "ignore:input's size at dim"
)
def test_every_typed_layer_passes(name):
    for make in MAKERS[name]:
        fuzz(make(), max_examples=9)


def test_no_typed_layer_is_missing():
    assert MAKERS.keys() == {*typed_classes(), "Sequential"}


def test_a_layer_that_is_not_in_the_table_is_noticed(monkeypatch):
    class Other(nn.Linear):
        pass

    monkeypatch.setattr(nn, "Other", Other, raising=False)
    with pytest.raises(AssertionError):
        test_no_typed_layer_is_missing()


def test_the_demo_passes():
    fuzz(Seq2Seq(5, 2, 3), max_examples=20, grad=True)


def test_places_to_unpool_to_are_each_given_once():
    @given(calls(nn.MaxUnpool2d(2)))
    def check(call):
        planes = call[0][1].flatten(-2)
        assert all(len(plane.unique()) == len(plane) for plane in planes.flatten(0, -2))

    check()


class Careful(nn.Module):
    def __init__(self, careless=""):
        super().__init__()
        self.careless = careless
        self.out = nn.Linear(3, 3)

    def forward(self, x: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3"]:
        if self.careless == "finite":
            return self.out(x) / x.shape[0] / 0
        if self.careless == "gradient":
            return (self.out(x) * 0).sqrt()
        if self.careless == "no gradient":
            return x.detach()
        if self.careless == "compiled" and torch.compiler.is_compiling():
            return self.out(x) + 1
        return self.out(x)


@pytest.mark.parametrize(
    ("careless", "options", "text"),
    [
        ("finite", {"finite": True}, "the result is not finite"),
        ("gradient", {"grad": True}, "a gradient is not finite, though the result is"),
        ("no gradient", {"grad": True}, "no gradient reaches the inputs or the parameters"),
        ("compiled", {"compile": "eager"}, "compiled with eager, the result differs"),
    ],
)
def test_what_is_asked_beside_is_tested(careless, options, text):
    fuzz(Careful(), max_examples=5, **options)
    fuzz(Careful(careless), max_examples=5)
    assert text in str(failure(Careful(careless), max_examples=9, **options))


class Loose(nn.Module):
    """Its check is gone: a later assignment has replaced forward."""

    def forward(self, x: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3"]:
        return x


def test_a_broken_call_that_is_not_refused_is_found(monkeypatch):
    model = Loose()
    inner = Loose.forward.__wrapped__
    monkeypatch.setattr(Loose.forward, "__code__", inner.__code__)
    monkeypatch.setattr(Loose.forward, "__defaults__", None)
    assert "is wrong (" in str(failure(model, max_examples=9))
    assert "but the call raises nothing" in str(failure(model, max_examples=9))
    fuzz(model, max_examples=9, broken=False)


class Free(torch.nn.Module):
    def forward(self, x: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3"]:
        return x


class Bare(torch.nn.Module):
    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("thing", "options", "text"),
    [
        (Free(), {}, "Free: its annotations are not enforced, so broken calls are not rejected"),
        (Bare(), {}, 'Write def forward(self, x: Float[Tensor, "batch seq"]).'),
        (torch.nn.Linear(2, 3), {}, "Use dimtyped.nn.Linear, or dimtyped.retype(model)."),
        (torch.nn.ReLU(), {}, 'Put it in a module of your own: def forward(self, input: Float[Tensor, "batch seq"]).'),
        (nn.ModuleList([nn.Linear(2, 3)]), {}, "ModuleList has no forward, so it cannot be called"),
        (nn.LazyLinear(3), {}, "LazyLinear has no sizes yet\n  Call it once"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(784, 3)),
            {},
            "Sequential: no call was found that it takes; the smallest one fails",
        ),
        (Careful(), {"independent": ("seq",)}, "no parameter has an axis named `seq`"),
        (Careful(), {"causal": "seq"}, "no parameter has an axis named `seq`"),
        (Careful(), {"padding": "lengths"}, "padding='lengths': Careful has no such lengths or mask"),
        (Careful(), {"repeat": "what"}, "repeat='what' was not printed by a failure of fuzz()"),
        (Careful(), {"repeat": "right:1.0:AAA="}, "was printed by hypothesis 1.0, this is"),
    ],
    ids=[
        "free",
        "bare",
        "plain",
        "elementwise",
        "list",
        "lazy",
        "never",
        "axis",
        "causal",
        "padding",
        "repeat",
        "release",
    ],
)
def test_bad_input_is_refused_with_what_to_write(thing, options, text):
    with pytest.raises(DeclarationError, match=re.escape(text)):
        fuzz(thing, **options)


def test_a_function_and_a_method_are_tested_too():
    @typed
    def double(x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
        return 2 * x

    fuzz(double, max_examples=9)


def test_annotations_that_nothing_enforces_are_tested_too():
    fuzz(Free(), max_examples=9, broken=False)
