"""Tensors between layers are split by a name that no layer declares; annotated modules say how their tensors are split."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, SequenceParallel

from dimtyped import DeclarationError, DimSize, nn, sharding_plan
from tests.distributed import sequence_workers, workers
from tests.distributed.sequence_workers import Apart, TimeFirst
from tests.distributed.workers import GPT, NAMES

WITH_SEQ = NAMES | {"seq": "tp"}


@pytest.mark.slow
def test_four_processes_compute_what_one_does_on_parts_of_a_sequence(tmp_path):
    """Two models, on meshes of 2 x 2 and of 4, with lengths that the mesh does not divide; a checkpoint on another mesh."""
    workers.run(sequence_workers.everything, str(tmp_path))


@pytest.mark.parametrize(("model", "axis"), [(GPT(40, 32), 1), (TimeFirst(40, 32), 0)])
def test_the_axis_of_a_sequence_is_where_the_run_has_it(model, axis):
    plan = sharding_plan(model, WITH_SEQ)
    prefix = "blocks.0." if axis == 1 else ""
    norm = plan[f"{prefix}norm"]
    assert isinstance(norm, SequenceParallel)
    assert norm.sequence_sharding == (Shard(axis),)
    up = plan["blocks.0.up" if axis == 1 else "perceptron.up"]
    down = plan["blocks.0.down" if axis == 1 else "perceptron.down"]
    assert isinstance(up, ColwiseParallel)
    assert up.input_layouts == (Shard(axis),)
    assert isinstance(down, RowwiseParallel)
    assert down.output_layouts == plan["words"].output_layouts == (Shard(axis),)
    assert plan["head"].output_layouts == (Replicate(),)


def test_each_placement_is_explained():
    placed = sharding_plan(TimeFirst(40, 32), WITH_SEQ, explain=True)
    assert placed["norm.weight"] == "whole: along `seq`, axis 0, gathered once for the layers after it"
    assert placed["gru.weight_ih_l0"] == "whole: no name splits this layer, so each device computes all of it"
    assert placed["scale.weight"] == "whole"
    assert placed["attention.forward: x"] == 'axis 0 over tp: `seq` of Float[Tensor, "seq batch embed"]'


def test_a_norm_gives_the_whole_sequence_to_several_column_wise_layers():
    class Gated(nn.Module):
        def __init__(self, embed: DimSize, ff: DimSize):
            super().__init__()
            self.norm, self.other = nn.RMSNorm(embed), nn.LayerNorm(embed)
            self.up, self.gate, self.down = nn.Linear(embed, ff), nn.Linear(embed, ff), nn.Linear(ff, embed)

        def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
            y = self.norm(x)
            y = self.down(self.up(y) * self.gate(y))
            return self.down(self.up(self.other(y)))

    plan = sharding_plan(Gated(8, 16), {"ff": "tp", "seq": "tp"})
    assert plan["norm"].gathers
    assert not plan["other"].gathers  # one layer takes it, and gathers it itself


def test_an_annotation_splits_what_no_layer_makes():
    placed = sharding_plan(Apart(32, 4, 8), {"heads": "tp"}, explain=True)
    assert placed["distances.forward: return"] == 'axis 0 over tp: `heads` of Float[Tensor, "heads seq seq"]'
    assert placed["mixing.forward: query"] == 'axis 1 over tp: `heads` of Float[Tensor, "batch heads seq head"]'
    assert sum(key.startswith("mixing.forward: return") for key in placed) == 1
    assert not any(key.startswith("forward") for key in placed)  # the model itself takes and gives whole tensors


class NeedsInput(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.block = Inner(embed)

    def forward(self, x, times):
        return self.block(x.repeat(1, times, 1))


class Inner(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.norm = nn.LayerNorm(embed)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        return self.norm(x)


def test_inputs_of_a_model_that_its_annotations_do_not_make():
    with pytest.raises(DeclarationError) as caught:
        sharding_plan(NeedsInput(8), {"seq": "tp"})
    assert str(caught.value) == (
        "sharding_plan: `seq` is an axis of activations, and NeedsInput does not run on fake inputs: NeedsInput.forward: no "
        "annotation says which tensors it takes, and no inputs were given\n"
        "  Give inputs that it takes, inputs=(tokens,), or leave `seq` out."
    )
    plan = sharding_plan(NeedsInput(8), {"seq": "tp"}, inputs=(torch.ones(2, 3, 8), 2))
    assert plan["block.norm"].sequence_sharding == (Shard(1),)


@pytest.mark.parametrize(
    ("names", "options", "text"),
    [
        (
            {"seq": "tp", "batch": "tp"},
            {},
            "no layer declares `seq` and `batch`: they are axes of the same activations, and only one can be split",
        ),
        (
            WITH_SEQ,
            {"as_tp_plan": True},
            "transformers' tp_plan cannot split by `seq`: it has no words for the layout of",
        ),
        ({"squ": "tp"}, {}, "they declare embed, ff, head, heads, vocab, and annotations have batch, seq"),
    ],
)
def test_names_of_activations_that_cannot_be(names, options, text):
    with pytest.raises(DeclarationError) as caught:
        sharding_plan(GPT(40, 32), names, **options)
    assert text in str(caught.value)
