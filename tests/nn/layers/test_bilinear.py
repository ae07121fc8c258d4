"""Bilinear."""

import pytest
import torch
from hypothesis import assume, given, strategies as st
from jaxtyping import Float
from torch import Tensor

from dimtyped import DimensionError, dims, nn
from dimtyped.testing import broken_calls, calls
from tests.helpers.drawn_calls import assert_named, assert_torchs, pair
from tests.helpers.layer_cases import SIZES


def pairs(input1: Float[Tensor, "*batch image"], input2: Float[Tensor, "*batch text"]) -> None:
    """What torch's documentation says that it takes."""


@given(st.data(), SIZES, SIZES, SIZES, st.booleans())
def test_a_right_call_is_torchs_bit_for_bit(data, image, text, out, bias):
    ours, theirs = pair("Bilinear", *dims(image=image, text=text), out, bias=bias)
    assert_torchs(ours, theirs, data.draw(calls(pairs, sizes={"image": image, "text": text})))


@given(st.data(), SIZES, SIZES)
def test_what_is_broken_is_named(data, image, text):
    ours, theirs = pair("Bilinear", *dims(image=image, text=text), 3)
    assert_named(ours, theirs, data.draw(broken_calls(ours)), {"image": image, "text": text})


@given(st.data(), SIZES, SIZES)
def test_of_two_batches_the_second_is_refused(data, image, text):
    ours, theirs = pair("Bilinear", image, text, 3)
    sizes = {"image": image, "text": text}
    (input1, _), (_, input2) = (data.draw(calls(pairs, sizes=sizes))[0] for _ in range(2))
    assume(input1.shape[:-1] != input2.shape[:-1])
    with pytest.raises(RuntimeError):
        theirs(input1, input2)
    with pytest.raises(DimensionError, match=r"argument `input2` does not fit: (\*batch is|it has)") as caught:
        ours(input1, input2)
    assert caught.value.argument == "input2"


def test_names():
    image, text = dims(image=5, text=3)
    layer = nn.Bilinear(image, text, 1)
    assert layer._dim_text() == "Bilinear(image=5, text=3, out_features=1)"
    with pytest.raises(DimensionError, match="argument `input2` does not fit: text is 4, must be 3"):
        layer(torch.rand(2, 5), torch.rand(2, 4))


def test_a_scalar_is_caught_by_what_caught_torchs():
    with pytest.raises(IndexError):
        torch.nn.Bilinear(1, 1, 4)(torch.rand(()), torch.rand(()))
    with pytest.raises(IndexError, match="must have at least 1"):
        nn.Bilinear(1, 1, 4)(torch.rand(()), torch.rand(()))
