"""What takes the place of torch's named tensors, as the page on other tools says."""

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import assert_dims, typed, watch
from tests.helpers.calls import ones, refuses

IS_REMOVED = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 13)


@pytest.mark.skipif(not IS_REMOVED, reason="this torch still has named tensors")
def test_torch_has_none():
    uses = (
        lambda: torch.zeros(2, 3, names=("batch", "embed")),
        lambda: ones(2, 3).refine_names("batch", "embed"),
        lambda: ones(2, 3).align_to("embed", "batch"),
        lambda: ones(2, 3).sum("embed"),
        lambda: ones(2, 3).names,
    )
    for use in uses:
        with pytest.raises((TypeError, AttributeError)):
            use()


@typed
def split(x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
    heads: Float[Tensor, "batch heads head"] = x.unflatten(-1, (4, 2))
    return heads.flatten(1)


def test_the_factors_of_an_axis_are_that_axis_again_once_merged():
    with watch() as report:
        split(ones(3, 8))
    assert report.ok, str(report)


@typed
def refined(x: Tensor, y: Float[Tensor, "embed"]) -> Tensor:
    return assert_dims(x, Float[Tensor, "batch embed"])


def test_names_are_given_in_a_body():
    assert refined(ones(2, 3), ones(3)).shape == (2, 3)
    with refuses("embed is 4, must be 3") as caught:
        refined(ones(2, 4), ones(3))
    assert caught.value.bindings["embed"] == 3
