"""What several tests here share."""

from typing import TypeVar

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import Dim, DimensionError, DimSize, nn, typed

T = TypeVar("T")


class Head(nn.Module):
    """Declares hidden and classes by its parameters and by its layer."""

    def __init__(self, hidden: DimSize, classes: DimSize):
        super().__init__()
        self.out = nn.Linear(hidden, classes)

    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
        return self.out(x)


class Named(nn.Module):
    """Declares nothing by itself: its annotations use `hidden`."""

    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
        return x


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


def refuses(module, *shape: int, dim: str = "hidden", argument: str = "x") -> DimensionError:
    """The module refuses a tensor of this shape, by this name."""
    with pytest.raises(DimensionError) as caught:
        module(ones(*shape))
    assert (caught.value.dim, caught.value.argument) == (dim, argument)
    return caught.value


class Pair(nn.Module):
    """A parent that uses a name only its children declare."""

    def __init__(self, first: int, second: int):
        super().__init__()
        self.encoder, self.decoder = Head(first, 3), Head(second, 3)

    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
        return self.encoder(x)


class Plain(torch.nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.layer = nn.Linear(Dim("hidden", hidden), 3)

    @typed
    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch out"]:
        return self.layer(x)
