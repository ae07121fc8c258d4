"""What making, changing and calling a model takes grows with its number of modules, counted in calls of functions."""

import sys

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import Dim, DimSize, nn, retype, typed
from dimtyped.runtime import members_of

WIDTH = 8


class Level(nn.Module):
    def __init__(self, width: DimSize, inner: torch.nn.Module | None = None):
        super().__init__()
        self.inner = inner

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return x if self.inner is None else self.inner(x)


class LevelOfTorch(torch.nn.Module):
    def __init__(self, width: DimSize, inner: torch.nn.Module | None = None):
        super().__init__()
        self.inner = torch.nn.ModuleList([] if inner is None else [inner])

    @typed
    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        for inner in self.inner:
            x = inner(x)
        return x


class LevelWithList(nn.Module):
    def __init__(self, width: DimSize, inner: torch.nn.Module | None = None):
        super().__init__()
        self.inner = torch.nn.ModuleList([] if inner is None else [inner])

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        for inner in self.inner:
            x = inner(x)
        return x


class LevelWithLayer(Level):
    def __init__(self, width: DimSize, inner: torch.nn.Module | None = None):
        super().__init__(width)
        self.inner = nn.Sequential(nn.Linear(width, width), *([] if inner is None else [inner]))


class Appended(nn.Module):
    def __init__(self, width: DimSize, number: int, container: type = nn.ModuleList, kind: type = nn.Linear):
        super().__init__()
        self.layers = container()
        for _ in range(number):
            self.layers.append(kind(width, width) if kind is nn.Linear else kind(width))


class Wide(nn.Module):
    def __init__(self, width: DimSize, number: int):
        super().__init__()
        for index in range(number):
            setattr(self, f"layer{index}", nn.Linear(width, width))


def nested(kind, depth):
    model = None
    for _ in range(depth):
        model = kind(WIDTH, model)
    return model


def calls_in(function) -> int:
    """How many functions run in it, Python's built-in ones too; a generator counts each time that it goes on."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


def growth(prepare) -> float:
    """How many times more functions run for four times the modules, once the first use of each class is over."""
    for depth in (2, 3):
        prepare(depth)()
    few, many = prepare(20), prepare(80)
    return calls_in(many) / calls_in(few)


def constructing(kind):
    return lambda depth: lambda: nested(kind, depth)


def calling(kind):
    def prepare(depth):
        model = nested(kind, depth)
        model(torch.zeros(2, WIDTH))
        return lambda: model(torch.zeros(2, WIDTH))

    return prepare


def plain_layers(depth):
    model = torch.nn.Linear(WIDTH, WIDTH)
    for _ in range(depth):
        model = torch.nn.ModuleDict({"layer": torch.nn.Linear(WIDTH, WIDTH), "inner": model})
    return model


def appending(container, kind=nn.Linear):
    return lambda number: lambda: Appended(WIDTH, number, container, kind)


def appending_later(number):
    model, more = Appended(WIDTH, 1), [nn.Linear(Dim("width", WIDTH), WIDTH) for _ in range(number)]

    def append():
        for layer in more:
            model.layers.append(layer)

    return append


def retyping(depth):
    model = plain_layers(depth)
    return lambda: retype(model)


GROWTH = {
    "nested modules made": (constructing(Level), 5),
    "nested modules called": (calling(Level), 5),
    "nested modules with torch's containers called": (calling(LevelWithList), 5),
    "nested plain modules called": (calling(LevelOfTorch), 5),
    "nested modules with layers made": (constructing(LevelWithLayer), 5),
    "layers appended": (appending(nn.ModuleList), 4.5),
    "layers appended to a chain": (appending(nn.Sequential), 4.5),
    "modules appended": (appending(nn.ModuleList, Level), 4.5),
    "layers appended to a finished module": (appending_later, 5),
    "layers assigned": (lambda number: lambda: Wide(WIDTH, number), 4.5),
    "a nested model retyped": (retyping, 5),
}


@pytest.mark.any_engine
@pytest.mark.parametrize(("prepare", "most"), GROWTH.values(), ids=GROWTH)
def test_four_times_the_modules_take_about_four_times_the_calls(prepare, most):
    assert growth(prepare) < most


def test_members_come_once_and_in_torchs_order():
    shared = torch.nn.Linear(2, 2)
    model = torch.nn.ModuleDict(
        {"a": torch.nn.Sequential(shared, torch.nn.ReLU()), "b": shared, "c": torch.nn.ModuleList()}
    )
    model.register_module("absent", None)
    model["c"].append(model["a"])
    assert [id(each) for each in members_of(model)] == [id(each) for each in model.modules()]
    inner = members_of(model, leave=lambda module: isinstance(module, torch.nn.Sequential))
    assert [type(each).__name__ for each in inner] == ["ModuleDict", "Linear", "ModuleList"]


def test_an_appended_layer_declares_its_names_as_a_list_does():
    class Grown(nn.Module):
        def __init__(self, width: DimSize, out: DimSize):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(width, width)])
            self.blocks = nn.ModuleList()
            self.blocks.append(nn.Sequential(nn.Linear(width, out)))
            self.blocks[0].append(nn.Linear(out, width))

        def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
            return self.blocks[0](x)

    model = Grown(4, 6)
    assert model(torch.zeros(2, 4)).shape == (2, 4)
    with pytest.raises(TypeError, match="width is 5, must be 4"):
        model(torch.zeros(2, 5))
    claims = {(claim.owner, claim.name) for claim in model._dim_scope.claims}
    assert {("blocks.0.0", "out"), ("blocks.0.1", "width"), ("layers.0", "width")} <= claims
