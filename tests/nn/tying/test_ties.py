"""A tie survives what a model goes through, by identity: each test here fails for a tie that is kept by copy."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator

import cloudpickle
import pytest
import torch
from torch.nn.utils import parametrizations, parametrize, prune

from dimtyped import DeclarationError, TyingError, nn, retype, status, tie, untype
from dimtyped.nn.tying import tie as tie_registry
from tests.helpers.tied_models import (
    EMBED,
    VOCAB,
    WAYS,
    ByAssignment,
    ByDecoder,
    ByProjection,
    ByTie,
    ThreeWay,
    Tied,
    assert_tied,
    keep_by_copy,
    tokens,
    without_gru,
)

Way = Callable[[], torch.nn.Module]
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
three_kinds = pytest.mark.parametrize("way", [ByDecoder, ByTie, ByAssignment], ids=lambda way: way.__name__)


@pytest.fixture(params=["in place", "overwrite", "swap"])
def conversion(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each of the ways in which torch may replace a module's parameters."""
    torch.__future__.set_overwrite_module_params_on_conversion(request.param == "overwrite")
    torch.__future__.set_swap_module_params_on_conversion(request.param == "swap")
    yield request.param
    torch.__future__.set_overwrite_module_params_on_conversion(False)
    torch.__future__.set_swap_module_params_on_conversion(False)


def test_a_tie_kept_by_copy_is_told_from_a_tie() -> None:
    model = ByDecoder()
    assert_tied(model)
    keep_by_copy(model)
    torch.testing.assert_close(model.out.weight, model.embedding.weight)
    with pytest.raises(AssertionError):
        assert_tied(model)


@every_way
def test_a_tied_parameter_is_counted_once(way: Way) -> None:
    model, copied = way(), way()
    keep_by_copy(copied)
    assert assert_tied(model).shape == (VOCAB, EMBED)
    count, separate = (sum(parameter.numel() for parameter in each.parameters()) for each in (model, copied))
    assert separate == count + VOCAB * EMBED
    assert (
        sum(parameter.numel() for parameter in torch.optim.SGD(model.parameters()).param_groups[0]["params"]) == count
    )


def test_a_projection_before_the_tied_output() -> None:
    """A8."""
    decoder = nn.TiedDecoder(nn.Embedding(VOCAB, EMBED), 9, project=True)
    x = torch.randn(2, 5, 9)
    expected = x @ decoder.projection.weight.T @ decoder.weight.T + decoder.bias
    torch.testing.assert_close(decoder(x), expected)
    assert {name: tuple(p.shape) for name, p in decoder.named_parameters()} == {
        "weight": (VOCAB, EMBED),
        "bias": (VOCAB,),
        "projection.weight": (EMBED, 9),
    }
    text = r"Use nn.TiedDecoder\(embedding, 9, project=True\), which learns a map"
    with pytest.raises(TyingError, match=text) as info:
        nn.TiedDecoder(nn.Embedding(VOCAB, EMBED), 9)
    error = info.value
    assert (error.where, error.dim, error.expected, error.actual) == ("TiedDecoder", "hidden", EMBED, 9)


# Copies ---------------------------------------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: cloudpickle.loads(cloudpickle.dumps(model)),
        lambda model: torch.load(_saved(model), weights_only=False),
        lambda model: copy.deepcopy(copy.deepcopy(model)),
    ],
    ids=["deepcopy", "pickle", "cloudpickle", "torch.save", "deepcopy twice"],
)
def test_copy(way: Way, copied: Callable[[torch.nn.Module], torch.nn.Module]) -> None:
    model = way()
    again = copied(model)
    assert assert_tied(again) is not assert_tied(model)
    torch.testing.assert_close(again(tokens()), model(tokens()))
    assert assert_tied(again.to("meta").to_empty(device="cpu")).device.type == "cpu"  # the copy keeps it as well
    assert_tied(model)


def _saved(value: object) -> io.BytesIO:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return buffer


def test_copies_of_one_half() -> None:
    model = ByDecoder()
    out = copy.deepcopy(model.out)
    assert out.weight is not model.out.weight
    assert_tied(model.to("meta"))
    assert out.weight.device.type == "cpu"
    shallow = copy.copy(model.out)
    assert shallow.weight is model.embedding.weight


# Conversions ----------------------------------------------------------------------------------------------------------


@every_way
def test_to_dtype_with_gradients(way: Way, conversion: str) -> None:
    model = way()
    model(tokens()).sum().backward()
    assert assert_tied(model.double()).grad is not None


def test_to_empty_of_one_half_takes_the_other_along() -> None:
    with torch.device("meta"):
        model = ByAssignment()
    model.embedding.to_empty(device="cpu")
    assert not assert_tied(model).is_meta


def test_a_shared_layer_that_is_met_twice() -> None:
    model = torch.nn.ModuleList([ByDecoder(), ByDecoder()])
    model.append(model[0])
    model.to("meta").to_empty(device="cpu")
    assert assert_tied(model[0]) is not assert_tied(model[1])


def test_layers_that_are_not_tied_stay_so() -> None:
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(20)))
    for _ in range(3):
        model.to("meta").to_empty(device="cpu")
        model.load_state_dict(model.state_dict(), assign=True)
        assert len({id(layer.weight) for layer in model}) == len(model)


# Checkpoints ----------------------------------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("strict", [False, True])
def test_load_state_dict(way: Way, conversion: str, assign: bool, strict: bool) -> None:
    model, other = without_gru(way()), without_gru(way())
    assert not model.load_state_dict(other.state_dict(), strict=strict, assign=assign).missing_keys
    torch.testing.assert_close(assert_tied(model), assert_tied(other))
    assert assert_tied(model) is not assert_tied(other)


@every_way
@pytest.mark.parametrize("assign", [False, True])
def test_load_state_dict_of_separate_equal_tensors(way: Way, assign: bool) -> None:
    model = way()
    saved = {key: value.clone() for key, value in way().state_dict().items()}
    model.load_state_dict(saved, assign=assign)
    torch.testing.assert_close(assert_tied(model).detach(), saved["out.weight"])


def _keys(model: torch.nn.Module) -> list[str]:
    weight = assert_tied(model)
    return [name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter is weight]


@every_way
@pytest.mark.parametrize("assign", [False, True])
def test_one_key_is_enough(way: Way, assign: bool) -> None:
    for kept in _keys(way()):
        model = way()
        saved = {name: value.clone() for name, value in way().state_dict().items()}
        for key in _keys(model):
            if key != kept:
                del saved[key]
        found = model.load_state_dict(saved, assign=assign)
        assert (found.missing_keys, found.unexpected_keys) == ([], [])
        torch.testing.assert_close(assert_tied(model).detach(), saved[kept])


@every_way
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("assign", [False, True])
def test_keys_that_disagree_are_refused(way: Way, strict: bool, assign: bool) -> None:
    model = way()
    saved = {name: value.clone() for name, value in model.state_dict().items()}
    saved["out.weight"] += 1
    with pytest.raises(RuntimeError, match="are one tied parameter in the model, but differ in the checkpoint") as info:
        model.load_state_dict(saved, strict=strict, assign=assign)
    assert "Error(s) in loading state_dict for" in str(info.value)
    assert all(key in str(info.value) for key in ("out.weight", "embedding.weight"))
    assert_tied(model)


def test_a_tie_that_was_broken_past_all_assignment_loads_as_two() -> None:
    model, other = ByDecoder(), ByDecoder()
    keep_by_copy(model)
    keep_by_copy(other)
    model.load_state_dict(other.state_dict())
    torch.testing.assert_close(model.state_dict(), other.state_dict())


def test_no_key_at_all_is_missing_under_each_name() -> None:
    model = ByDecoder()
    saved = {name: value for name, value in model.state_dict().items() if "weight" not in name or "gru" in name}
    assert model.load_state_dict(saved, strict=False).missing_keys == ["embedding.weight", "out.weight"]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "embedding.weight", "out.weight"'):
        model.load_state_dict(saved)


def test_one_half_alone_is_loaded_as_torch_does() -> None:
    model = ByDecoder()
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "weight"'):
        model.out.load_state_dict({"bias": torch.zeros(VOCAB)})
    model.out.load_state_dict({"bias": torch.zeros(VOCAB), "weight": torch.ones(VOCAB, EMBED)}, assign=True)
    torch.testing.assert_close(assert_tied(model).detach(), torch.ones(VOCAB, EMBED))


def test_one_load_knows_nothing_of_the_last() -> None:
    model = ByDecoder()
    for value in (1.0, 2.0):
        model.load_state_dict({**model.state_dict(), **dict.fromkeys(_keys(model), torch.full((VOCAB, EMBED), value))})
        assert assert_tied(model).flatten()[0] == value


def test_not_a_number_agrees_with_itself() -> None:
    model = ByDecoder()
    model.load_state_dict({key: torch.full_like(value, torch.nan) for key, value in model.state_dict().items()})


def test_a_frozen_tie_stays_frozen() -> None:
    model = ByDecoder()
    model.embedding.weight.requires_grad_(False)
    model.load_state_dict(ByDecoder().state_dict(), assign=True)
    assert not assert_tied(model).requires_grad


# Reparametrisation ----------------------------------------------------------------------------------------------------


class Doubled(torch.nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


@three_kinds
def test_parametrize_on_the_embedding(way: type[Tied]) -> None:
    model = way()
    weight = assert_tied(model)
    parametrize.register_parametrization(model.embedding, "weight", Doubled())
    with parametrize.cached():
        assert model.out.weight is model.embedding.weight
    torch.testing.assert_close(model.out.weight, 2 * weight)
    assert model.embedding.parametrizations["weight"].original is weight
    assert sum(parameter is weight for parameter in model.parameters()) == 1
    _trains_as_one(model)
    parametrize.remove_parametrizations(model.embedding, "weight")
    assert assert_tied(model) is weight
    assert type(model.out) in (nn.Linear, nn.TiedDecoder)


@three_kinds
def test_parametrize_on_the_output(way: type[Tied]) -> None:
    model = way()
    parametrize.register_parametrization(model.out, "weight", Doubled())
    with parametrize.cached():
        assert model.out.weight is model.embedding.weight
    _trains_as_one(model)
    parametrize.remove_parametrizations(model.out, "weight")
    assert_tied(model)


@three_kinds
@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("add", "remove"),
    [
        (parametrizations.weight_norm, lambda layer: parametrize.remove_parametrizations(layer, "weight")),
        (torch.nn.utils.weight_norm, torch.nn.utils.remove_weight_norm),
        (torch.nn.utils.spectral_norm, torch.nn.utils.remove_spectral_norm),
        (
            lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
            lambda layer: prune.remove(layer, "weight"),
        ),
    ],
    ids=["weight_norm", "old weight_norm", "old spectral_norm", "prune"],
)
def test_weight_norm_and_its_like_on_the_embedding(
    way: type[Tied], add: Callable[..., object], remove: Callable[..., object]
) -> None:
    model = way()
    add(model.embedding)
    model(tokens())
    with parametrize.cached():
        assert model.out.weight is model.embedding.weight
    assert "out.weight" not in dict(model.named_parameters(remove_duplicate=False))
    _trains_as_one(model)
    remove(model.embedding)
    assert_tied(model)


def _trains_as_one(model: Tied) -> None:
    """A step through the output alone also moves the embedding."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    before = model.embedding(tokens()).detach().clone()
    for _ in range(2):
        optimizer.zero_grad()
        model(tokens()).square().sum().backward()
        optimizer.step()
    after = model.embedding(tokens()).detach()
    assert not torch.equal(before, after)
    torch.testing.assert_close(model.out.weight, model.embedding.weight)


def test_a_parametrised_tie_is_copied_and_converted() -> None:
    model = ByDecoder()
    parametrize.register_parametrization(model.embedding, "weight", Doubled())
    again = copy.deepcopy(model).double()
    with parametrize.cached():
        assert again.out.weight is again.embedding.weight
    assert again.out.weight.dtype == torch.float64
    originals = [copied.embedding.parametrizations["weight"].original for copied in (again, model)]
    assert originals[0] is not originals[1]
    torch.testing.assert_close(again(tokens()), model.double()(tokens()))
    parametrize.remove_parametrizations(again.embedding, "weight")
    assert_tied(again)


def test_a_pruned_tie_is_pickled() -> None:
    model = ByAssignment()
    prune.l1_unstructured(model.embedding, "weight", 0.5)
    model = pickle.loads(pickle.dumps(model))
    model(tokens())
    assert model.out.weight is model.embedding.weight
    prune.remove(model.embedding, "weight")
    assert_tied(model)


def test_tied_to_an_embedding_that_is_parametrised_already() -> None:
    embedding = parametrizations.weight_norm(nn.Embedding(VOCAB, EMBED))
    decoder, linear = nn.TiedDecoder(embedding), tie(nn.Linear(EMBED, VOCAB), embedding)
    with parametrize.cached():
        assert decoder.weight is linear.weight is embedding.weight


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
def test_a_hook_that_comes_too_late_for_the_embedding_is_said_to_part_them() -> None:
    model = ByAssignment()
    with pytest.warns(UserWarning, match="Linear.weight is computed by a hook .* no longer tied to Embedding.weight"):
        torch.nn.utils.weight_norm(model.out)
    model(tokens()).sum().backward()


def test_a_plain_tensor_in_a_tied_place_is_said_to_part_them() -> None:
    model = ByAssignment()
    del model.embedding._parameters["weight"]
    with pytest.warns(UserWarning, match="Embedding.weight is a plain tensor now, .* no longer tied to Linear.weight"):
        model.embedding.weight = torch.zeros(VOCAB, EMBED)
    model.embedding.weight = torch.ones(VOCAB, EMBED)  # said once


# Calls and training ---------------------------------------------------------------------------------------------------


def test_compile_of_a_following_decoder() -> None:
    embedding = nn.Embedding(VOCAB, EMBED)
    model = nn.Sequential(embedding, nn.TiedDecoder(embedding))
    parametrize.register_parametrization(embedding, "weight", Doubled())
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(tokens()), model(tokens()))


def test_a_gradient_has_both_parts() -> None:
    model = ByDecoder()
    model(tokens()).sum().backward()
    from_both = model.embedding.weight.grad
    assert from_both is not None
    separate = ByDecoder()
    separate.load_state_dict(model.state_dict())
    keep_by_copy(separate)
    separate(tokens()).sum().backward()
    torch.testing.assert_close(from_both, separate.embedding.weight.grad + separate.out.weight.grad)


# Changing a tie -------------------------------------------------------------------------------------------------------


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
    assert "its weight is declared to be another layer's, which is not in this model" in str(status(model))


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


# What cannot be tied --------------------------------------------------------------------------------------------------


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
