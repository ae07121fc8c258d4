"""A tensor-parallel plan from the layers' names: the split model computes what one process does."""

from __future__ import annotations

import pytest
import transformers
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel

from dimtyped import DeclarationError, dims, nn, sharding_plan
from dimtyped.distributed import KindOfParameter, parameter_memory
from tests.distributed import workers
from tests.distributed.workers import GPT, NAMES

BLOCK = {
    "blocks.*.query": "colwise",
    "blocks.*.key": "colwise",
    "blocks.*.value": "colwise",
    "blocks.*.out": "rowwise",
    "blocks.*.up": "colwise",
    "blocks.*.down": "rowwise",
}


def test_the_plan_of_a_gpt():
    plan = sharding_plan(GPT(40, 32), NAMES, as_tp_plan=True)
    assert plan == {"words": "embedding_rowwise", **BLOCK, "head": "colwise_gather_output"}


def test_what_parallelize_module_takes():
    plan = sharding_plan(GPT(40, 32), NAMES)
    up, down, words = plan["blocks.0.up"], plan["blocks.1.down"], plan["words"]
    assert isinstance(up, ColwiseParallel)
    assert not up.use_local_output
    assert up.output_layouts == (Shard(-1),)
    assert isinstance(down, RowwiseParallel)
    assert isinstance(words, RowwiseParallel)
    assert words.input_layouts == (Replicate(),)


def test_a_name_that_is_left_out_stays_whole():
    plan = sharding_plan(GPT(40, 32), {"ff": "tp"}, as_tp_plan=True)
    assert plan == {"blocks.*.up": "colwise", "blocks.*.down": "rowwise"}


def test_each_parameter_is_explained():
    placed = sharding_plan(GPT(40, 32), NAMES, explain=True)
    assert placed["words.weight"] == "axis 0 over tp: Embedding(vocab=40 -> embed=32) has `vocab`"
    assert placed["blocks.1.down.weight"] == "axis 1 over tp: Linear(ff=64 -> embed=32) takes `ff`"
    assert placed["blocks.1.down.bias"] == "whole: Linear(ff=64 -> embed=32) takes `ff`"
    assert placed["blocks.0.norm.weight"] == "whole"
    assert placed.keys() >= {name for name, _ in GPT(40, 32).named_parameters()}


embed, ff, heads, channels = dims(embed=32, ff=64, heads=4, channels=8)


@pytest.mark.parametrize(
    ("layer", "name", "text"),
    [
        (nn.Linear(ff, ff), "ff", "Linear(ff=64 -> ff=64) cannot be split by `ff`: `ff` and `ff` cannot both be split"),
        (nn.LayerNorm(embed), "embed", "LayerNorm(embed=32) cannot be split by `embed`: a norm needs the whole axis"),
        (nn.Conv2d(3, channels, 3), "channels", "cannot be split by `channels`: torch cannot split a convolution"),
        (nn.GRU(embed, ff), "ff", "cannot be split by `ff`: each step needs the whole state"),
        (nn.Linear(embed, 3 * heads), "heads", "the parts of `3*heads` that belong to one `heads` do not lie together"),
    ],
)
def test_a_layer_that_cannot_be_split_is_refused_by_name(layer, name, text):
    with pytest.raises(DeclarationError) as caught:
        sharding_plan(nn.Sequential(layer), {name: "tp"})
    assert str(caught.value).startswith("sharding_plan: 0: ")
    assert text in str(caught.value)
    assert caught.value.dim == name


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (
            {"vocb": "tp"},
            "no layer of GPT declares `vocb`; they declare embed, ff, head, heads, vocab, "
            "and annotations have batch, seq\n  Write `vocab`.",
        ),
        ({"ff": "tp", "vocab": "dp"}, "all names go to one axis of the mesh, and they have 'dp', 'tp'"),
        ({}, "all names go to one axis of the mesh, and there is no name"),
    ],
)
def test_names_that_cannot_be(names, text):
    with pytest.raises(DeclarationError) as caught:
        sharding_plan(GPT(40, 32), names)
    assert text in str(caught.value)


def test_memory_of_each_kind_of_parameter_on_one_device():
    memory = parameter_memory(GPT(40, 32), NAMES, tensor_parallel=2, data_parallel=4)
    assert memory["blocks.*.down.weight"] == KindOfParameter(2, (32, 64), (8, 32), 2 * 8 * 32 * 4)
    assert memory["words.weight"] == KindOfParameter(1, (40, 32), (5, 32), 5 * 32 * 4)
    assert memory["blocks.*.norm.bias"].local == (8,)
    whole = parameter_memory(GPT(40, 32), NAMES)
    assert sum(kind.nbytes for kind in whole.values()) == sum(4 * p.numel() for p in GPT(40, 32).parameters())


@pytest.mark.slow
def test_four_processes_compute_what_one_does_and_name_what_does_not_fit(tmp_path):
    """Two models with each kind of tie and one with recurrent layers, on meshes of 2 x 2 and of 4."""
    workers.run(workers.everything, str(tmp_path))


def test_the_plan_of_a_llama_is_the_one_that_transformers_has():
    config = transformers.LlamaConfig(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = transformers.LlamaForCausalLM(config)
    hidden, ff, heads, groups, head, vocab = dims(hidden=32, ff=64, heads=4, groups=2, head=8, vocab=40)
    for layer in model.model.layers:
        attention, perceptron = layer.self_attn, layer.mlp
        attention.q_proj = nn.Linear(hidden, heads * head, bias=False)
        attention.k_proj, attention.v_proj = (nn.Linear(hidden, groups * head, bias=False) for _ in range(2))
        attention.o_proj = nn.Linear(heads * head, hidden, bias=False)
        perceptron.gate_proj, perceptron.up_proj = (nn.Linear(hidden, ff, bias=False) for _ in range(2))
        perceptron.down_proj = nn.Linear(ff, hidden, bias=False)
    model.model.embed_tokens = nn.Embedding(vocab, hidden)
    model.lm_head = nn.Linear(hidden, vocab, bias=False)
    plan = sharding_plan(model, dict.fromkeys(("ff", "heads", "groups", "vocab"), "tp"), as_tp_plan=True)
    assert plan == {f"model.{path}": style for path, style in config.base_model_tp_plan.items()} | model._tp_plan
