"""Pools: batched or not, and the sizes that a window needs."""

from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st
from jaxtyping import Float32
from torch import Tensor

from dimtyped import DimensionError, nn
from dimtyped.testing import calls, tensors
from tests.helpers.drawn_calls import assert_torchs, pair
from tests.helpers.layer_cases import SIZES, floats

SPACE = {1: "length", 2: "height width", 3: "depth height width"}
WINDOWED = ("MaxPool", "AvgPool", "LPPool")
ADAPTIVE = ("AdaptiveMaxPool", "AdaptiveAvgPool")
each_number_of_axes = pytest.mark.parametrize("axes", [1, 2, 3])
each_pool = pytest.mark.parametrize("kind", [*WINDOWED, *ADAPTIVE])


@given(st.data(), st.sampled_from([*WINDOWED, *ADAPTIVE]), st.sampled_from([1, 2, 3]), st.booleans())
def test_a_right_call_is_torchs_bit_for_bit(data, kind, axes, is_batched):
    if kind in ADAPTIVE:
        arguments: dict[str, Any] = {"output_size": data.draw(st.integers(1, 3))}
    else:
        window = data.draw(st.integers(1, 3))
        arguments = {"kernel_size": window, "stride": data.draw(st.integers(1, 2))}
        arguments |= {"ceil_mode": data.draw(st.booleans())}
        arguments |= {"norm_type": 2.0} if kind == "LPPool" else {"padding": data.draw(st.integers(0, 1)) % window}
    ours, theirs = pair(f"{kind}{axes}d", **arguments)
    sizes = {"batch": data.draw(SIZES), "channels": data.draw(SIZES)}
    space = Float32[Tensor, f"{'batch ' if is_batched else ''}channels {SPACE[axes]}"]
    assert_torchs(ours, theirs, ((data.draw(tensors(space, sizes=sizes, min_side=3)),), {}))


@given(st.data(), st.sampled_from([*WINDOWED, *ADAPTIVE]), st.sampled_from([1, 2, 3]))
def test_a_call_made_for_the_layer_is_torchs_bit_for_bit(data, kind, axes):
    ours, theirs = pair(f"{kind}{axes}d", *{"LPPool": (2, 2)}.get(kind, (2,)))
    assert_torchs(ours, theirs, data.draw(calls(ours)))


@each_pool
@each_number_of_axes
def test_more_or_fewer_axes_are_caught_by_what_caught_torchs(kind, axes):
    arguments = {"LPPool": (2, 3)}.get(kind, (3,))
    for shape in [(6,) * (axes + 3), (6,) * axes]:
        with pytest.raises(Exception) as theirs:  # noqa: PT011  # of whatever kind
            getattr(torch.nn, f"{kind}{axes}d")(*arguments)(floats(*shape))
        with pytest.raises(DimensionError, match=f"it has {len(shape)} .*, must have {axes + 1} or {axes + 2}") as ours:
            getattr(nn, f"{kind}{axes}d")(*arguments)(floats(*shape))
        assert isinstance(ours.value, theirs.type)


@pytest.mark.parametrize("kind", WINDOWED)
@each_number_of_axes
def test_a_space_too_small_for_the_window_is_named_with_the_least_size(kind, axes):
    names = SPACE[axes].split()
    arguments = {"LPPool": (2, 3)}.get(kind, (3,))
    for index, name in enumerate(names):
        space = [4] * axes
        space[index] = 2
        inputs = floats(2, 3, *space)
        with pytest.raises(RuntimeError):
            getattr(torch.nn, f"{kind}{axes}d")(*arguments)(inputs)
        with pytest.raises(DimensionError, match=f"{name} is 2, must be at least 3") as caught:
            getattr(nn, f"{kind}{axes}d")(*arguments)(inputs)
        assert (caught.value.argument, caught.value.dim) == ("input", name)


def test_padding_and_dilation_count():
    assert nn.MaxPool1d(3, padding=1)(floats(2, 3, 1)).shape == (2, 3, 1)
    with pytest.raises(DimensionError, match="length is 4, must be at least 5"):
        nn.MaxPool1d(3, dilation=2)(floats(2, 3, 4))


@each_pool
def test_no_channels_and_no_space_are_named(kind):
    arguments = {"LPPool": (2, 3)}.get(kind, (2,))
    channels = (
        [((2, 0, 6, 6), "channels"), ((0, 6, 6), "channels")] if kind in WINDOWED else []
    )  # a mean of none is none
    for shape, name in [((2, 3, 0, 6), "height"), *channels]:
        with pytest.raises(RuntimeError):
            getattr(torch.nn, f"{kind}2d")(*arguments)(floats(*shape))
        with pytest.raises(DimensionError, match=f"{name} is 0, must be at least"):
            getattr(nn, f"{kind}2d")(*arguments)(floats(*shape))


@each_pool
def test_an_empty_batch_is_accepted(kind):
    arguments = {"LPPool": (2, 3)}.get(kind, (2,))
    ours, theirs = (getattr(namespace, f"{kind}2d")(*arguments)(floats(0, 3, 6, 6)) for namespace in (nn, torch.nn))
    assert ours.shape == theirs.shape


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("options", [{"output_size": 2}, {"output_ratio": 0.5}], ids=str)
class TestFractional:
    def test_is_torchs_bit_for_bit(self, axes, options):
        inputs, results = floats(2, 3, *(6,) * axes), []
        for namespace in (nn, torch.nn):
            torch.manual_seed(0)
            results.append(getattr(namespace, f"FractionalMaxPool{axes}d")(2, **options)(inputs))
        assert torch.equal(*results)

    def test_a_space_from_which_no_window_can_be_drawn(self, axes, options):
        kind, inputs = f"FractionalMaxPool{axes}d", floats(2, 3, *(6,) * (axes - 1), 1)
        if (
            kind == "FractionalMaxPool2d" and "output_ratio" in options
        ):  # half of 1 is nothing, which torch draws from it
            assert getattr(nn, kind)(2, **options)(inputs).shape == (2, 3, 3, 0)
            return
        with pytest.raises(RuntimeError, match="too large relative to input"):
            getattr(torch.nn, kind)(2, **options)(inputs)
        with pytest.raises(DimensionError, match="width is 1, must be at least"):
            getattr(nn, kind)(2, **options)(inputs)


class TestToOneValue:
    """Torch takes an adaptive mean to one value as a mean over the last axes, whatever stands before them."""

    @pytest.mark.parametrize(("size", "shape"), [(1, (4, 5)), (1, (2, 3, 4, 5, 6)), ((1, 1), (2, 3, 4, 5, 6))], ids=str)
    def test_any_number_of_axes(self, size, shape):
        assert torch.equal(*(namespace.AdaptiveAvgPool2d(size)(floats(*shape)) for namespace in (nn, torch.nn)))

    @pytest.mark.parametrize(
        ("size", "shape"), [(2, (2, 3, 4, 5, 6)), (1, (5,)), ((1, 1), (4, 5)), ([1, 1], (5,))], ids=str
    )
    def test_not_where_torch_refuses(self, size, shape):
        with pytest.raises((RuntimeError, ValueError, IndexError)):
            torch.nn.AdaptiveAvgPool2d(size)(floats(*shape))
        with pytest.raises(DimensionError, match="must have 3 or 4"):
            nn.AdaptiveAvgPool2d(size)(floats(*shape))


@each_number_of_axes
class TestUnpooling:
    def test_is_torchs_bit_for_bit(self, axes):
        values, indices = getattr(nn, f"MaxPool{axes}d")(2, return_indices=True)(floats(2, 3, *(4,) * axes))
        ours, theirs = (getattr(namespace, f"MaxUnpool{axes}d")(2) for namespace in (nn, torch.nn))
        assert torch.equal(ours(values, indices), theirs(values, indices))
        size = [5] * axes
        assert torch.equal(ours(values, indices, output_size=size), theirs(values, indices, output_size=size))
        assert ours(values[0], indices[0]).shape == (3, *(4,) * axes)

    def test_indices_of_another_shape_or_dtype(self, axes):
        values, indices = getattr(nn, f"MaxPool{axes}d")(2, return_indices=True)(floats(2, 3, *(4,) * axes))
        with pytest.raises(DimensionError, match="argument `indices` does not fit"):
            getattr(nn, f"MaxUnpool{axes}d")(2)(values, indices[:1])
        with pytest.raises(RuntimeError, match="int64"):
            getattr(torch.nn, f"MaxUnpool{axes}d")(2)(values, indices.int())
        with pytest.raises(DimensionError, match=r"its dtype is int32, must be int64"):
            getattr(nn, f"MaxUnpool{axes}d")(2)(values, indices.int())
