"""`fuzz` as a user meets it: right models pass, a bug is told where it is, and what a model is not meant for is no bug."""

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dimtyped import DeclarationError, DimSize, nn
from dimtyped.testing import fuzz, independent
from tests.testing.user_models import BUGS, MODELS, Digits, Language, Tagger

pytestmark = pytest.mark.any_engine  # the bugs are found by what the models compute


def made(model, sizes, bug=""):
    torch.manual_seed(0)
    return model(*sizes, bug=bug)


@pytest.mark.parametrize(("model", "sizes", "options"), MODELS, ids=[model.__name__ for model, *_ in MODELS])
def test_a_right_model_passes(model, sizes, options):
    fuzz(made(model, sizes), max_examples=15, grad=True, **options)


@pytest.mark.parametrize(
    ("model", "bug", "smallest", "text"), BUGS, ids=[f"{model.__name__}: {bug}" for model, bug, *_ in BUGS]
)
def test_a_bug_is_told_where_it_is(model, bug, smallest, text):
    sizes, options = next((sizes, options) for cls, sizes, options in MODELS if cls is model)
    with pytest.raises(AssertionError) as caught:
        fuzz(made(model, sizes, bug), **options)
    assert f"{model.__name__} fails for {smallest}: " in str(caught.value)
    assert text in str(caught.value)


class Large(torch.nn.Module):
    """A kernel of 20."""

    def __init__(self, layers):
        super().__init__()
        self.conv, self.out = layers.Conv2d(1, 2, 20), layers.Linear(2, 3)

    def forward(self, x: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 3"]:
        return self.out(self.conv(x).mean((2, 3)))


@pytest.mark.parametrize(("check", "layers"), [(fuzz, nn), (independent, torch.nn)], ids=["fuzz", "independent"])
def test_a_model_that_no_drawn_size_is_meant_for_says_what_to_give(layers, check):
    options = {"broken": False} if check is fuzz else {}
    with pytest.raises(DeclarationError) as caught:
        check(Large(layers), max_examples=5, **options)
    assert "Large: no call was found that it takes; the smallest one fails: " in str(caught.value)
    assert "Give the sizes that it is meant for, such as sizes={'height': 32, 'width': 32}." in str(caught.value)
    check(Large(layers), max_examples=5, sizes={"height": 32, "width": 32}, **options)


def test_sizes_that_are_given_and_too_small_are_a_failure():
    with pytest.raises(AssertionError, match="height is 8, must be at least 20"):
        fuzz(Large(nn), sizes={"height": 8, "width": 32}, broken=False)


@pytest.mark.parametrize("layers", [nn, torch.nn], ids=["typed", "plain"])
@pytest.mark.parametrize(
    "layer", [("MaxPool2d", 2), ("Conv2d", 1, 1, 3), ("ReflectionPad2d", 2)], ids=lambda layer: layer[0]
)
def test_an_image_that_is_too_small_is_no_bug(layers, layer):
    class Shrinks(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = getattr(layers, layer[0])(*layer[1:])

        def forward(self, x: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 1 _ _"]:
            return self.layer(x)

    fuzz(Shrinks(), max_examples=9)


def test_a_model_that_takes_some_sizes_alone_is_told_to_need_them():
    with pytest.raises(AssertionError) as caught:
        fuzz(Language(7, 8, context=4))
    text = str(caught.value)
    assert text.startswith("Language needs seq of 1, 2, 3 or 4, and fails for batch=2, seq=5: VocabularyError: ")
    assert "If the model is meant for only these sizes, say so: sizes={'seq': range(1, 5)}." in text
    fuzz(Language(7, 8, context=4), max_examples=9, sizes={"seq": range(1, 5)})


def test_sizes_are_no_advice_where_a_failure_has_nothing_to_do_with_them():
    with pytest.raises(AssertionError) as caught:
        fuzz(made(Digits, (5,), "too many pools"))
    assert "sizes=" not in str(caught.value)


def test_lengths_that_must_be_sorted_are_so():
    fuzz(made(Tagger, (7, 3, 4, 5), "sorted"), max_examples=30, padding="lengths")


# What inputs hold -----------------------------------------------------------------------------------------------------


class Loss(nn.Module):
    """Classes that no module declares."""

    def forward(self, logits: Float[Tensor, "batch classes"], target: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        return torch.nn.functional.cross_entropy(logits, target, reduction="none")


class Gaussian(nn.Module):
    def forward(
        self, mean: Float[Tensor, "batch n"], std: Float[Tensor, "batch n"], keep_prob: Float[Tensor, "batch n"]
    ) -> Float[Tensor, "batch n"]:
        kept = torch.distributions.Bernoulli(keep_prob).log_prob(torch.ones_like(mean))
        return torch.distributions.Normal(mean, std).log_prob(torch.zeros_like(mean)) + kept


class Aligned(nn.Module):
    """Lengths of two sequences, steps before batch."""

    def __init__(self, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.gru = nn.GRU(embed, hidden)

    def last(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.gru(torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False))[1][0]

    def forward(
        self,
        source: Float[Tensor, "source batch embed"],
        target: Float[Tensor, "target batch embed"],
        source_lengths: Int[Tensor, "batch"],
        target_lengths: Int[Tensor, "batch"],
    ) -> Float[Tensor, "batch hidden"]:
        return self.last(source, source_lengths) + self.last(target, target_lengths)


@pytest.mark.parametrize(
    ("model", "options"),
    [(Loss(), {}), (Gaussian(), {}), (Aligned(3, 4), {"padding": "target_lengths"})],
    ids=["classes", "probabilities", "lengths"],
)
def test_numbers_are_what_names_say(model, options):
    fuzz(model, max_examples=30, finite=True, **options)
