"""`typed` on a class that is no `dimtyped.nn.Module`, or on its `forward`: the sizes that it declares have names."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import dimtyped
from dimtyped import DeclarationError, Dim, DimensionError, DimSize, nn, typed


class Base(torch.nn.Module):
    """Stands for what a framework gives: a LightningModule, a PreTrainedModel."""


@typed
class Whole(Base):
    def __init__(self, hidden: DimSize, classes: DimSize = 3) -> None:
        super().__init__()
        self.hidden = hidden
        self.out = nn.Linear(hidden, classes)
        self.plain = torch.nn.Linear(hidden, classes)

    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
        return self.out(x)


class ByForward(Base):
    @typed
    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
        return self.out(x)

    def __init__(self, hidden: DimSize, classes: DimSize = 3) -> None:
        super().__init__()
        self.hidden = hidden
        self.out = nn.Linear(hidden, classes)
        self.plain = torch.nn.Linear(hidden, classes)


class Heir(ByForward):
    pass


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


@pytest.mark.parametrize("cls", [Whole, ByForward, Heir])
class TestItsNames:
    def test_a_declared_name_means_its_size(self, cls: type[Whole]) -> None:
        for model in (cls(4), cls(hidden=4, classes=3), copy.deepcopy(cls(4)), pickle.loads(pickle.dumps(cls(4)))):
            assert model(ones(2, 4)).shape == (2, 3)
            for _ in range(2):
                with pytest.raises(DimensionError, match="hidden is 5, must be 4"):
                    model(ones(2, 5))
        assert "(out): Linear(hidden=4 -> classes=3" in repr(cls(4))

    def test_its_sizes_are_plain_ints_afterwards(self, cls: type[Whole]) -> None:
        model = cls(4)
        assert type(model.hidden) is type(model.plain.in_features) is int
        model.out.forward = lambda x: ones(2, 5)
        with pytest.raises(DimensionError, match="classes is 5, must be 3"):
            model(ones(2, 4))

    def test_compiled(self, cls: type[Whole]) -> None:
        torch.compiler.reset()
        compiled = torch.compile(cls(4), fullgraph=True, backend="eager")
        assert compiled(ones(2, 4)).shape == (2, 3)
        with pytest.raises(Exception, match="hidden is 5, must be 4"):
            compiled(ones(2, 5))

    def test_status(self, cls: type[Whole]) -> None:
        row = dimtyped.status(cls(4)).rows[0]
        assert (row.state, row.why, row.methods) == ("checked", "", ("forward",))
        assert not [name for name in vars(cls) if name.startswith("_dim_c")]

    def test_a_size_that_is_none(self, cls: type[Whole]) -> None:
        with pytest.raises((DeclarationError, DimensionError), match="hidden"):
            cls("4")


def test_a_name_from_outside() -> None:
    assert Whole(Dim("width", 4))(ones(2, 4)).shape == (2, 3)


def test_a_class_that_is_no_module_stays_as_it_is() -> None:
    class Other:
        def __init__(self, hidden: DimSize) -> None:
            self.hidden = hidden

        @typed
        def forward(self, x: Float[Tensor, "batch hidden"]) -> Tensor:
            return x

    assert type(Other(4).hidden) is int
    assert Other(4).forward(ones(2, 5)).shape == (2, 5)
    assert not [name for name in vars(Other) if name.startswith("_dim_c")]


class Theirs(Base):
    def __init__(self, hidden: DimSize) -> None:
        super().__init__()
        self.out = nn.Linear(hidden, 3)

    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
        return self.out(x)


class Mixed(Theirs, nn.Module):
    pass


def test_a_module_of_ours_inherits_a_constructor_with_sizes() -> None:
    assert Mixed(4)(ones(2, 4)).shape == (2, 3)
    with pytest.raises(DimensionError, match="Theirs.forward: argument `x` does not fit: hidden is 5, must be 4"):
        Mixed(4)(ones(2, 5))
    assert "hidden=4" in repr(Mixed(4))
    assert "hidden" not in repr(Theirs(4))


def test_status_says_what_to_write() -> None:
    row = dimtyped.status(Theirs(4)).rows[0]
    assert (row.state, row.why) == (
        "skipped",
        "forward is annotated, but Theirs is not a dimtyped.nn.Module: derive it from dimtyped.nn.Module, or decorate "
        "the class with @dimtyped.typed",
    )


@pytest.mark.parametrize("mode", ["reference", "off"])
def test_in_other_modes(mode: str) -> None:
    source = """
from dimtyped import DimensionError
from tests.engine.test_modules_of_others import ByForward, Whole, ones
for cls in (Whole, ByForward):
    try:
        cls(4)(ones(2, 5))
    except DimensionError as error:
        print(error.dim)
    except RuntimeError:
        print("torch")
    print(cls(4)(ones(2, 4)).shape[1])
"""
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, env=os.environ | {"DIMTYPED": mode}
    )
    first = "hidden" if mode == "reference" else "torch"
    assert done.stdout.split() == [first, "3", first, "3"]
