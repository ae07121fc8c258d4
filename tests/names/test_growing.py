"""What is declared after a child is added is the same whether the others are read again or not."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import example, given, strategies as st
from jaxtyping import Float
from torch import Tensor

from dimtyped import DeclarationError, Dim, DimSize, nn, typed
from dimtyped.names import Claims, changes, held_scope

pytestmark = [pytest.mark.any_engine, pytest.mark.filterwarnings("ignore::dimtyped.DimensionWarning")]

NAMES = {"a": 2, "b": 4, "2*a": 4}


class Block(nn.Module):
    def __init__(self, name: str, size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(Dim(name, size), 3) if name.isidentifier() else nn.Linear(2 * Dim("a", 2), 3)

    def forward(self, x: Float[Tensor, "batch a"]) -> Float[Tensor, "batch b"]:
        return x


class TypedByHand(torch.nn.Module):
    def __init__(self, name: str, size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(Dim("a" if name == "2*a" else name, size), 3)

    @typed
    def forward(self, x: Float[Tensor, "batch a"]) -> Tensor:
        return x


class Model(nn.Module):
    def __init__(self, a: DimSize, history: list[Change], said: list[Any]) -> None:
        super().__init__()
        self.list = nn.ModuleList()
        self.chain = nn.Sequential()
        self.dict = nn.ModuleDict()
        self.other: Any = Beside()
        said.extend(outcome(self, change) for change in history)

    def forward(self, x: Float[Tensor, "batch a"], y: Float[Tensor, "batch b"]) -> Tensor:
        return x


class Beside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.list = nn.ModuleList()


Change = tuple[str, str, str, str, int]


def made(kind: str, name: str, size: int) -> Any:
    dim = 2 * Dim("a", size // 2) if name == "2*a" else Dim(name, size)
    kinds: dict[str, Callable[[], Any]] = {
        "layer": lambda: nn.Linear(dim, 3),
        "plain layer": lambda: torch.nn.Linear(size, 3),
        "block": lambda: Block(name, size),
        "typed by hand": lambda: TypedByHand(name, size),
        "list": lambda: nn.ModuleList([nn.Linear(dim, 3), Block(name, size)]),
        "chain": lambda: nn.Sequential(nn.Linear(3, dim), nn.ReLU()),
        "torch's list": lambda: torch.nn.ModuleList([nn.Linear(dim, 3), Block(name, size)]),
        "nothing": lambda: None,
        "dim": lambda: dim,
    }
    return kinds[kind]()


def replace_first(model: Any, child: Any) -> None:
    if len(model.list):
        model.list[0] = child


def delete_last(model: Any, child: Any) -> None:
    if len(model.list):
        del model.list[-1]


def grow_first(model: Any, child: Any) -> None:
    """A child of a child changes."""
    first = next(iter(model.list), None)
    if isinstance(first, nn.ModuleList):
        first.append(child)
    elif isinstance(first, torch.nn.Module):
        setattr(first, "added", child)  # noqa: B010


def append_untold(model: Any, child: Any) -> None:
    if not hasattr(model, "torchs"):
        model.torchs = torch.nn.ModuleList()
    model.torchs.append(child)


def move(model: Any, child: Any) -> None:
    model.other.list.append(model.list)


WAYS: dict[str, Callable[[Any, Any], object]] = {
    "append": lambda model, child: model.list.append(child),
    "insert": lambda model, child: model.list.insert(0, child),
    "extend": lambda model, child: model.list.extend([child, child]),
    "replace": replace_first,
    "delete": delete_last,
    "chain": lambda model, child: model.chain.append(child),
    "key": lambda model, child: model.dict.update({f"key{len(model.dict)}": child}),
    "new key": lambda model, child: model.dict.add_module(f"key{len(model.dict)}", child),
    "torch's list": append_untold,
    "attribute": lambda model, child: setattr(model, f"new{len(model._modules)}", child),
    "same attribute": lambda model, child: setattr(model, "same", child),
    "no attribute": lambda model, child: delattr(model, "same"),
    "add_module": lambda model, child: model.add_module(f"new{len(model._modules)}", child),
    "within": grow_first,
    "beside": lambda model, child: model.other.list.append(child),
    "share": move,
}
COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}
KINDS = ["layer", "plain layer", "block", "typed by hand", "list", "chain", "torch's list", "nothing", "dim"]
ONE_CHANGE = st.tuples(
    st.sampled_from(["append", *WAYS]),
    st.sampled_from(["layer", *KINDS]),
    st.sampled_from(["a", "b", "2*a"]),
    st.sampled_from(["", "", "", "", *COPIES]),
    st.sampled_from([0, 0, 0, 2]),
)


def declared(model: Any) -> Any:
    scope = held_scope(model)
    return (
        scope.scope_key,
        scope.sizes,
        scope.names,
        [(claim.owner, claim.name, claim.size, claim.rank) for claim in scope.claims],
        sorted({(claim.owner, claim.name, claim.size) for claim in scope.inherited}),
        [(claim.owner, claim.name, claim.size, claim.rank) for claim in scope.deciding],
        len(scope.watched or ()),
    )


def outcome(model: Any, change: Change) -> Any:
    """What the model declares after the change, and what its parts do; or the error."""
    way, kind, name, _, more = change
    try:
        WAYS[way](model, made(kind, name, NAMES[name] + more))
    except (DeclarationError, AttributeError, KeyError, TypeError) as error:
        return type(error), str(error), declared(model)
    return (
        declared(model),
        declared(model.other),
        [declared(child) for child in model.list if isinstance(child, nn.Module)],
    )


def run(within: list[Change], after: list[Change]) -> list[Any]:
    """What is declared after each change, within the constructor and after it."""
    said: list[Any] = []
    try:
        model: Any = Model(2, within, said)
    except DeclarationError as error:
        return [*said, str(error)]
    said.append(declared(model))
    kept = [model]  # a container shared with a copy reports to the module that still exists
    for change in after:
        kept.append(COPIES.get(change[3], lambda same: same)(model))
        model = kept[-1]
        said.extend((outcome(model, change), declared(kept[-2])))
        said.extend((called(model), declared(model)))
    return said


def called(model: Any) -> str:
    try:
        model(torch.zeros(1, 2), torch.zeros(1, 4))
    except (DeclarationError, TypeError) as error:
        return str(error)
    return "fits"


def never(*_: Any) -> bool:
    return False  # a mock would keep what it was called with


TOLD_CHANGE = ONE_CHANGE.filter(lambda change: change[0] != "torch's list")
"""While a constructor runs, nobody looks for untold changes; its end does."""


@given(within=st.lists(TOLD_CHANGE, max_size=8), after=st.lists(ONE_CHANGE, max_size=12))
@example(
    within=[],
    after=[("append", "layer", "a", "", 0)] * 3 + [("delete", "layer", "a", "", 0), ("append", "layer", "a", "", 0)],
)
@example(within=[("append", "block", "a", "", 0)] * 3, after=[("append", "block", "a", "deepcopy", 0)] * 2)
@example(
    within=[("append", "layer", "a", "", 0)] * 2,
    after=[("replace", "layer", "a", "", 2), ("append", "layer", "a", "", 0)],
)
@example(
    within=[("same attribute", "layer", "a", "", 0), ("append", "layer", "b", "", 0)],
    after=[("no attribute", "layer", "a", "", 0), ("same attribute", "layer", "b", "", 0)],
)
@example(within=[("append", "layer", "2*a", "", 0)] * 2, after=[("append", "layer", "2*a", "", 2)] * 2)
@example(within=[("append", "layer", "b", "", 0)] * 2, after=[("append", "layer", "b", "", 2)] * 2)
def test_what_a_child_adds_is_what_reading_all_again_says(within: list[Change], after: list[Change]) -> None:
    at_once = run(within, after)
    with (
        mock.patch.object(changes, "_is_free", never),
        mock.patch.object(Claims, "are_followed_by", never),
    ):
        again = run(within, after)
    for one, other in zip(at_once, again, strict=True):
        assert one == other


def test_a_block_appended_where_another_was_taken_out_untold_stands_for_itself() -> None:
    model: Any = Model(2, [], [])
    for name in ("b", "b", "a"):
        model.list.append(Block(name, NAMES[name]))
    model.list._modules.popitem()
    model.list.append(Block("b", 4))
    assert [(claim.owner, claim.name) for claim in held_scope(model).inherited] == [
        (f"list.{n}", "b") for n in range(3)
    ]


def test_two_modules_that_share_a_scope_grow_apart() -> None:
    model: Any = Model(2, [], [])
    model.first = nn.Linear(Dim("a", 2), 3)
    other = copy.copy(model)
    other.__dict__["_modules"] = dict(model._modules)
    for each, names in ((other, ("second", "third")), (model, ("fourth", "fifth"))):
        for name in names:
            setattr(each, name, nn.Linear(Dim("a", 2), 3))
    owners = [[claim.owner for claim in held_scope(each).deciding] for each in (model, other)]
    assert owners == [["first", "fourth", "fifth"], ["first", "second", "third"]]
