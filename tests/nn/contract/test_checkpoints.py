"""A checkpoint that does not fit is named by dimension, beside torch's own words."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable

import pytest
import torch

from dimtyped import Dim, dims, nn
from tests.helpers.right_arguments import WITH_PARAMETERS, affine, make


class Model(nn.Module):
    def __init__(self, vocab: int, embed: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, hidden, num_layers=2, bidirectional=True)
        self.out = nn.Linear(2 * hidden, vocab)


def refusal(model: torch.nn.Module, saved: dict[str, torch.Tensor], **options: bool) -> str:
    with pytest.raises(RuntimeError) as info:
        model.load_state_dict(saved, **options)
    assert type(info.value) is RuntimeError
    return str(info.value)


def test_another_vocabulary() -> None:
    """B5: torch says `size mismatch for embedding.weight` and two shapes."""
    text = refusal(Model(32_000, 2, 3), Model(32_001, 2, 3).state_dict())
    assert "vocab: 32001 in the checkpoint, 32000 in the model" in text
    torchs = "size mismatch for embedding.weight: copying a param with shape torch.Size([32001, 2]) from checkpoint"
    assert torchs in text
    assert text.startswith("Error(s) in loading state_dict for Model:")


def test_pretrained_rnn_of_other_sizes() -> None:
    """C6."""
    text = refusal(nn.GRU(4, 6), nn.GRU(5, 8).state_dict())
    assert "hidden: 8 in the checkpoint, 6 in the model; embed: 5 in the checkpoint, 4 in the model" in text
    assert text.count("hidden: 8 in the checkpoint, 6 in the model") == 4  # each of its parameters, once
    for cell, gates in ((nn.LSTM, 4), (nn.RNN, 1)):
        text = refusal(cell(4, 6), cell(4, 8).state_dict())
        assert f"torch.Size([{gates * 8}, 4])" in text
        assert "hidden: 8 in the checkpoint, 6 in the model" in text


def test_all_layers_at_once_by_the_names_given() -> None:
    words, width, state = dims(words=10, width=4, state=3)
    text = refusal(Model(words, width, state), Model(11, 5, 3).state_dict())
    lines = text.splitlines()
    assert len([line for line in lines if "size mismatch" in line]) == 5
    assert "\t  words: 11 in the checkpoint, 10 in the model; width: 5 in the checkpoint, 4 in the model" in lines
    assert "\t  width: 5 in the checkpoint, 4 in the model" in lines
    assert "\t  words: 11 in the checkpoint, 10 in the model" in lines


@pytest.mark.parametrize("options", [{}, {"strict": False}, {"assign": True}], ids=str)
def test_in_every_mode_of_loading(options: dict[str, bool]) -> None:
    text = refusal(nn.Linear(4, 6), nn.Linear(4, 8).state_dict(), **options)
    assert text.count("out_features: 8 in the checkpoint, 6 in the model") == 2


def test_layers_in_a_plain_module_and_their_keys() -> None:
    model = torch.nn.ModuleDict({"a": torch.nn.Sequential(nn.Linear(4, 6)), "ab": nn.Linear(4, 6)})
    saved = torch.nn.ModuleDict({"a": torch.nn.Sequential(nn.Linear(5, 6)), "ab": nn.Linear(4, 7)}).state_dict()
    lines = refusal(model, saved).splitlines()
    told = {line: after for line, after in itertools.pairwise(lines) if "size mismatch" in line}
    assert [line.split(":")[0].strip() for line in told] == [
        "size mismatch for a.0.weight",
        "size mismatch for ab.weight",
        "size mismatch for ab.bias",
    ]
    assert [after.strip() for after in told.values()] == [
        "in_features: 5 in the checkpoint, 4 in the model",
        "out_features: 7 in the checkpoint, 6 in the model",
        "out_features: 7 in the checkpoint, 6 in the model",
    ]


def test_a_tied_decoder_is_named_under_both_keys() -> None:
    def make(vocab: int) -> torch.nn.Module:
        embedding = nn.Embedding(vocab, 4)
        return nn.ModuleDict({"embedding": embedding, "out": nn.TiedDecoder(embedding)})

    text = refusal(make(32), make(33).state_dict())
    assert text.count("vocab: 33 in the checkpoint, 32 in the model") == 3
    assert "one tied parameter" not in text


def test_a_transposed_weight() -> None:
    text = refusal(nn.Linear(4, 6), {"weight": torch.zeros(4, 6), "bias": torch.zeros(6)})
    assert "out_features: 4 in the checkpoint, 6 in the model" in text
    assert "the checkpoint has it transposed" in text


@pytest.mark.parametrize("shape", [(6,), (6, 4, 1), ()], ids=str)
def test_another_number_of_axes_is_left_to_torchs_words(shape: tuple[int, ...]) -> None:
    text = refusal(nn.Linear(4, 6, bias=False), {"weight": torch.zeros(shape)})
    assert "size mismatch for weight" in text
    assert "in_features" not in text


def test_missing_and_unexpected_keys_as_torch() -> None:
    def outcome(layer: torch.nn.Module, saved: dict[str, torch.Tensor]) -> str:
        return refusal(layer, saved)

    saved = {"weight": torch.zeros(6, 4), "scale": torch.zeros(1)}
    assert outcome(nn.Linear(4, 6), saved) == outcome(torch.nn.Linear(4, 6), saved)
    found = nn.Linear(4, 6).load_state_dict(saved, strict=False)
    assert found == torch.nn.Linear(4, 6).load_state_dict(saved, strict=False)


def test_a_value_that_is_no_tensor_as_torch() -> None:
    saved = {"weight": "words", "bias": torch.zeros(6)}
    assert refusal(nn.Linear(4, 6), saved) == refusal(torch.nn.Linear(4, 6), saved)  # type: ignore[dict-item]  # on purpose


def test_a_model_that_fits_loads() -> None:
    model, other = Model(10, 4, 3), Model(10, 4, 3)
    assert str(model.load_state_dict(other.state_dict())) == "<All keys matched successfully>"
    torch.testing.assert_close(model.state_dict(), other.state_dict())


@pytest.mark.parametrize(
    ("make", "torchs"),
    [
        (lambda: nn.Linear(4, 6), lambda: torch.nn.Linear(4, 6)),
        (lambda: nn.Embedding(4, 6), lambda: torch.nn.Embedding(4, 6)),
        (lambda: nn.LSTM(4, 6, 2, proj_size=3), lambda: torch.nn.LSTM(4, 6, 2, proj_size=3)),
    ],
    ids=["Linear", "Embedding", "LSTM"],
)
def test_torchs_checkpoints_both_ways(
    make: Callable[[], torch.nn.Module], torchs: Callable[[], torch.nn.Module]
) -> None:
    typed, plain = make(), torchs()
    typed.load_state_dict(plain.state_dict())
    plain.load_state_dict(typed.state_dict())
    assert typed.state_dict().keys() == plain.state_dict().keys()


# Every layer ----------------------------------------------------------------------------------------------------------


def larger(layer: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A checkpoint of a layer whose sizes are twice as large."""
    return {
        key: torch.zeros(2 * value.shape[0], *value.shape[1:]) if value.dim() else value
        for key, value in layer.state_dict().items()
    }


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("kind", WITH_PARAMETERS)
def test_each_key_of_each_kind_of_layer_is_named_by_dimension(kind: str) -> None:
    model = torch.nn.ModuleDict({"layer": make(nn, kind, **affine(kind))})
    text = refusal(model, larger(model))
    keys = [key for key, value in model.state_dict().items() if value.dim()]
    assert text.count("size mismatch for") == len(keys)
    assert [key for key in keys if not is_told(text, key)] == []


def is_told(text: str, key: str) -> bool:
    """Whether what differs is said beneath the key, or by the path of its layer in the typed one around it."""
    difference = r"[^\n:]+: \d+ in the checkpoint, \d+ in the model"
    parts = key.split(".")[:-1]
    paths = (re.escape(".".join(parts[start:])) for start in range(len(parts)))
    places = [rf"\t  {path}    " for path in paths] + [rf"size mismatch for {re.escape(key)}:[^\n]*\n\t  "]
    return any(re.search(place + difference, text) for place in places)


def test_the_layers_that_torch_puts_into_one_are_named_by_their_path() -> None:
    model = torch.nn.Sequential(nn.TransformerEncoderLayer(Dim("width", 4), 2, 6))
    saved = torch.nn.Sequential(torch.nn.TransformerEncoderLayer(6, 2, 5)).state_dict()
    lines = refusal(model, saved).splitlines()
    assert lines[1:5] == [
        "\tin TransformerEncoderLayer(width=4) of the model:",
        "\t  self_attn    embed: 6 in the checkpoint, 4 in the model",
        "\t  self_attn.out_proj    out_features: 6 in the checkpoint, 4 in the model; "
        "in_features: 6 in the checkpoint, 4 in the model",
        "\t  linear1    out_features: 5 in the checkpoint, 6 in the model; in_features: 6 in the checkpoint, 4 in the model",
    ]


def test_what_loads_itself_is_left_alone() -> None:
    """A part that brings a checkpoint into its own shape before torch looks, as some models do."""

    def narrow(state_dict: dict[str, torch.Tensor], prefix: str, *_: object) -> None:
        state_dict[f"{prefix}weight"] = state_dict[f"{prefix}weight"][:6]
        state_dict[f"{prefix}bias"] = state_dict[f"{prefix}bias"][:6]

    class Own(torch.nn.Linear):
        def _load_from_state_dict(self, state_dict: dict[str, torch.Tensor], prefix: str, *rest: object) -> None:
            narrow(state_dict, prefix)
            super()._load_from_state_dict(state_dict, prefix, *rest)

    layer = nn.TransformerEncoderLayer(4, 2, 6)
    saved = {key: torch.zeros(8, *v.shape[1:]) if "linear1" in key else v for key, v in layer.state_dict().items()}
    hooked, own = copy.deepcopy(layer), copy.deepcopy(layer)
    hooked.linear1.register_load_state_dict_pre_hook(lambda _, *given: narrow(*given))
    hooked.load_state_dict(saved)
    own.linear1 = Own(4, 6)
    own.load_state_dict(saved)
