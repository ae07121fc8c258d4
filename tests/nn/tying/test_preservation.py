"""What a tie survives, by identity: each way through which a model may go, for each way of making a tie.

Two tests show that these tests can fail: no tie that is kept by copy passes one of them, and where the library puts a
copy in a framework's place, each that is the library's to keep fails.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cloudpickle
import pytest
import torch
from torch.nn.utils import parametrizations, parametrize, prune, stateless

from dimtyped.nn.tying import preservation, tie
from tests.helpers.tied_models import EMBED, VOCAB, WAYS, assert_tied, by_copy, tokens, without_gru

Way = Callable[..., torch.nn.Module]
Model = Any
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")


# Ways through which a model may go ------------------------------------------------------------------------------------


@contextmanager
def converting(*, overwrite: bool = False, swap: bool = False) -> Iterator[None]:
    """How torch replaces the parameters that it converts."""
    torch.__future__.set_overwrite_module_params_on_conversion(overwrite)
    torch.__future__.set_swap_module_params_on_conversion(swap)
    try:
        yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
        torch.__future__.set_swap_module_params_on_conversion(False)


def through_a_file(value: object) -> Any:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=not isinstance(value, torch.nn.Module))


def converted(way: Way, change: Callable[[Model], object], **how: bool) -> Model:
    model = way()
    with converting(**how):
        change(model)
    return model


def on_meta(way: Way) -> Model:
    with torch.device("meta"):
        return way()


def separate(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each entry a tensor of its own, as a checkpoint of another framework has them."""
    return {key: value.clone() for key, value in state.items()}


def loaded(way: Way, *, into: Callable[[Way], Model] = lambda way: way(), **options: bool) -> Model:
    model = into(way)
    model.load_state_dict(separate(way().state_dict()), **options)
    return model


def loaded_by_swapping(way: Way) -> Model:
    model = without_gru(way())
    with converting(swap=True):
        model.load_state_dict(separate(without_gru(way()).state_dict()))
    return model


def loaded_by_one_key(way: Way, key: str, **options: bool) -> Model:
    model = way()
    saved = separate(way().state_dict())
    names = [name for name in saved if saved[name].shape == (VOCAB, EMBED) and name != key]
    model.load_state_dict({name: value for name, value in saved.items() if name not in names}, **options)
    return model


def saved_and_loaded(way: Way) -> Model:
    """Both ways: out of one model into another, and back."""
    model, other = way(), way()
    other.load_state_dict(model.state_dict())
    model.load_state_dict(other.state_dict())
    assert_tied(other)
    return model


def called_functionally(way: Way, *, compiled: bool = False) -> Model:
    model = without_gru(way()) if compiled else way()

    def look(*_: object) -> None:
        assert model.out.weight is model.embedding.weight

    handle = model.out.register_forward_hook(look)
    key = next(name for name, parameter in model.named_parameters() if parameter is model.embedding.weight)
    replaced = torch.func.functional_call(model, {key: torch.ones(VOCAB, EMBED)}, tokens())
    assert not torch.equal(replaced, model(tokens()))
    handle.remove()
    return model


def called_statelessly(way: Way) -> Model:
    model = way()
    key = next(name for name, parameter in model.named_parameters() if parameter is model.embedding.weight)
    with stateless._reparametrize_module(model, {key: torch.ones(VOCAB, EMBED)}, tie_weights=True):
        assert model.out.weight is model.embedding.weight
    return model


def compiled(way: Way) -> Model:
    torch.compiler.reset()  # all ways share one `forward`, and Dynamo compiles one only so often
    model = without_gru(way())
    whole = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(whole(tokens()), model(tokens()))
    assert_tied(whole._orig_mod)
    return model


def trained(way: Way, make: Callable[..., torch.optim.Optimizer]) -> Model:
    model = way()
    before = model.embedding.weight.detach().clone()
    optimizer = make(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(tokens()).square().mean().backward()
        optimizer.step()
    assert not torch.equal(before, model.embedding.weight)
    return model


def averaged(way: Way) -> Model:
    average = torch.optim.swa_utils.AveragedModel(way())
    average.update_parameters(way())
    return average.module


SURVIVED: dict[str, Callable[[Way], Model]] = {
    "deepcopy": lambda way: copy.deepcopy(way()),
    "deepcopy twice": lambda way: copy.deepcopy(copy.deepcopy(way())),
    "pickle": lambda way: pickle.loads(pickle.dumps(way())),
    "cloudpickle": lambda way: cloudpickle.loads(cloudpickle.dumps(way())),
    "torch.save, load": lambda way: through_a_file(way()),
    "a copy, then to_empty": lambda way: copy.deepcopy(way()).to("meta").to_empty(device="cpu"),
    "state_dict both ways": saved_and_loaded,
    "load_state_dict": loaded,
    "load_state_dict, strict=False": lambda way: loaded(way, strict=False),
    "load_state_dict, assign=True": lambda way: loaded(way, assign=True),
    "load_state_dict, assign=True, strict=False": lambda way: loaded(way, assign=True, strict=False),
    "load_state_dict, swapping": loaded_by_swapping,
    "load_state_dict onto meta": lambda way: loaded(way, into=on_meta, assign=True),
    "load_state_dict of a file": lambda way: _load_from_file(way),
    "load_state_dict by the embedding's key": lambda way: loaded_by_one_key(way, _keys(way)[0]),
    "load_state_dict by the output's key": lambda way: loaded_by_one_key(way, "out.weight"),
    "load_state_dict by the output's key, assign=True": lambda way: loaded_by_one_key(way, "out.weight", assign=True),
    "to(dtype)": lambda way: converted(way, lambda model: model.to(torch.float64)),
    "to(dtype), overwriting": lambda way: converted(way, lambda model: model.to(torch.float64), overwrite=True),
    "to(dtype), swapping": lambda way: converted(way, lambda model: model.to(torch.float64), swap=True),
    "half and float": lambda way: way().half().float(),
    "share_memory": lambda way: way().share_memory(),
    "made on meta": lambda way: way(device="meta"),
    "to_empty, made in torch.device('meta')": lambda way: on_meta(way).to_empty(device="cpu"),
    "to_empty, made with device='meta'": lambda way: way(device="meta").to_empty(device="cpu"),
    "to_empty, moved to meta": lambda way: way().to("meta").to_empty(device="cpu"),
    "to_empty, swapping": lambda way: converted(way, lambda m: m.to("meta").to_empty(device="cpu"), swap=True),
    "functional_call": called_functionally,
    "stateless": called_statelessly,
    "compile": compiled,
    "SGD": lambda way: trained(way, torch.optim.SGD),
    "Adam": lambda way: trained(way, torch.optim.Adam),
    "moving average": averaged,
}
# Where torch parts what was one parameter, and the library puts it together again.
OURS = (
    "a copy, then to_empty",
    "load_state_dict, assign=True",
    "load_state_dict, assign=True, strict=False",
    "load_state_dict onto meta",
    "load_state_dict of a file",
    "load_state_dict by the output's key, assign=True",
    "to(dtype), overwriting",
    "to_empty, made in torch.device('meta')",
    "to_empty, made with device='meta'",
    "to_empty, moved to meta",
)


def _load_from_file(way: Way) -> Model:
    model = way()
    model.load_state_dict(through_a_file(way().state_dict()), assign=True)
    return model


def _keys(way: Way) -> list[str]:
    return [name for name, value in way().state_dict().items() if value.shape == (VOCAB, EMBED)]


def _add_and_take(add: Callable[[Model], object], take: Callable[[Model], object]) -> Callable[[Way], Model]:
    """While something computes the embedding's weight, the output reads that; afterwards both have it again."""

    def change(way: Way) -> Model:
        model = way()
        add(model.embedding)
        model(tokens())
        assert_computed_once(model)
        if parametrize.is_parametrized(model.embedding):  # torch copies nothing that a hook has computed
            assert_computed_once(copy.deepcopy(model))
        assert_computed_once(model.double())
        take(model.embedding)
        return model

    return change


def assert_computed_once(model: Model) -> None:
    """One original, counted once; what is computed of it is the same tensor for all."""
    model(tokens().to(model.embedding.weight.device))
    layers = [getattr(model, name) for name in ("embedding", "source", "out") if hasattr(model, name)]
    with parametrize.cached():
        for layer in layers:
            assert layer.weight is layers[0].weight
    large = [
        name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter.shape == (VOCAB, EMBED)
    ]
    assert len(large) == 1


class Doubled(torch.nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


def _unparametrize(layer: torch.nn.Module) -> None:
    parametrize.remove_parametrizations(layer, "weight")


SURVIVED |= {
    "parametrize": _add_and_take(
        lambda layer: parametrize.register_parametrization(layer, "weight", Doubled()), _unparametrize
    ),
    "weight_norm": _add_and_take(parametrizations.weight_norm, _unparametrize),
    "weight_norm by a hook": _add_and_take(torch.nn.utils.weight_norm, torch.nn.utils.remove_weight_norm),
    "spectral_norm by a hook": _add_and_take(torch.nn.utils.spectral_norm, torch.nn.utils.remove_spectral_norm),
    "pruning": _add_and_take(
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5), lambda layer: prune.remove(layer, "weight")
    ),
}
every_survival = pytest.mark.parametrize("name", SURVIVED)


# The tests ------------------------------------------------------------------------------------------------------------


@every_way
@every_survival
def test_a_tie_survives(name: str, way: Way) -> None:
    assert assert_tied(SURVIVED[name](way)).shape == (VOCAB, EMBED)


@every_way
@every_survival
def test_a_tie_kept_by_copy_does_not(name: str, way: Way) -> None:
    assert_fails(name, by_copy(way))


@every_way
@pytest.mark.parametrize("name", OURS)
def test_nor_does_one_that_the_library_keeps_by_copy(name: str, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    def put_a_copy(module: Any, key: str, parameter: torch.Tensor | None) -> None:
        copied = None if parameter is None else torch.nn.Parameter(parameter.detach().clone())
        put(module, key, copied)

    put = tie.put
    monkeypatch.setattr(tie, "put", put_a_copy)
    monkeypatch.setattr(preservation, "put", put_a_copy)
    assert_fails(name, way)


def assert_fails(name: str, way: Way) -> None:
    """The test of this name fails for that way: what should be one parameter is not, or a key of it is missing."""
    with pytest.raises((AssertionError, RuntimeError)) as info:
        assert_tied(SURVIVED[name](way))
    assert isinstance(info.value, AssertionError) or "Missing key(s)" in str(info.value)
