"""Bilinear."""

import pytest
import torch
from hypothesis import given, strategies as st
from named_calls import SIZES, Call, assert_accepted, assert_refused, broken

from dimtyped import DimensionError, dims, nn


@st.composite
def bilinear_calls(draw: st.DrawFn) -> Call:
    sizes = {name: draw(SIZES) for name in ("batch", "seq", "in1_features", "in2_features", "out_features")}
    leading = " ".join(["batch", "seq"][: draw(st.integers(0, 2))])
    shapes = {"input1": f"{leading} in1_features", "input2": f"{leading} in2_features"}
    widths = ("in1_features", "in2_features", "out_features")
    arguments = {name: sizes[name] for name in widths} | {"bias": draw(st.booleans())}
    return Call("Bilinear", arguments, sizes, shapes, widths)


@given(bilinear_calls(), st.data())
def test_a_right_call_is_accepted_and_one_broken_size_is_named(call, data):
    assert_accepted(call)
    place, size = data.draw(broken(call))
    if place.name in call.declared:
        assert_refused(call, place, size)
    else:
        with pytest.raises(DimensionError, match=r"argument `input2` does not fit: \*batch is"):
            call.typed()(**call.inputs(place, size))


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
