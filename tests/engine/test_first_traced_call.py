"""First calls inside a trace."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from dimtyped import Dim, DimensionError, typed
from dimtyped.runtime import config as _config
from tests.engine.compile_cases import (
    ones,
    optional,
)


def block(decorate: Any) -> type[torch.nn.Module]:
    class Block(torch.nn.Module):
        def __init__(self, n: Dim):
            super().__init__()
            self.n = n
            self.weight = torch.nn.Parameter(torch.ones(int(n)))

        @decorate
        def forward(self, x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
            return x * self.weight

    return Block


@pytest.mark.parametrize("warm", [False, True])
def test_a_model_compiled_block_by_block_compiles_once(warm):
    counter = CompileCounter()
    made = block(typed)
    if warm:
        made(Dim("n", 3))(ones(2, 3))
    blocks = [made(Dim("n", 4)) for _ in range(12)]
    for each in (*blocks, *blocks):
        torch.compile(each, backend=counter, fullgraph=True)(ones(2, 4))
    assert counter.frame_count == 1


def test_many_functions_compiled_before_their_first_call_stay_apart():
    def make(factor: int) -> Any:
        @typed
        def times(x: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
            return x * factor

        return times

    results = [torch.compile(make(i), backend="eager", fullgraph=True)(ones(2))[0].item() for i in range(12)]
    assert results == list(range(12))


@pytest.mark.skipif(
    _config.mode() == "reference", reason="its wrapper takes *args: TorchDynamo tells calls apart by them"
)
def test_a_default_left_out_or_given_compiles_once():
    checked = typed(optional)
    checked(ones(2, 3))
    counter = CompileCounter()
    compiled = torch.compile(checked, backend=counter, fullgraph=True)
    compiled(ones(2, 3)), compiled(ones(2, 3), None), compiled(ones(2, 3), mask=None)
    assert counter.frame_count == 1


def test_a_name_that_the_module_declares_is_checked_in_its_first_compiled_call():
    with pytest.raises(DimensionError, match=r"n is 5, must be 4(.|\n)*declared by Block\.n"):
        torch.compile(block(typed)(Dim("n", 4)), backend="eager", fullgraph=True)(ones(2, 5))


def test_importing_and_calling_need_no_torchdynamo():
    code = """
import sys, torch, dimtyped
from jaxtyping import Float
@dimtyped.typed
def f(x: Float[torch.Tensor, "n"]) -> Float[torch.Tensor, "n"]: return x
f(torch.ones(2))
print([name for name in sys.modules if name.startswith("torch._dynamo")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
