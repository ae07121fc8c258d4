"""Packages that jaxtyping's own import hook decorates, and functions that `jaxtyped` has wrapped by hand."""

import importlib
import sys

import jaxtyping
import pytest
import torch
from beartype import beartype
from jaxtyping import Float, jaxtyped
from torch import Tensor

from dimtyped import DimensionError, typed

SOURCE = """
from dataclasses import dataclass
import torch
from torch import Tensor
from jaxtyping import Float
from dimtyped import DimSize, nn, typed

class Block(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.up = nn.Linear(embed, 2 * embed)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq 2*embed"]:
        return self.up(x)

    def halve(self, x: Float[Tensor, "batch seq 2*embed"]) -> Float[Tensor, "batch seq embed"]:
        return x[..., : x.shape[-1] // 2]

    def ask(self, x: Float[Tensor, "batch width"]):
        return isinstance(x[:, 0], Float[Tensor, "batch"]), isinstance(x[0], Float[Tensor, "batch"])

@typed
def double(x: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch 2*seq"]:
    return torch.cat([x, x], 1)

@typed
@dataclass
class Pair:
    x: Float[Tensor, "batch"]
    y: Float[Tensor, "2*batch"]

def theirs(x: Float[Tensor, "batch"], y: Float[Tensor, "batch"]):
    return x + y
"""


@pytest.fixture(params=["beartype.beartype", None], ids=["beartype", "no type checker"])
def package(tmp_path, monkeypatch, request):
    name = f"hooked_{'by' if request.param else 'without'}_checker"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    with jaxtyping.install_import_hook(name, request.param):
        yield importlib.import_module(name)
    sys.modules.pop(name)


X = torch.ones(2, 3, 4)


def test_declared_names_are_known(package):
    block = package.Block(4)
    assert block(X).shape == (2, 3, 8)
    assert block.halve(block(X)).shape == X.shape
    for wrong in (lambda: block(X[..., :3]), lambda: block.halve(X)):
        with pytest.raises(DimensionError, match="embed"):
            wrong()


def test_functions_and_dataclasses(package):
    assert package.double(torch.ones(2, 3)).shape == (2, 6)
    package.Pair(torch.ones(2), torch.ones(4))
    with pytest.raises(DimensionError):
        package.double(torch.ones(2))
    with pytest.raises(TypeError):
        package.Pair(torch.ones(2), torch.ones(3))


def test_a_body_that_asks_keeps_the_names_of_the_call(package):
    assert package.Block(4).ask(torch.ones(2, 3)) == (True, False)


@pytest.mark.any_engine
def test_a_checked_function_is_not_checked_twice(package):
    assert (
        package.Block.forward.__wrapped__.__globals__["__name__"] == package.__name__ or "without" in package.__name__
    )


@pytest.mark.any_engine
def test_what_is_checked_here_can_be_compiled(package):
    if "without" in package.__name__:
        pytest.skip("the hook's own context stays around the body, which no trace can follow")
    compiled = torch.compile(package.Block(4), fullgraph=True, backend="eager")
    assert compiled(X).shape == (2, 3, 8)


def test_other_functions_are_left_to_the_hook():
    @jaxtyped(typechecker=beartype)
    def theirs(x: Float[Tensor, "batch"], y: Float[Tensor, "batch"]):
        return x + y

    with pytest.raises(jaxtyping.TypeCheckError):
        theirs(torch.ones(2), torch.ones(3))


@pytest.mark.parametrize("style", ["new", "old"])
@pytest.mark.filterwarnings("ignore:As of jaxtyping:UserWarning")
def test_jaxtyped_below_typed_does_not_check(style):
    def add(x: Float[Tensor, "batch"], y: Float[Tensor, "2*batch-batch"]) -> Float[Tensor, "batch"]:
        return x + y

    wrapped = jaxtyped(typechecker=beartype)(add) if style == "new" else jaxtyped(beartype(add))
    checked = typed(wrapped)
    assert checked.__wrapped__ is add
    assert checked(torch.ones(2), torch.ones(2)).shape == (2,)
    with pytest.raises(DimensionError):
        checked(torch.ones(2), torch.ones(3))
