"""Torch's own layers keep no Dim once the module that they are in is made, wherever and whenever they are added."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given, strategies as st

from dimtyped import Dim, DimSize, nn

pytestmark = pytest.mark.any_engine


class Holder(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.within = torch.nn.ModuleList()


class Inner(nn.Module):
    def __init__(self, width: DimSize, below: torch.nn.Module | None = None) -> None:
        super().__init__()
        self.first = torch.nn.Linear(width, 3)
        self.typed_list = nn.ModuleList()
        self.torchs_list = torch.nn.ModuleList()
        self.holder = Holder()
        self.below = below


class Typed(nn.Module):
    def __init__(self, width: DimSize, below: torch.nn.Module | None = None) -> None:
        super().__init__()
        self.typed_list = nn.ModuleList([nn.ReLU()])
        self.below = below


WAYS: dict[str, Callable[[torch.nn.Module, torch.nn.Module], object]] = {
    "an attribute": lambda module, layer: setattr(module, "added", layer),
    "add_module": lambda module, layer: module.add_module("other", layer),
    "a list": lambda module, layer: module.typed_list.append(layer),
    "the start of a list": lambda module, layer: module.typed_list.insert(0, layer),
    "a list of lists": lambda module, layer: module.typed_list.append(nn.ModuleList([nn.ModuleList([layer])])),
    "a list in a list": lambda module, layer: (
        module.typed_list.append(nn.ModuleList()),
        module.typed_list[-1].append(layer),
    ),
    "torch's list": lambda module, layer: module.torchs_list.append(layer),
    "the start of torch's list": lambda module, layer: module.torchs_list.insert(0, layer),
    "a new list of torch's": lambda module, layer: (
        setattr(module, "new", torch.nn.Sequential()),
        module.new.append(layer),
    ),
    "a module by others": lambda module, layer: setattr(module.holder, "added", layer),
    "a list in one": lambda module, layer: module.holder.within.append(layer),
}
OF_TYPED = ("an attribute", "add_module", "a list", "the start of a list", "a list in a list", "a new list of torch's")
LAYERS = {
    "linear": lambda width: torch.nn.Linear(width, 2),
    "convolution": lambda width: torch.nn.Conv1d(1, 1, width),
    "in another": lambda width: torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(width, 2)),
}


def stored_dims(model: torch.nn.Module) -> list[str]:
    """The attributes in a model that hold a Dim."""
    return [
        f"{path}.{name}"
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if any(isinstance(each, Dim) for each in (value if isinstance(value, tuple) else (value,)))
    ]


def deepest(model: torch.nn.Module, depth: int) -> torch.nn.Module:
    for _ in range(depth):
        model = model.below if model.below is not None else model
    return model


@given(
    changes=st.lists(st.tuples(st.sampled_from(sorted(WAYS)), st.sampled_from(sorted(LAYERS)), st.integers(0, 3))),
    is_typed=st.booleans(),
    is_within=st.booleans(),
)
@example(changes=[("an attribute", "linear", 1)], is_typed=True, is_within=True)
@example(changes=[("an attribute", "linear", 0)], is_typed=True, is_within=False)
@example(changes=[("a new list of torch's", "linear", 3)], is_typed=True, is_within=True)
@example(changes=[("the start of torch's list", "linear", 3)], is_typed=False, is_within=True)
def test_no_layer_of_torchs_keeps_a_dim(changes: list[tuple[str, str, int]], is_typed: bool, is_within: bool) -> None:
    kind = Typed if is_typed else Inner

    def change(model: torch.nn.Module, width: int) -> None:
        for way, layer, depth in changes:
            if not is_typed or way in OF_TYPED:
                WAYS[way](deepest(model, depth), LAYERS[layer](width))

    class Outer(nn.Module):
        def __init__(self, width: DimSize) -> None:
            super().__init__()
            self.below = kind(width, kind(width, kind(width)))
            if is_within:
                change(self.below, width)

    outer = Outer(4)
    if not is_within:
        change(outer.below, Dim("width", 4))
    told = [
        path
        for path in stored_dims(outer)
        if is_within or not any(word in path for word in ("torchs", "holder", "new"))
    ]
    assert told == []


def test_a_layer_keeps_its_dim_while_a_constructor_above_runs() -> None:
    class Outer(nn.Module):
        def __init__(self, width: DimSize) -> None:
            super().__init__()
            self.inner = Typed(width)
            self.inner.head = torch.nn.Linear(width, 3)
            self.after = nn.Linear(self.inner.head.in_features, 5)

    outer = Outer(4)
    assert repr(outer.after).startswith("Linear(width=4")
    assert type(outer.inner.head.in_features) is int


def test_a_copy_is_looked_at_anew() -> None:
    class Outer(nn.Module):
        def __init__(self, width: DimSize, inner: Typed) -> None:
            super().__init__()
            self.inner = copy.deepcopy(inner)
            self.inner.head = torch.nn.Linear(width, 3)

    assert stored_dims(Outer(4, Typed(4))) == []
