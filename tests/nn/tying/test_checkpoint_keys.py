"""Checkpoints of tied models in plain torch: one key or two, that agree or not."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.tied_models import (
    EMBED,
    VOCAB,
    ByDecoder,
    assert_tied,
    keep_by_copy,
    without_gru,
)
from tests.nn.tying.ways import Way, every_way


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
