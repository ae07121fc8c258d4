"""What a decoration keeps: Python's garbage collector goes through it again and again where there are thousands."""

from __future__ import annotations

import gc

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import typed

pytestmark = pytest.mark.any_engine


def make():
    def scaled(x: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch seq"]:
        return 2 * x

    return scaled


def test_a_decoration_keeps_few_objects_until_the_first_call():
    typed(make())(torch.ones(2, 3))
    functions = [make() for _ in range(100)]
    gc.collect()
    gc.freeze()
    try:
        checked = [typed(function) for function in functions]
        gc.collect()
        kept = len(gc.get_objects()) / len(checked)
    finally:
        gc.unfreeze()
    assert kept < 15
    assert torch.equal(checked[0](torch.ones(2, 3)), 2 * torch.ones(2, 3))
