"""`MultiheadAttention` and torch's transformer layers, split by heads."""

from __future__ import annotations

import pytest

from dimtyped import DeclarationError, dims, nn, sharding_plan
from dimtyped.distributed import KindOfParameter, parameter_memory
from tests.distributed import attention_workers, workers

embed, heads, ff = dims(embed=32, heads=4, ff=64)


@pytest.mark.slow
def test_four_processes_attend_as_one_does(tmp_path):
    """Each form of a call, torch's transformer layers under FSDP2, and a checkpoint on another mesh."""
    workers.run(attention_workers.everything, str(tmp_path))


def test_each_parameter_of_an_attention_is_explained():
    placed = sharding_plan(nn.Sequential(nn.MultiheadAttention(embed, heads)), {"heads": "tp"}, explain=True)
    reason = "MultiheadAttention(embed=32, heads=4) has `heads`"
    assert placed == {
        "0.in_proj_weight": f"axis 1 over tp: {reason}",
        "0.in_proj_bias": f"whole: {reason}",
        "0.out_proj.weight": f"axis 1 over tp: {reason}",
        "0.out_proj.bias": f"whole: {reason}",
    }


def test_a_model_that_is_an_attention():
    assert set(sharding_plan(nn.MultiheadAttention(embed, heads), {"heads": "tp"})) == {"", "out_proj"}


def test_the_layers_of_a_transformer():
    model = nn.Transformer(embed, heads, 1, 1, ff, batch_first=True)
    placed = sharding_plan(model, {"heads": "tp", "ff": "tp"}, explain=True)
    split = {key.removesuffix(".weight") for key, text in placed.items() if key.endswith("weight") and "axis" in text}
    encoder = {
        f"encoder.layers.0.{each}" for each in ("self_attn.in_proj_weight", "self_attn.out_proj", "linear1", "linear2")
    }
    cross = {"decoder.layers.0.multihead_attn.in_proj_weight", "decoder.layers.0.multihead_attn.out_proj"}
    assert split == encoder | {each.replace("encoder", "decoder") for each in encoder} | cross


def test_memory_of_an_attention_on_one_device():
    memory = parameter_memory(nn.Sequential(nn.MultiheadAttention(embed, heads)), {"heads": "tp"}, tensor_parallel=4)
    assert memory["*.in_proj_weight"] == KindOfParameter(1, (96, 32), (96, 8), 96 * 8 * 4)
    assert memory["*.in_proj_bias"].local == (96,)
    assert memory["*.out_proj.weight"].local == (32, 8)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.MultiheadAttention(embed, heads), "cannot be split by `embed`: each head needs all features"),
        (nn.TransformerEncoderLayer(embed, heads), "cannot be split by `embed`: its norms need the whole axis"),
    ],
)
def test_the_features_of_an_attention_stay_whole(layer, text):
    with pytest.raises(DeclarationError) as caught:
        sharding_plan(nn.Sequential(layer), {"embed": "tp"})
    assert text in str(caught.value)


def test_transformers_has_no_style_for_it():
    with pytest.raises(DeclarationError, match="it has no words for the heads of MultiheadAttention"):
        sharding_plan(nn.Sequential(nn.MultiheadAttention(embed, heads)), {"heads": "tp"}, as_tp_plan=True)
