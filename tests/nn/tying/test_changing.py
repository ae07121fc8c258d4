"""Changing, breaking and refusing a tie."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch.nn.utils import parametrizations

from dimtyped import DeclarationError, TyingError, nn, retype, status, tie, untype
from dimtyped.nn.tying import tie as tie_registry
from tests.helpers.tied_models import (
    EMBED,
    VOCAB,
    ByAssignment,
    ByDecoder,
    ByProjection,
    ByTie,
    ThreeWay,
    assert_tied,
    keep_by_copy,
)


def test_a_new_weight_for_the_embedding_is_the_declared_decoders_too() -> None:
    for way in (ByDecoder, ByTie, ByProjection, ThreeWay):
        model = way()
        model.embedding.weight = torch.nn.Parameter(torch.ones(VOCAB, EMBED))
        assert assert_tied(model).sum() == VOCAB * EMBED


def test_a_plain_assignment_is_undone_by_another() -> None:
    model = ByAssignment()
    old = model.out.weight
    model.embedding.weight = torch.nn.Parameter(torch.ones(VOCAB, EMBED))
    assert model.out.weight is old
    model.to("meta").to_empty(device="cpu")
    assert model.out.weight is not model.embedding.weight


def test_untied_by_giving_the_output_its_own() -> None:
    for way in (ByDecoder, ByTie, ByAssignment):
        model = way()
        model.out.weight = torch.nn.Parameter(model.out.weight.detach().clone())
        assert model.out.weight is not model.embedding.weight
        model.to("meta").to_empty(device="cpu")
        assert model.out.weight is not model.embedding.weight


def test_tied_to_another_embedding() -> None:
    model, other = ByDecoder(), nn.Embedding(VOCAB, EMBED)
    model.embedding = other
    model.out.weight = other.weight
    assert_tied(model.to("meta"))


def test_a_break_past_all_assignment_is_said_by_status(capsys: pytest.CaptureFixture[str]) -> None:
    model = ByAssignment()
    assert "tied" not in str(status(model))
    keep_by_copy(model)
    assert "its weight was tied to Embedding.weight and is no longer" in str(status(model))
    assert "no longer" in capsys.readouterr().out


def test_a_decoder_whose_embedding_was_replaced_is_said_by_status() -> None:
    model = ByDecoder()
    parametrizations.weight_norm(model.embedding)
    assert "not in this model" not in str(status(model))
    model.embedding = nn.Embedding(VOCAB, EMBED)
    assert "its weight is declared to be that of a layer outside this model" in str(status(model))


def test_no_tie_is_left_of_layers_that_are_gone() -> None:
    before = len(tie_registry._by_id)
    for _ in range(3):
        ByDecoder()
    assert len(tie_registry._by_id) <= before + 20


def test_registration_that_makes_its_own_parameter() -> None:
    """As accelerate's init_empty_weights does: each registration gets a new one on the meta device."""

    def on_meta(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter) -> torch.nn.Parameter:
        return torch.nn.Parameter(parameter.to("meta"))

    handle = torch.nn.modules.module.register_module_parameter_registration_hook(on_meta)
    try:
        model = ByDecoder()
    finally:
        handle.remove()
    assert assert_tied(model).is_meta
    assert_tied(model.to_empty(device="cpu"))


def test_tie_refuses_two_shapes() -> None:
    embedding, layer = nn.Embedding(10, 4), nn.Linear(8, 10)
    weight = layer.weight
    with pytest.raises(TyingError, match=r"TiedDecoder\(embedding, hidden=8, project=True\)") as info:
        tie(layer, embedding)
    assert (info.value.where, info.value.expected, info.value.actual) == ("tie", (10, 4), (10, 8))
    assert layer.weight is weight


def test_a_refused_tie_leaves_plain_layers_plain() -> None:
    embedding, layer = torch.nn.Embedding(10, 4), torch.nn.Linear(8, 10)
    weights = embedding.weight, layer.weight
    for refused in (
        lambda: tie(layer, embedding),
        lambda: nn.TiedDecoder(embedding, 8),
        lambda: nn.TiedDecoder(embedding, -1),
    ):
        with pytest.raises(DeclarationError):
            refused()
        assert (type(embedding), type(layer)) == (torch.nn.Embedding, torch.nn.Linear)
        assert embedding.weight is weights[0]
        assert layer.weight is weights[1]
    text = r"Linear\(in_features=8 -> out_features=10\) and Embedding\(vocab=10 -> embed=4\) differ in shape: "
    with pytest.raises(TyingError, match=text + r"\(out_features=10, in_features=8\) and \(vocab=10, embed=4\)"):
        tie(layer, embedding)


def test_tie_refuses_what_has_no_weight() -> None:
    with pytest.raises(TyingError, match="takes layers with a weight, not ReLU"):
        tie(nn.ReLU(), nn.Embedding(10, 4))


def test_tie_of_plain_torch_layers_makes_them_typed() -> None:
    embedding, layer = torch.nn.Embedding(VOCAB, EMBED), torch.nn.Linear(EMBED, VOCAB)
    assert tie(layer, embedding) is layer
    model = torch.nn.ModuleDict({"embedding": embedding, "out": layer})
    model.to("meta").to_empty(device="cpu")
    assert layer.weight is embedding.weight


def test_tie_of_a_module_that_is_no_typed_layer() -> None:
    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(VOCAB, EMBED))

    embedding = nn.Embedding(VOCAB, EMBED)
    head = tie(Head(), embedding)
    model = torch.nn.ModuleList([embedding, head])
    model.to("meta").to_empty(device="cpu")
    model.load_state_dict(model.state_dict(), assign=True)
    assert head.weight is embedding.weight
    assert isinstance(head, Head)


class OwnHead(nn.Module):
    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.weight = embedding.weight


def test_tie_to_a_parameter_of_a_users_module() -> None:
    embedding = nn.Embedding(VOCAB, EMBED)
    model = pickle.loads(pickle.dumps(nn.ModuleList([embedding, OwnHead(embedding)])))
    model.to("meta").to_empty(device="cpu")
    model.load_state_dict(model.state_dict(), assign=True)
    assert model[0].weight is model[1].weight


def test_a_plain_layer_in_a_module_of_ours() -> None:
    """It cannot say what is done to it; the module around it looks."""

    class Own(torch.nn.Linear):
        pass

    model = nn.Module()
    model.out = Own(EMBED, VOCAB, bias=False)
    model.inner = nn.Module()
    model.inner.embedding = nn.Embedding(VOCAB, EMBED)
    model.inner.plain = torch.nn.Linear(EMBED, VOCAB, bias=False)
    model.out.weight = model.inner.plain.weight = model.inner.embedding.weight

    def the_one() -> torch.Tensor:
        assert model.out.weight is model.inner.plain.weight is model.inner.embedding.weight
        return model.out.weight

    model.to("meta").to_empty(device="cpu")
    assert not the_one().is_meta
    old = the_one()
    model.load_state_dict(model.state_dict(), assign=True)
    assert the_one() is not old


def test_retyped_ties_survive() -> None:
    model = torch.nn.Sequential(torch.nn.Embedding(VOCAB, EMBED), torch.nn.Linear(EMBED, VOCAB))
    model[1].weight = model[0].weight
    retype(model).to("meta").to_empty(device="cpu")
    assert model[0].weight is model[1].weight
    untype(model)
    assert model[0].weight is model[1].weight
