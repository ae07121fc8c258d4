"""Complex and quantized inputs: a typed layer takes those that torch's own takes, and no others."""

from typing import Any

import pytest
import torch
from jaxtyping import Shaped
from torch import Tensor

from dimtyped import DimensionError, nn, typed

COMPLEX = {"dtype": torch.complex64}
TAKEN: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("Linear", (8, 4), COMPLEX),
    ("Conv1d", (8, 4, 1), COMPLEX),
    ("ConvTranspose1d", (8, 4, 1), COMPLEX),
    ("Flatten", (), {}),
    ("L1Loss", (), {}),
]
QUANTISED: list[tuple[str, tuple[Any, ...]]] = [
    ("MaxPool2d", (2,)),
    ("AvgPool2d", (2,)),
    ("AdaptiveAvgPool2d", (2,)),
    ("Upsample", (None, 2)),
    ("PixelShuffle", (1,)),
    ("Flatten", ()),
]
pytestmark = pytest.mark.filterwarnings("ignore:.*quantiz", "ignore:.*qscheme", "ignore:.*[Cc]omplex")


def quantized() -> Tensor:
    return torch.quantize_per_tensor(torch.rand(2, 3, 8, 8), scale=0.1, zero_point=0, dtype=torch.quint8)


@pytest.mark.parametrize(("kind", "arguments", "keywords"), TAKEN, ids=lambda value: str(value))
def test_complex_inputs(kind: str, arguments: tuple[int, ...], keywords: dict[str, Any]) -> None:
    x = torch.randn(2, 8, 8, dtype=torch.complex64)
    inputs = (x, x.conj().resolve_conj()) if kind.endswith("Loss") else (x,)
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(*arguments, **keywords)(*inputs)
    torch.manual_seed(0)
    ours = getattr(nn, kind)(*arguments, **keywords)(*inputs)
    assert ours.dtype == theirs.dtype
    assert torch.equal(ours, theirs)


def test_a_complex_input_of_a_real_layer() -> None:
    with pytest.raises(DimensionError, match="its dtype is complex64, must be float32"):
        nn.Linear(8, 4)(torch.zeros(2, 8, dtype=torch.complex64))


@pytest.mark.parametrize(("kind", "arguments"), QUANTISED, ids=lambda value: str(value))
def test_quantized_inputs(kind: str, arguments: tuple[Any, ...]) -> None:
    x = quantized()
    ours, theirs = getattr(nn, kind)(*arguments)(x), getattr(torch.nn, kind)(*arguments)(x)
    assert ours.is_quantized
    assert torch.equal(ours.int_repr(), theirs.int_repr())


def test_a_quantized_input_of_a_float_layer() -> None:
    with pytest.raises(DimensionError, match="its dtype is quint8, must be float32"):
        nn.Linear(8, 4)(quantized())


def test_a_function_takes_a_quantized_tensor() -> None:
    @typed
    def pooled(x: Shaped[Tensor, "batch channels _ _"]) -> Shaped[Tensor, "batch channels 1 1"]:
        return torch.nn.functional.avg_pool2d(x, 8)

    assert pooled(quantized()).is_quantized
    with pytest.raises(DimensionError, match="it has 3 axes, must have 4"):
        pooled(quantized()[0])
