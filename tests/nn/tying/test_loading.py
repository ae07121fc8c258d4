"""Checkpoints of tied models: the keys that torch would report, and what the ecosystem's libraries save and load."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from accelerate import Accelerator, load_checkpoint_in_model
from safetensors.torch import load_file, load_model, save_model
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from transformers import PretrainedConfig, PreTrainedModel

from dimtyped import nn, retype, tie
from tests.helpers.tied_models import EMBED, VOCAB, WAYS, assert_tied, tokens

Way = Callable[[], torch.nn.Module]
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


def tied_keys(model: torch.nn.Module) -> list[str]:
    weight = assert_tied(model)
    return [key for key, parameter in model.named_parameters(remove_duplicate=False) if parameter is weight]


def assert_same(model: torch.nn.Module, other: torch.nn.Module) -> None:
    """Equal values, and each model is tied."""
    assert assert_tied(model) is not assert_tied(other)
    torch.testing.assert_close(dict(model.state_dict()), dict(other.state_dict()))


# The keys that are reported -------------------------------------------------------------------------------------------


class Plain(torch.nn.Module):
    """Torch's own layers, tied by assignment."""

    def __init__(self, library: Any) -> None:
        super().__init__()
        self.embedding = library.Embedding(VOCAB, EMBED)
        self.out = library.Linear(EMBED, VOCAB)
        self.out.weight = self.embedding.weight


@pytest.mark.parametrize(
    "lost", [["out.weight"], ["embedding.weight"], ["out.weight", "out.bias"], ["out.bias"]], ids=str
)
@pytest.mark.parametrize("make", [lambda: Plain(nn), lambda: retype(Plain(torch.nn))], ids=["typed", "retyped"])
@pytest.mark.parametrize("assign", [False, True])
def test_a_load_that_is_not_strict_reports_what_torch_reports(make: Way, lost: list[str], assign: bool) -> None:
    saved = {key: value.clone() for key, value in Plain(torch.nn).state_dict().items() if key not in lost}
    model = make()
    result = model.load_state_dict(saved, strict=False, assign=assign)
    assert result == Plain(torch.nn).load_state_dict(saved, strict=False)
    assert result.missing_keys
    key = next(key for key in ("embedding.weight", "out.weight") if key in saved)
    torch.testing.assert_close(model.out.weight.detach(), saved[key])
    assert model.out.weight is model.embedding.weight


@every_way
def test_each_key_that_is_not_there_is_missing(way: Way) -> None:
    for kept in tied_keys(way()):
        model = way()
        saved = {key: value.clone() for key, value in way().state_dict().items() if key not in tied_keys(model)}
        saved[kept] = torch.ones(VOCAB, EMBED)
        result = model.load_state_dict({**saved, "other": torch.zeros(1)}, strict=False)
        assert result.missing_keys == [key for key in model.state_dict() if key not in saved]
        assert result.unexpected_keys == ["other"]
        torch.testing.assert_close(assert_tied(model).detach(), saved[kept])


@every_way
def test_of_a_strict_load_one_key_is_enough(way: Way) -> None:
    saved = {key: value for key, value in way().state_dict().items() if key != "out.weight"}
    assert not way().load_state_dict(saved).missing_keys
    del saved[next(key for key in saved if key.endswith("weight_ih_l0"))]
    with pytest.raises(RuntimeError, match="Missing key") as info:
        way().load_state_dict(saved)
    assert "weight_ih_l0" in str(info.value)
    assert "out.weight" not in str(info.value)


# Libraries ------------------------------------------------------------------------------------------------------------


@every_way
def test_safetensors(way: Way, tmp_path: Path) -> None:
    model, other = way(), way()
    save_model(model, str(tmp_path / "model.safetensors"))
    assert len(tied_keys(model)) > len(set(tied_keys(model)) & load_file(tmp_path / "model.safetensors").keys()) == 1
    assert load_model(other, tmp_path / "model.safetensors") == (set(), [])
    assert_same(model, other)


def test_safetensors_of_a_retyped_model(tmp_path: Path) -> None:
    model, other = retype(Plain(torch.nn)), retype(Plain(torch.nn))
    save_model(model, str(tmp_path / "model.safetensors"))
    assert load_model(other, tmp_path / "model.safetensors") == (set(), [])
    torch.testing.assert_close(dict(other.state_dict()), dict(model.state_dict()))
    assert other.out.weight is other.embedding.weight


@every_way
def test_accelerate(way: Way, tmp_path: Path) -> None:
    accelerator = Accelerator(cpu=True)
    model = accelerator.prepare(way())
    before = copy.deepcopy(model)
    accelerator.save_state(str(tmp_path / "state"))
    with torch.no_grad():
        assert_tied(model).zero_()
    accelerator.load_state(str(tmp_path / "state"))
    assert_same(model, before)
    accelerator.save_model(model, str(tmp_path / "model"))
    other = way()
    load_checkpoint_in_model(other, str(tmp_path / "model"))
    assert_same(model, other)


class TiedConfig(PretrainedConfig):
    model_type = "tied"

    def __init__(self, how: str = "tie", **options: Any) -> None:
        super().__init__(**options)
        self.how = how


class TiedModel(PreTrainedModel):
    config_class = TiedConfig
    _tied_weights_keys = {"out.weight": "embedding.weight"}  # noqa: RUF012  # as transformers' models have it

    def __init__(self, config: TiedConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(VOCAB, EMBED)
        self.out = nn.TiedDecoder(self.embedding) if config.how == "decoder" else nn.Linear(EMBED, VOCAB)
        if config.how == "tie":
            tie(self.out, self.embedding)
        elif config.how == "assignment":
            self.out.weight = self.embedding.weight
        self.post_init()

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.embedding

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.out


@pytest.mark.parametrize("how", ["decoder", "tie", "assignment"])
def test_transformers(how: str, tmp_path: Path) -> None:
    model = TiedModel(TiedConfig(how=how, tie_word_embeddings=True))
    model.save_pretrained(tmp_path)
    other, report = TiedModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert_same(model, other)


@every_way
@pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
@pytest.mark.parametrize("strict", [False, True])
def test_distributed_checkpoint(way: Way, strict: bool, tmp_path: Path) -> None:
    model, other = way(), way()
    dcp.save(get_model_state_dict(model), checkpoint_id=tmp_path, no_dist=True)
    state = get_model_state_dict(other)
    dcp.load(state, checkpoint_id=tmp_path, no_dist=True)
    result = set_model_state_dict(other, state, options=StateDictOptions(strict=strict))
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    assert_same(model, other)


@every_way
@pytest.mark.filterwarnings("ignore")  # Lightning warns of this machine and of its own defaults
@pytest.mark.parametrize("strict", [False, True])
def test_lightning(way: Way, strict: bool, tmp_path: Path) -> None:
    lightning = pytest.importorskip("pytorch_lightning", reason="the extra [ecosystem] installs it")

    class Training(lightning.LightningModule):  # type: ignore[name-defined,misc]  # known only here
        def __init__(self, way: Way) -> None:
            super().__init__()
            self.model = way()

        def training_step(self, batch: torch.Tensor, _: int) -> torch.Tensor:
            return self.model(batch).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    training = Training(way)
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(training, torch.utils.data.DataLoader(list(tokens()), batch_size=2))
    trainer.save_checkpoint(tmp_path / "training.ckpt")
    loaded = Training.load_from_checkpoint(tmp_path / "training.ckpt", way=way, strict=strict)
    assert_same(training.model, loaded.model)


class _Incomparable(torch.Tensor):
    """A library's tensor that knows no `==`, as a quantized one does."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function in (torch.Tensor.eq, torch.Tensor.__eq__):
            raise NotImplementedError("aten.eq")
        return super().__torch_function__(function, types, args, kwargs or {})


def test_tensors_that_cannot_be_compared_are_refused_in_words():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    model[1].weight = model[0].weight
    saved = [torch.ones(5, 3).as_subclass(_Incomparable) for _ in range(2)]
    model[0].weight = model[1].weight = torch.nn.Parameter(saved[0].clone())
    with pytest.raises(RuntimeError, match="this cannot be checked, because a _Incomparable cannot be compared"):
        model.load_state_dict({"0.weight": saved[0], "1.weight": saved[1]})
    one = torch.nn.Parameter(torch.ones(5, 3).as_subclass(_Incomparable))
    model.load_state_dict({"0.weight": one, "1.weight": one}, assign=True)
