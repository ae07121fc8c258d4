"""An axis that is several sizes fits none: the declaration is wrong, and the error says what to write."""

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import DeclarationError, nn, typed
from dimtyped.runtime import mode


@pytest.mark.parametrize("shape", [(3, 4), [3, 4], torch.Size([3, 4])], ids=lambda shape: type(shape).__name__)
def test_a_tuple_that_is_read(shape):
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.shape = shape

        def forward(self, x: Float[Tensor, "batch {self.shape}"]): ...

    ours = r"the axis `\{self.shape\}` is .*, and an axis has one size"
    by_jaxtyping = mode() == "reference" and isinstance(shape, torch.Size)  # which reads `torch.Size` as two names
    with pytest.raises(DeclarationError, match="symbolic axis" if by_jaxtyping else ours) as caught:
        Reader()(torch.ones(2, 3))
    assert by_jaxtyping or caught.value.hint.startswith("write one axis for each, `{self.shape[0]} {self.shape[1]}`")


def test_it_is_told_whatever_the_number_of_axes():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.shape = (3, 4)

        def forward(self, x: Float[Tensor, "batch {self.shape}"]): ...

    with pytest.raises(
        DeclarationError, match=r"the axis `\{self.shape\}` is \(3, 4\), and an axis has one size"
    ) as caught:
        Reader()(torch.ones(2, 3, 4))
    assert caught.value.where == "Reader.forward"


def test_one_axis_for_each_fits():
    @typed
    def f(shape: tuple[int, int], x: Float[Tensor, "batch {shape[0]} {shape[1]}"]): ...

    f((3, 4), torch.ones(2, 3, 4))


def test_a_star_in_braces():
    @typed
    def f(size: tuple[int, int], x: Float[Tensor, "batch {*size}"]): ...

    with pytest.raises(DeclarationError, match="has several sizes, and an axis has one size") as caught:
        f((3, 4), torch.ones(2, 3, 4))
    assert "`{size[0]} {size[1]}`" in caught.value.hint
