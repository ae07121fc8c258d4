"""Sequential: sizes that do not chain are refused when it is made or changed, and a right one never is."""

from __future__ import annotations

import copy
import functools
import itertools
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import example, given, strategies as st

from dimtyped import DeclarationError, Dim, dims, nn

REFUSED = r"takes in_features=30, but layer .* gives \w+=20"


def first() -> nn.Linear:
    return nn.Linear(10, 20)


def second() -> nn.Linear:
    return nn.Linear(30, 5)


# Refused --------------------------------------------------------------------------------------------------------------


def test_two_layers_that_do_not_chain() -> None:
    """D3: torch is silent until the first forward."""
    torch.nn.Sequential(torch.nn.Linear(10, 20), torch.nn.Linear(30, 5))
    with pytest.raises(DeclarationError) as info:
        nn.Sequential(first(), nn.ReLU(), second())
    error = info.value
    assert str(error) == (
        "Sequential: layer 2 takes in_features=30, but layer 0 gives out_features=20\n"
        "    0: Linear(in_features=10, out_features=20, bias=True)\n"
        "    2: Linear(in_features=30, out_features=5, bias=True)\n\n"
        "  Give both the same size, or put `nn.Linear(20, 30)` between them."
    )
    assert (error.where, error.argument, error.dim) == ("Sequential", "2", "in_features")
    assert (error.expected, error.actual) == (20, 30)


def test_a_doubled_width_by_name() -> None:
    """E2."""
    (embed,) = dims(embed=256)
    with pytest.raises(DeclarationError, match=r"layer 1 takes embed=256, but layer 0 gives 2\*embed=512"):
        nn.Sequential(nn.Linear(embed, 2 * embed), nn.Linear(embed, embed))


KEEPING: dict[str, Callable[[], torch.nn.Module]] = {
    "ReLU": nn.ReLU,
    "Dropout": nn.Dropout,
    "Softmax": lambda: nn.Softmax(-1),
    "PReLU": nn.PReLU,
    "LayerNorm": lambda: nn.LayerNorm(20),
    "BatchNorm1d": lambda: nn.BatchNorm1d(20),
    "Identity": nn.Identity,
    "inner": lambda: nn.Sequential(nn.Tanh(), nn.Sequential(nn.GELU())),
    "torch's inner": lambda: torch.nn.Sequential(torch.nn.Tanh()),
    "empty": nn.Sequential,
}


@pytest.mark.parametrize("make", KEEPING.values(), ids=KEEPING)
def test_through_what_keeps_the_width(make: Callable[[], torch.nn.Module]) -> None:
    with pytest.raises(DeclarationError, match=REFUSED):
        nn.Sequential(first(), make(), second())
    nn.Sequential(first(), make(), nn.Linear(20, 5))


PAIRS: dict[str, Callable[[], tuple[torch.nn.Module, ...]]] = {
    "embedding to linear": lambda: (nn.Embedding(10, 4), nn.Linear(5, 2)),
    "embedding to gru": lambda: (nn.Embedding(10, 4), nn.GRU(5, 2)),
    "linear to lstm": lambda: (nn.Linear(3, 4), nn.LSTM(5, 2)),
    "inner to outer": lambda: (nn.Sequential(nn.Linear(3, 4), nn.ReLU()), nn.Linear(5, 2)),
    "outer to inner": lambda: (nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(5, 2))),
    "inner to inner": lambda: (nn.Sequential(nn.Linear(3, 4)), torch.nn.Sequential(nn.Linear(5, 2))),
    "linear to tied decoder": lambda: (nn.Linear(3, 4), nn.TiedDecoder(nn.Embedding(10, 5))),
    "convolutions": lambda: (nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3)),
}


@pytest.mark.parametrize("make", PAIRS.values(), ids=PAIRS)
def test_other_layers(make: Callable[[], tuple[torch.nn.Module, ...]]) -> None:
    with pytest.raises(DeclarationError, match="but layer .* gives"):
        nn.Sequential(*make())


def test_inner_layers_are_named_by_their_path() -> None:
    inner = OrderedDict([("act", nn.ReLU()), ("head", second())])
    with pytest.raises(DeclarationError, match="layer tail.head takes in_features=30, but layer body gives"):
        nn.Sequential(OrderedDict([("body", first()), ("tail", nn.Sequential(inner))]))


def test_a_layer_that_holds_others_is_told_by_its_own_sizes() -> None:
    with pytest.raises(DeclarationError) as info:
        nn.Sequential(nn.TransformerEncoderLayer(4, 2), nn.Linear(5, 2))
    assert "    0: TransformerEncoderLayer(embed=4)\n    1: Linear(in_features=5, " in str(info.value)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "append": lambda seq: seq.append(second()),
    "insert": lambda seq: seq.insert(1, second()),
    "insert at the front": lambda seq: seq.insert(0, second()),
    "extend": lambda seq: seq.extend([nn.ReLU(), second()]),
    "item": lambda seq: seq.__setitem__(0, nn.Linear(10, 30)),
    "last item": lambda seq: seq.__setitem__(-1, second()),
    "slice": lambda seq: seq.__setitem__(slice(0, 1), [second()]),
    "longer slice": lambda seq: seq.__setitem__(slice(1, 1), [nn.ReLU(), second()]),
    "attribute": lambda seq: setattr(seq, "2", second()),
    "add_module": lambda seq: seq.add_module("3", second()),
    "register_module": lambda seq: seq.register_module("3", second()),
    "+": lambda seq: seq + nn.Sequential(second()),
    "+=": lambda seq: seq.__iadd__(nn.Sequential(nn.ReLU(), second())),
    "*": lambda seq: seq * 2,
    "reversed *": lambda seq: 2 * seq,
    "*=": lambda seq: seq.__imul__(2),
    "pop": lambda seq: seq.pop(2),
    "del": lambda seq: seq.__delitem__(slice(1, 3)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_that_is_refused_leaves_it_as_it_was(change: Callable[[Any], Any]) -> None:
    sequential = nn.Sequential(first(), nn.ReLU(), nn.Linear(20, 20), nn.Linear(20, 20))
    if change in (CHANGES["pop"], CHANGES["del"]):
        sequential = nn.Sequential(first(), nn.ReLU(), nn.Linear(20, 30), second())
    before = dict(sequential._modules)
    with pytest.raises(DeclarationError, match="but layer .* gives"):
        change(sequential)
    assert dict(sequential._modules) == before
    assert "_dim_changing" not in sequential.__dict__


def test_an_error_of_torchs_leaves_it_as_it_was() -> None:
    sequential, listed = nn.Sequential(first()), nn.ModuleList([first()])
    with pytest.raises(TypeError, match="is not a Module subclass"):
        sequential.extend([nn.ReLU(), "layer"])  # type: ignore[list-item]  # on purpose
    with pytest.raises(TypeError, match="is not a Module subclass"):
        listed.extend([nn.ReLU(), 3])  # type: ignore[list-item]  # on purpose
    assert len(sequential) == len(listed) == 1


# Never refused --------------------------------------------------------------------------------------------------------


class Residual(nn.Sequential):
    """A Sequential with a call of its own, whose layers need not chain."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([layer(x) for layer in self], dim=-1)


class Narrowing(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]  # as users do
        return super().forward(x)[..., :30]


class HalvingReLU(torch.nn.ReLU):
    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]  # as users do
        return super().forward(x)[..., : x.shape[-1] // 2]


RIGHT: dict[str, tuple[Callable[[], torch.nn.Module], Callable[[], torch.Tensor]]] = {
    "empty": (nn.Sequential, lambda: torch.ones(2)),
    "flatten": (lambda: nn.Sequential(nn.Linear(3, 4), nn.Flatten(), nn.Linear(20, 2)), lambda: torch.ones(2, 5, 3)),
    "unflatten and convolution": (
        lambda: nn.Sequential(
            nn.Linear(3, 32), nn.Unflatten(1, (8, 2, 2)), nn.Conv2d(8, 4, 1), nn.Flatten(), nn.Linear(16, 2)
        ),
        lambda: torch.ones(2, 3),
    ),
    "glu halves": (lambda: nn.Sequential(nn.Linear(3, 8), nn.GLU(), nn.Linear(4, 2)), lambda: torch.ones(2, 3)),
    "pooling of features": (
        lambda: nn.Sequential(nn.Linear(3, 8), nn.MaxPool1d(2), nn.Linear(4, 2)),
        lambda: torch.ones(2, 5, 3),
    ),
    "a convolution over a linear layer's features": (
        lambda: nn.Sequential(nn.Linear(3, 8), nn.Conv1d(5, 6, 1), nn.Linear(8, 2)),
        lambda: torch.ones(2, 5, 3),
    ),
    "a linear layer over an image's width": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 1), nn.Linear(7, 9), nn.Conv2d(4, 2, 1)),
        lambda: torch.ones(2, 1, 6, 7),
    ),
    "own module": (
        lambda: nn.Sequential(nn.Linear(3, 4), HalvingReLU(), nn.Linear(2, 2)),
        lambda: torch.ones(2, 3),
    ),
    "own forward": (lambda: nn.Sequential(Narrowing(10, 40), nn.Linear(30, 2)), lambda: torch.ones(2, 10)),
    "own sequential": (lambda: Residual(nn.Linear(3, 4), nn.Linear(3, 5)), lambda: torch.ones(2, 3)),
    "own sequential inside": (
        lambda: nn.Sequential(nn.Linear(6, 3), Residual(nn.Linear(3, 4), nn.Linear(3, 5)), nn.Linear(9, 2)),
        lambda: torch.ones(2, 6),
    ),
    "batch norm without features": (
        lambda: nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(5), nn.Linear(8, 2)),
        lambda: torch.ones(2, 5, 3),
    ),
    "layer norm of an image": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 1), nn.LayerNorm((4, 6, 7)), nn.Conv2d(4, 2, 1)),
        lambda: torch.ones(2, 1, 6, 7),
    ),
    "cell": (lambda: nn.Sequential(nn.Linear(3, 4), nn.GRUCell(4, 5), nn.Linear(5, 2)), lambda: torch.ones(2, 3)),
    "lazy": (lambda: nn.Sequential(nn.Linear(3, 4), nn.LazyLinear(5), nn.Linear(5, 2)), lambda: torch.ones(2, 3)),
    "channels through pooling": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 1)),
        lambda: torch.ones(2, 1, 6, 8),
    ),
}


@pytest.mark.parametrize(("make", "values"), RIGHT.values(), ids=RIGHT)
def test_a_right_one_is_made_and_runs(make: Callable[[], torch.nn.Module], values: Callable[[], torch.Tensor]) -> None:
    make()(values())


def test_an_embedding_after_what_gives_indices() -> None:
    nn.Sequential(nn.Linear(3, 4), nn.Embedding(10, 4))


def test_what_comes_out_of_a_recurrent_layer_is_no_tensor() -> None:
    class Take(nn.Module):
        def forward(self, pair: Any) -> torch.Tensor:
            return pair[0]

    nn.Sequential(nn.GRU(3, 4), nn.Linear(9, 2))  # fails when it runs, by name
    model = nn.Sequential(nn.Embedding(10, 3), nn.GRU(3, 4), Take(), nn.Linear(4, 2))
    assert model(torch.arange(3)).shape == (3, 2)


def test_a_hook_may_change_the_size() -> None:
    narrow = first()
    narrow.register_forward_hook(lambda *given: given[-1][..., :7])
    assert nn.Sequential(narrow, nn.Linear(7, 2))(torch.ones(10)).shape == (2,)
    wide = second()
    wide.register_forward_pre_hook(lambda _, given: (torch.cat([*given, *given], -1)[..., :30],))
    assert nn.Sequential(first(), wide)(torch.ones(10)).shape == (5,)


@given(widths=st.lists(st.integers(1, 9), min_size=2, max_size=6), data=st.data())
def test_exactly_those_that_run_are_made(widths: list[int], data: st.DataObject) -> None:
    """Chains of layers with random sizes, most of them right: made exactly if torch can run them."""
    layers: list[torch.nn.Module] = []
    for wide, narrow in itertools.pairwise(widths):
        taken = data.draw(st.sampled_from([wide, wide, wide, wide + 1]))
        layers.append(torch.nn.Linear(taken, narrow))
        layers.extend(data.draw(st.lists(st.sampled_from([torch.nn.ReLU(), torch.nn.Tanh()]), max_size=2)))
    try:
        torch.nn.Sequential(*layers)(torch.ones(2, layers[0].in_features))
    except RuntimeError:
        with pytest.raises(DeclarationError):
            nn.Sequential(*map(_typed, layers))
    else:
        nn.Sequential(*map(_typed, layers))


def _typed(layer: torch.nn.Module) -> torch.nn.Module:
    return nn.Linear(layer.in_features, layer.out_features) if isinstance(layer, torch.nn.Linear) else layer


# As torch's -----------------------------------------------------------------------------------------------------------


def test_operators_give_ours_with_torchs_keys() -> None:
    ours = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU())
    for operation in (
        lambda seq: seq + seq,
        lambda seq: seq * 3,
        lambda seq: 2 * seq,
        lambda seq: seq[:1],
        lambda seq: seq[::2],
        lambda seq: seq.__iadd__(copy.deepcopy(seq)),
        lambda seq: seq.__imul__(2),
        lambda seq: seq.extend(list(seq)),
        lambda seq: seq.insert(1, seq[0]),
        lambda seq: (seq.pop(1), seq)[1],
        copy.deepcopy,
        lambda seq: pickle.loads(pickle.dumps(seq)),
    ):
        made = operation(ours)
        assert type(made) is nn.Sequential
        assert list(made._modules) == list(operation(theirs)._modules)


def test_refusals_of_torchs() -> None:
    ours = nn.Sequential(nn.ReLU())
    for operation, error in (
        (lambda: ours.__add__([nn.ReLU()]), ValueError),
        (lambda: ours * 0, ValueError),
        (lambda: ours * 1.5, TypeError),
        (lambda: ours.insert(9, nn.ReLU()), IndexError),
        (lambda: ours.append(3), TypeError),
        (lambda: nn.Sequential(3), TypeError),
    ):
        with pytest.raises(error):
            operation()


def test_slices_are_for_looking_at() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 3), nn.Linear(3, 5))
    assert [layer.out_features for layer in model[::-1]] == [5, 3, 4]
    assert [layer.out_features for layer in nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3))[::2]] == [4, 3]


def test_slice_assignment() -> None:
    model, listed = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5)), nn.ModuleList([nn.ReLU(), nn.Tanh()])
    model[:1] = [nn.Linear(3, 6), nn.Linear(6, 4)]
    assert model(torch.ones(3)).shape == (5,)
    assert list(model._modules) == ["0", "1", "2", "3"]
    listed[1:] = []
    assert len(listed) == 1
    with pytest.raises(TypeError):
        model[:1] = [3]
    assert len(model) == 4


def test_chained_methods_give_the_container() -> None:
    model = nn.Sequential()
    assert model.append(nn.ReLU()).extend([nn.Tanh()]).insert(0, nn.GELU()) is model
    listed = nn.ModuleList()
    assert listed.append(nn.ReLU()).extend([nn.Tanh()]) is listed
    listed += [nn.ReLU()]
    assert type(listed) is type(listed.__add__([nn.ReLU()])) is nn.ModuleList
    assert len(listed[1:]) == 2


def test_containers_compile_in_one_graph() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3))
            self.listed = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
            self.named = nn.ModuleDict({"out": nn.Linear(3, 3)})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in (
                *self.layers[:2],
                self.layers[2],
                *self.layers,
                *(self.layers + self.layers),
                *self.listed[1:],
            ):
                x = layer(x)
            return self.named["out"](x)

    model = Model()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(torch.ones(2, 3)), model(torch.ones(2, 3)))


# Names in the module that holds them ----------------------------------------------------------------------------------


def test_a_second_size_for_a_name_is_refused_in_any_container() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(10, Dim("embed", 4))
            self.listed, self.named, self.chain = nn.ModuleList(), nn.ModuleDict(), nn.Sequential()

    model = Model()
    wrong = nn.Linear(Dim("embed", 5), 2)
    changes: list[Callable[[], object]] = [
        lambda: model.listed.append(wrong),
        lambda: model.listed.extend([nn.ReLU(), wrong]),
        lambda: model.listed.insert(0, wrong),
        lambda: model.named.update({"first": nn.ReLU(), "second": wrong}),
        lambda: model.named.__setitem__("wrong", wrong),
        lambda: model.chain.append(wrong),
        lambda: model.chain.__iadd__(nn.Sequential(wrong)),
    ]
    for change in changes:
        with pytest.raises(DeclarationError, match=r"`embed` has two sizes: 5 by Model\..*, 4 by Model\.embedding"):
            change()
        assert len(model.listed) == len(model.named) == len(model.chain) == 0
        assert model._dim_scope.names == {"embed": 4}
    del model.embedding
    model.named.update({"first": nn.ReLU(), "second": wrong})
    assert model._dim_scope.names == {"embed": 5}
    model.named.clear()
    assert model._dim_scope.names == {}


# One layer after the other --------------------------------------------------------------------------------------------

SIZE = st.sampled_from([2, 3])


def hooked(layer: torch.nn.Module) -> torch.nn.Module:
    layer.register_forward_hook(lambda *_: None)
    return layer


CHAINED: st.SearchStrategy[Callable[[], torch.nn.Module]] = st.one_of(
    st.builds(lambda takes, gives: lambda: nn.Linear(takes, gives), SIZE, SIZE),
    st.builds(lambda takes, gives: lambda: nn.Conv1d(takes, gives, 1), SIZE, SIZE),
    st.builds(lambda size: lambda: nn.LayerNorm(size), SIZE),
    st.builds(lambda takes, gives: lambda: nn.GRU(takes, gives), SIZE, SIZE),
    st.builds(lambda takes, gives: lambda: hooked(nn.Linear(takes, gives)), SIZE, SIZE),
    st.sampled_from([nn.ReLU, nn.Flatten, nn.Sequential, lambda: nn.MaxPool1d(1), lambda: hooked(nn.ReLU())]),
)
INNER = st.lists(CHAINED, max_size=3).map(lambda made: lambda: nn.Sequential(*(make() for make in made)))


def said(function: Callable[[], object]) -> str:
    try:
        function()
    except DeclarationError as error:
        return str(error)
    return "fits"


@given(layers=st.lists(CHAINED | INNER, max_size=8))
@example(layers=[first, lambda: nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU())), second])
@example(layers=[first, nn.Flatten, nn.ReLU, second])
def test_a_layer_that_is_appended_is_compared_with_those_that_decide_its_size(
    layers: list[Callable[[], torch.nn.Module]],
) -> None:
    chain = nn.Sequential()
    for make in layers:
        try:
            layer = make()
        except DeclarationError:  # an inner chain that does not fit by itself
            continue
        at_once = said(functools.partial(nn.Sequential, *chain, layer))
        assert said(functools.partial(chain.append, layer)) == at_once
        assert (chain[-1] is layer if len(chain) else False) == (at_once == "fits")


class _Doubling(torch.nn.Sequential):
    def forward(self, x):
        return super().forward(x) * 2

    def __iter__(self):
        return reversed(list(super().__iter__()))


class _Both(nn.Sequential, _Doubling):
    """A typed Sequential first, then a class with its own methods."""


def test_the_methods_of_another_base_run():
    both, plain = _Both(nn.Linear(2, 2), nn.ReLU()), _Doubling(torch.nn.Linear(2, 2), torch.nn.ReLU())
    plain.load_state_dict(both.state_dict())
    assert torch.equal(both(torch.ones(1, 2)), plain(torch.ones(1, 2)))
    assert [type(each).__name__ for each in both] == [type(each).__name__ for each in plain] == ["ReLU", "Linear"]
