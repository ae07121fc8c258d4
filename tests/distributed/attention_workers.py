"""What the processes of the tests of `MultiheadAttention` by heads do, and the models that they split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributed import checkpoint
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import parallelize_module

from dimtyped import DeclarationError, DimensionError, DimSize, dims, nn, sharding_plan, status, unchecked
from tests.distributed.workers import assert_loads, whole

BATCH, TARGET, SOURCE, EMBED, HEADS = 3, 5, 7, 32, 4
embed, heads = dims(embed=EMBED, heads=HEADS)


class Encoder(nn.Module):
    """A stack of torch's encoder layers between an embedding and a tied output."""

    def __init__(self, vocab: DimSize, embed: DimSize, heads: DimSize, ff: DimSize):
        super().__init__()
        self.words = nn.Embedding(vocab, embed)
        layer = nn.TransformerEncoderLayer(embed, heads, ff, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.cross = nn.TransformerDecoderLayer(embed, heads, ff, dropout=0.0, batch_first=True)
        self.head = nn.TiedDecoder(self.words, embed)

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
        words = self.words(tokens)
        padding = tokens == 0
        memory = self.encoder(words, src_key_padding_mask=padding)
        return self.head(self.cross(words, memory, memory_key_padding_mask=padding))


NAMES = {"heads": "tp", "ff": "tp", "vocab": "tp"}


def drawn(*shape: int, seed: int = 1) -> Tensor:
    """Numbers that are the same in each process."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def masked(*shape: int, seed: int = 2) -> Tensor:
    """A mask that leaves each row something."""
    found = drawn(*shape, seed=seed) > 0.5
    found[..., 0] = False
    return found


FIRST = {"batch_first": True}
CALLS: dict[str, tuple[dict[str, Any], tuple[int, ...], tuple[int, ...], Callable[[], Mapping[str, Any]]]] = {
    "sequence first": ({}, (TARGET, BATCH), (SOURCE, BATCH), dict),
    "batch first": (FIRST, (BATCH, TARGET), (BATCH, SOURCE), lambda: {"need_weights": False}),
    "without batch": (FIRST, (TARGET,), (SOURCE,), lambda: {"attn_mask": masked(HEADS, TARGET, SOURCE)}),
    "each head": ({}, (TARGET, BATCH), (SOURCE, BATCH), lambda: {"average_attn_weights": False}),
    "each head without batch": ({}, (TARGET,), (SOURCE,), lambda: {"average_attn_weights": False}),
    "mask and padding": (
        FIRST,
        (BATCH, TARGET),
        (BATCH, SOURCE),
        lambda: {"attn_mask": masked(TARGET, SOURCE), "key_padding_mask": masked(BATCH, SOURCE)},
    ),
    "a mask for each head": (
        FIRST | {"bias": False},
        (BATCH, TARGET),
        (BATCH, SOURCE),
        lambda: {"attn_mask": drawn(BATCH * HEADS, TARGET, SOURCE), "need_weights": False},
    ),
    "causal": (
        FIRST,
        (BATCH, TARGET),
        (BATCH, TARGET),
        lambda: {"attn_mask": torch.ones(TARGET, TARGET).triu(1).bool(), "is_causal": True, "need_weights": False},
    ),
    "more keys": (
        {"add_bias_kv": True, "add_zero_attn": True},
        (TARGET, BATCH),
        (SOURCE, BATCH),
        lambda: {"attn_mask": masked(TARGET, SOURCE), "key_padding_mask": masked(BATCH, SOURCE)},
    ),
    "other widths": ({"kdim": 6, "vdim": 10}, (TARGET, BATCH), (SOURCE, BATCH), dict),
}


def same_attention(rank: int, name: str) -> None:
    """Results and gradients of a call equal those of one process."""
    options, target, source, make = CALLS[name]
    mesh = init_device_mesh("cpu", (4,), mesh_dim_names=("tp",))
    found: list[list[Tensor | None]] = []
    for is_split in (False, True):
        torch.manual_seed(0)
        layer = nn.MultiheadAttention(embed, heads, **options)
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        model = torch.nn.Sequential(layer)
        if is_split:
            parallelize_module(model, mesh, sharding_plan(model, {"heads": "tp"}, mesh=mesh))
            shapes = {key: tuple(each.to_local().shape) for key, each in layer.named_parameters()}
            assert shapes.get("in_proj_weight", (96, 8)) == (96, 8)
            assert shapes["out_proj.weight"] == (32, 8)
        inputs = [drawn(*target, EMBED), drawn(*source, layer.kdim), drawn(*source, layer.vdim, seed=3)]
        for each in inputs:
            each.requires_grad_()
        output, weights = layer(*inputs, **make())
        assert not isinstance(output, DTensor)
        assert not isinstance(weights, DTensor)
        loss = (output * drawn(*output.shape, seed=4)).sum()
        (loss if weights is None else loss + (weights * drawn(*weights.shape, seed=5)).sum()).backward()
        gradients = [whole(each.grad) for each in (*inputs, *layer.parameters())]
        found.append([output, weights, *gradients])
    labels = ["output", "weights", "query", "key", "value", *dict(layer.named_parameters())]
    for label, one, split in zip(labels, *found, strict=True):
        torch.testing.assert_close(split, one, rtol=1e-4, atol=1e-5, msg=lambda text: f"{name}, {label}: {text}")  # noqa: B023  # called at once


def refused_calls(rank: int) -> None:
    """A wrong call of a split attention is a DimensionError in each process, by whole sizes."""
    mesh = init_device_mesh("cpu", (4,), mesh_dim_names=("tp",))
    model = torch.nn.Sequential(nn.MultiheadAttention(embed, heads, batch_first=True))
    parallelize_module(model, mesh, sharding_plan(model, {"heads": "tp"}, mesh=mesh))
    x = torch.ones(BATCH, TARGET, EMBED)
    with pytest.raises(DimensionError, match="embed is 31, must be 32"):
        model[0](x[..., 1:], x, x)
    with pytest.raises(DimensionError, match="embed is 31, must be 32"):
        model[0](x[..., 1:], x[..., 1:], x[..., 1:])
    with pytest.raises(DimensionError, match="attn_mask"):
        model[0](x, x, x, attn_mask=torch.ones(TARGET, TARGET + 1, dtype=torch.bool))
    assert [row.state for row in status(model).rows if row.path == "0"] == ["checked"]
    with unchecked(model), pytest.raises(RuntimeError) as raised:
        model[0](x[..., 1:], x, x)
    assert not isinstance(raised.value, DimensionError)
    three = nn.Sequential(nn.MultiheadAttention(EMBED - 2, dims(heads=3)[0]))
    with pytest.raises(DeclarationError, match="`heads` is 3, which the 4 devices of 'tp' do not divide"):
        sharding_plan(three, {"heads": "tp"}, mesh=mesh)


def _encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(40, EMBED, HEADS, 64)


def same_encoder(rank: int, names: Mapping[str, str]) -> None:
    """Losses and gradients of two steps on a mesh of 2 x 2 equal those of one process; so do the logits in `eval`."""
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    one, split = _encoder(), _encoder()
    parallelize_module(split, mesh["tp"], sharding_plan(split, names, mesh=mesh))
    fully_shard(split, mesh=mesh["dp"])
    optimizers = [torch.optim.SGD(model.parameters(), 0.1) for model in (one, split)]
    for step in range(2):
        tokens = torch.randint(40, (4, 6), generator=torch.Generator().manual_seed(step))
        tokens[:, 4:] = 0
        mine = slice(2 * mesh["dp"].get_local_rank(), 2 * mesh["dp"].get_local_rank() + 2)
        factors = drawn(4, 6, 40)
        (one(tokens) * factors).mean().backward()
        (split(tokens[mine]) * factors[mine]).mean().backward()
        parameters = dict(split.named_parameters())
        for key, parameter in one.named_parameters():
            torch.testing.assert_close(whole(parameters[key].grad), parameter.grad, rtol=1e-3, atol=1e-6, msg=key)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        torch.testing.assert_close(split.eval()(tokens), one.eval()(tokens), rtol=1e-3, atol=1e-5)


def checkpoint_of_attention(rank: int, folder: str) -> None:
    """A checkpoint of two parts, under FSDP2, loads in four and in one; the whole parameter is the same."""
    path = str(Path(folder) / "attention")
    both = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    four = init_device_mesh("cpu", (4,), mesh_dim_names=("tp",))
    saved, loaded, one = _encoder(), _encoder(), _encoder()
    expected = {key: value.detach().clone() for key, value in one.state_dict().items()}
    parallelize_module(saved, both["tp"], sharding_plan(saved, NAMES, mesh=both))
    fully_shard(saved, mesh=both["dp"])
    checkpoint.save(saved.state_dict(), checkpoint_id=path)
    parallelize_module(loaded, four, sharding_plan(loaded, NAMES, mesh=four))
    for model in (loaded, one):
        assert_loads(model, path, expected)


def everything(rank: int, folder: str) -> None:
    """All of the above: starting processes takes longer than what they do."""
    for name in CALLS:
        same_attention(rank, name)
    refused_calls(rank)
    same_encoder(rank, NAMES)
    same_encoder(rank, {"heads": "tp"})
    same_encoder(rank, {"ff": "tp"})
    same_encoder(rank, NAMES | {"seq": "tp"})
    checkpoint_of_attention(rank, folder)
