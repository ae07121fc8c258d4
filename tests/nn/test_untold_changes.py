"""Torch's own modules and containers tell of no change; a call sees it all the same."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dimtyped import DeclarationError, Dim, DimensionError, DimensionWarning, DimSize, nn, typed
from tests.nn.scope_cases import ones

IDS = torch.zeros(1, 3, dtype=torch.int64)


class Words(torch.nn.Module):
    """A module by another, with two layers that carry `vocab`."""

    def __init__(self, vocab: DimSize, embed: DimSize):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.out = nn.Linear(embed, vocab)

    @typed
    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
        return self.out(self.embedding(tokens))


class Stack(nn.Module):
    """One of ours that holds one of torch's containers."""

    def __init__(self, hidden: DimSize):
        super().__init__()
        self.body = torch.nn.Sequential(nn.Linear(hidden, hidden), nn.Linear(hidden, hidden))

    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
        return self.body(x)


@pytest.mark.parametrize("calls", [0, 1])
def test_a_size_changed_by_half_is_refused_at_every_call(calls):
    model = Words(28, 4)
    for _ in range(calls):
        model(IDS)
    model.embedding = model.embedding.resized(35).embedding
    for _ in range(3):
        with pytest.raises(DeclarationError, match="embedding.vocab=35, out.vocab=28"):
            model(IDS)
    model.out = torch.nn.Linear(4, 35)
    assert model(IDS).shape == (1, 3, 35)


def test_a_replaced_layer_inherits_the_names():
    model = Words(28, 4)
    model.embedding, model.out = torch.nn.Embedding(35, 4), torch.nn.Linear(4, 35)
    assert model(IDS).shape == (1, 3, 35)
    model.out = torch.nn.Linear(4, 99)
    with pytest.raises(DeclarationError, match="embedding.vocab=35, out.vocab=99"):
        model(IDS)


def test_a_name_that_no_layer_carries_any_more_is_told():
    model = Words(28, 4)
    model(IDS)
    model._modules.update(embedding=torch.nn.Embedding(35, 4), out=torch.nn.Linear(4, 35))
    with pytest.warns(DimensionWarning, match="no layer has the size `vocab` any more"):
        assert model(IDS).shape == (1, 3, 35)


@pytest.mark.parametrize(
    "change",
    [
        lambda body, layer: body.insert(0, layer),
        lambda body, layer: body.append(layer),
        lambda body, layer: body._modules.update({"0": layer}),
        lambda body, layer: body.__setitem__(1, layer),
    ],
    ids=["insert", "append", "_modules", "item"],
)
def test_a_changed_container_of_torch_is_seen(change):
    model = Stack(4)
    assert model(ones(2, 4)).shape == (2, 4)
    change(model.body, nn.Linear(Dim("hidden", 5), 4))
    with pytest.raises(DeclarationError, match="hidden.*could mean more than one size"):
        model(ones(2, 4))


def test_a_copy_is_looked_at_too():
    model = Stack(4)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        other.body.append(nn.Linear(Dim("hidden", 5), 4))
        with pytest.raises(DeclarationError, match="could mean more than one size"):
            other(ones(2, 4))
    assert model(ones(2, 4)).shape == (2, 4)


@pytest.mark.parametrize("kind", ["deleted and assigned", "deleted and inserted"])
def test_a_layer_that_lives_on_elsewhere_is_seen_to_be_replaced(kind):
    if kind == "deleted and assigned":
        model, call = Words(28, 4), IDS
        model(call)
        kept = model.embedding
        del model.embedding
        model.embedding = nn.Embedding(Dim("vocab", 35), 4)
    else:
        model, call = Stack(4), ones(2, 4)
        kept = model.body[1]
        del model.body[1]
        model.body.insert(0, nn.Linear(Dim("hidden", 5), 4))
    with pytest.raises(DeclarationError, match="could mean more than one size"):
        model(call)
    assert isinstance(kept, torch.nn.Module)


def test_a_compiled_model_sees_a_change():
    model = Words(28, 4)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert compiled(IDS).shape == (1, 3, 28)
    model.embedding, model.out = torch.nn.Embedding(35, 4), torch.nn.Linear(4, 35)
    assert compiled(IDS).shape == (1, 3, 35)


@pytest.mark.parametrize("make", [lambda: Words(28, 4), lambda: Stack(4).body], ids=["module", "container"])
def test_a_layer_that_its_user_deletes_is_freed(make):
    model = make()
    if isinstance(model, Words):
        model(IDS)
    layer = weakref.ref(next(model.children()))
    delattr(model, next(iter(model._modules)))
    gc.collect()
    assert layer() is None


def test_names_of_a_child_by_another_are_known_before_it_is_called():
    class Child(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(Dim("hidden", 4), 3)

        @typed
        def forward(self, x: Float[Tensor, "batch hidden"]):
            return self.layer(x)

    class Parent(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.child = Child()

        @typed
        def forward(self, x: Float[Tensor, "batch hidden"]):
            return x

    with pytest.raises(DimensionError, match="Parent.forward.*hidden is 5, must be 4"):
        Parent()(ones(2, 5))
