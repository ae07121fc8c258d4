"""`nn.Linear`: what it takes, and by which name it refuses."""

import pytest
import torch
from hypothesis import given, strategies as st
from jaxtyping import Float32
from torch import Tensor

from dimtyped import DimensionError, DimSize, dims, nn
from dimtyped.testing import broken_calls, tensors
from tests.helpers.drawn_calls import assert_named, assert_torchs, pair
from tests.helpers.layer_cases import SIZES, floats


@given(st.data(), SIZES, SIZES, st.booleans(), st.booleans())
def test_takes_any_batch_with_torchs_numbers(data, wide, narrow, bias, named):
    ours, theirs = pair("Linear", *(dims(wide=wide, narrow=narrow) if named else (wide, narrow)), bias=bias)
    batch = data.draw(tensors(Float32[Tensor, "... wide"], sizes={"wide": wide}, allow_empty=True))
    assert_torchs(ours, theirs, ((batch,), {}))
    assert ours(batch).shape == (*batch.shape[:-1], narrow)


@given(st.data(), SIZES, SIZES)
def test_what_is_broken_is_refused_as_what_it_is(data, wide, narrow):
    ours, theirs = pair("Linear", *dims(wide=wide, narrow=narrow))
    assert_named(ours, theirs, data.draw(broken_calls(ours)), {"wide": wide})


@given(st.data(), SIZES, SIZES)
def test_refuses_another_width_by_name(data, wide, narrow):
    layer = nn.Linear(*dims(wide=wide, narrow=narrow))
    broken = data.draw(broken_calls(layer).filter(lambda broken: broken.kind == "size"))
    wrong = broken.args[0].shape[-1]
    with pytest.raises(DimensionError) as caught:
        layer(*broken.args)
    error = caught.value
    assert (broken.argument, broken.dim) == ("input", "wide")
    assert (error.argument, error.dim, error.expected, error.actual) == ("input", "wide", wide, wrong)
    assert f"wide is {wrong}, must be {wide}" in str(error)
    assert f"declared by Linear(wide={wide} -> narrow={narrow})" in str(error)


def test_of_plain_ints_it_calls_its_sizes_by_their_roles():
    with pytest.raises(DimensionError, match="in_features is 5, must be 3") as caught:
        nn.Linear(3, 4)(floats(2, 5))
    assert caught.value.dim == "in_features"
    assert 'input    Shaped[Tensor, "... in_features"]' in str(caught.value)


def test_named_it_shows_the_users_names_in_the_annotation():
    with pytest.raises(DimensionError) as caught:
        nn.Linear(*dims(wide=3, narrow=4))(floats(2, 5))
    assert 'input    Shaped[Tensor, "... wide"]' in str(caught.value)
    assert "in_features" not in str(caught.value)


def test_refuses_a_tensor_without_axes():
    with pytest.raises(DimensionError, match="0 axes"):
        nn.Linear(3, 4)(torch.tensor(1.0))


@pytest.mark.parametrize("value", [None, 3, [1.0, 2.0, 3.0], "text"], ids=repr)
def test_refuses_what_is_no_tensor(value):
    with pytest.raises(DimensionError, match="argument `input` does not fit"):
        nn.Linear(3, 4)(value)


def test_another_dtype_is_refused_as_torch_does():
    with pytest.raises(RuntimeError, match="dtype"):
        torch.nn.Linear(3, 4)(floats(2, 3, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="dtype"):
        nn.Linear(3, 4)(floats(2, 3, dtype=torch.float64))


def test_the_error_is_what_code_around_torch_catches():
    for kind in (RuntimeError, TypeError):
        with pytest.raises(kind):
            nn.Linear(3, 4)(floats(2, 5))


class Deep(nn.Module):
    def __init__(self, hidden: DimSize):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(hidden, hidden)) for _ in range(2)])

    def forward(self, x):
        return self.blocks[1](x)


def test_the_error_names_the_path_in_the_model():
    with pytest.raises(DimensionError) as caught:
        Deep(4)(floats(2, 5))
    assert caught.value.where == "Deep.blocks.1.0"
    assert "declared by Deep.blocks.1.0: Linear(hidden=4 -> hidden=4)" in str(caught.value)


def test_in_a_model_run_by_another_the_path_begins_at_the_outermost():
    class Outer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Deep(4)

        def forward(self, x):
            return self.inner(x)

    with pytest.raises(DimensionError, match=r"^Outer.inner.blocks.1.0: argument `input` does not fit"):
        Outer()(floats(2, 5))


@pytest.mark.parametrize("size", ["in_features", "out_features"])
def test_sizes_changed_by_hand_are_followed(size):
    """Model surgery: `layer.in_features = ...` with a new weight, as pruning does."""
    layer = nn.Linear(*dims(wide=3, narrow=4))
    setattr(layer, size, 2)
    layer.weight = torch.nn.Parameter(floats(layer.out_features, layer.in_features))
    layer.bias = None
    assert layer(floats(5, layer.in_features)).shape == (5, layer.out_features)
