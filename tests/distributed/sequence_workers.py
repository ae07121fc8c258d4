"""What the processes of the tests of sequence parallelism do, and the model that they split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.distributed import checkpoint
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard
from torch.distributed.tensor.experimental import implicit_replication
from torch.distributed.tensor.parallel import parallelize_module
from torch.nn import functional as F  # noqa: N812  # its name everywhere
from torch.utils._python_dispatch import TorchDispatchMode

from dimtyped import DimSize, nn, sharding_plan
from tests.distributed.workers import GPT, NAMES, Block, assert_loads, assert_same_step, whole


class Causal(Block):
    """A block that makes its mask itself."""

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        y = self.norm(x)
        query, key, value = self.split(self.query(y)), self.split(self.key(y)), self.split(self.value(y))
        later = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
        weights = (query @ key.transpose(2, 3)).masked_fill(later, float("-inf")).softmax(-1)
        return x + self.out((weights @ value).transpose(1, 2).flatten(2))


class Scale(nn.Module):
    """A norm written by hand: a parameter that no layer has."""

    def __init__(self, embed: DimSize):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(embed))

    def forward(self, x: Float[Tensor, "... embed"]) -> Float[Tensor, "... embed"]:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


class Attention(nn.Module):
    """Attention of sequences that come first, under a mask."""

    def __init__(self, embed: DimSize, heads: DimSize, head: DimSize):
        super().__init__()
        self.heads, self.head = heads, head
        self.query, self.key, self.value = (nn.Linear(embed, heads * head) for _ in range(3))
        self.each_head = nn.RMSNorm(head)
        self.out = nn.Linear(heads * head, embed)

    def split(self, x: Float[Tensor, "seq batch heads*head"]) -> Float[Tensor, "batch heads seq head"]:
        return x.view(x.shape[0], x.shape[1], self.heads, self.head).permute(1, 2, 0, 3)

    def forward(
        self, x: Float[Tensor, "seq batch embed"], mask: Bool[Tensor, "seq seq"] | None = None
    ) -> Float[Tensor, "seq batch embed"]:
        query, key, value = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        scores = self.each_head(query) @ key.transpose(2, 3) / self.head**0.5
        if mask is not None:
            scores = scores.masked_fill(mask, float("-inf"))
        return self.out((scores.softmax(-1) @ value).permute(2, 0, 1, 3).flatten(2))


class Perceptron(nn.Module):
    """A perceptron with a dropout."""

    def __init__(self, embed: DimSize, ff: DimSize):
        super().__init__()
        self.up, self.down = nn.Linear(embed, ff), nn.Linear(ff, embed)
        self.drop = nn.Dropout(0.0)

    def forward(self, x: Float[Tensor, "seq batch embed"]) -> Float[Tensor, "seq batch embed"]:
        return self.drop(self.down(F.gelu(self.up(x))))


class TimeFirst(nn.Module):
    """A decoder of sequences that come first, with each kind of layer between tensors that are split."""

    causal: Tensor

    def __init__(self, vocab: DimSize, embed: DimSize, heads: int = 4):
        super().__init__()
        self.words = nn.Embedding(vocab, embed)
        self.places = nn.Embedding(16, embed)
        self.register_buffer("causal", torch.ones(16, 16, dtype=torch.bool).triu(1))
        self.drop = nn.Dropout(0.0)
        self.scale, self.norm = Scale(embed), nn.LayerNorm(embed)
        self.attention, self.perceptron = Attention(embed, heads, 8), Perceptron(embed, 64)
        self.gru = nn.GRU(int(embed), int(embed))
        self.mix = nn.Linear(int(embed), int(embed))
        self.head = nn.TiedDecoder(self.words, embed)

    def forward(self, tokens: Int[Tensor, "seq batch"]) -> Float[Tensor, "seq batch vocab"]:
        seq = len(tokens)
        places = self.places(torch.arange(seq))
        x = self.drop(self.words(tokens) + places.unsqueeze(1))
        x = x + self.attention(self.scale(x), mask=self.causal[:seq, :seq])
        x = x + self.perceptron(self.norm(x))
        x = x + self.gru(x)[0] + self.mix(x)
        return self.head(self.norm(x))


class Distances(nn.Module):
    """What each head adds to its scores, by distance: no layer makes it."""

    def __init__(self, heads: DimSize):
        super().__init__()
        self.heads = heads

    def forward(self, seq: int) -> Float[Tensor, "heads seq seq"]:
        places = torch.arange(seq)
        slopes = torch.arange(1, self.heads + 1) / self.heads
        return -slopes[:, None, None] * (places - places[:, None]).abs()


class Mixing(nn.Module):
    """Scores and values of each head; a call gives both results."""

    def forward(
        self,
        query: Float[Tensor, "batch heads seq head"],
        key: Float[Tensor, "batch heads seq head"],
        *,
        distances: Float[Tensor, "heads seq seq"] | None = None,
    ) -> tuple[Float[Tensor, "batch heads seq seq"], Float[Tensor, "batch seq heads head"]]:
        scores = query @ key.transpose(2, 3)
        weights = (scores if distances is None else scores + distances).softmax(-1)
        return weights, (weights @ key).transpose(1, 2)


class Penalty(nn.Module):
    """What takes plain tensors alone, and makes one inside, goes on as it did."""

    def forward(self, gates: Float[Tensor, " heads"]) -> Float[Tensor, ""]:
        return (gates * torch.arange(len(gates))).sum()


class Apart(nn.Module):
    """Attention whose parts are modules: what is between them is annotated, and no layer says how it is split."""

    def __init__(self, embed: DimSize, heads: DimSize, head: DimSize):
        super().__init__()
        self.heads, self.head = heads, head
        self.query = nn.Linear(embed, heads * head)
        self.distances, self.mixing, self.penalty = Distances(heads), Mixing(), Penalty()
        self.out = nn.Linear(heads * head, embed)

    def forward(
        self, x: Float[Tensor, "batch seq embed"], key: Float[Tensor, "batch heads seq head"]
    ) -> Float[Tensor, ""]:
        query = self.query(x).unflatten(2, (self.heads, self.head)).transpose(1, 2)
        # `key` is a plain tensor, whole on each device: the annotation of `Mixing` splits it
        _, mixed = self.mixing(query, key, distances=self.distances(x.shape[1]))
        return self.out(mixed.flatten(2)).sin().sum() + self.penalty(x[0, 0, : self.heads])


MODELS: dict[str, Callable[[], Any]] = {"gpt": lambda: GPT(40, 32), "time first": lambda: TimeFirst(40, 32)}


def along_sequence(rank: int, name: str, shape: tuple[int, ...], names: Mapping[str, str], seq: int) -> None:
    """Losses and gradients of two steps, with and without FSDP2, equal those of one process."""
    mesh = init_device_mesh("cpu", shape, mesh_dim_names=("dp", "tp")[-len(shape) :])
    models = [_made(name) for _ in range(2)]
    one, split = models
    parallelize_module(split, mesh["tp"], sharding_plan(split, names, mesh=mesh))
    if "dp" in mesh.mesh_dim_names:
        fully_shard(split, mesh=mesh["dp"])
    seen = _placements(split)
    optimizers = [torch.optim.SGD(model.parameters(), 0.1) for model in models]
    axis = 0 if name == "time first" else 1
    split_axis = 0 if "batch" in names else axis
    for step in range(2):
        size = (seq, 4) if axis == 0 else (4, seq)
        tokens = torch.randint(40, size, generator=torch.Generator().manual_seed(step))
        parts = tokens.chunk(2, 1 - axis) if "dp" in mesh.mesh_dim_names else [tokens]
        mine = parts[mesh["dp"].get_local_rank() if len(parts) > 1 else 0]
        losses = _loss(one, tokens, axis), _loss(split, mine, axis)
        torch.testing.assert_close(_mean(losses[1], mesh), losses[0].detach(), rtol=1e-4, atol=1e-5)
        assert_same_step(one, split, losses, optimizers)
    assert split.head.weight is split.words.weight
    split_ones = [placements for path, placements in seen.items() if path.endswith(("words", "down"))]
    assert split_ones
    assert all(each == (Shard(split_axis),) for each in split_ones) or "ff" not in names


def checkpoint_in_one_process(rank: int, folder: str) -> None:
    """A checkpoint of a model that is split along the sequence loads where nothing is split, and in another mesh."""
    path = str(Path(folder) / "sequence")
    both = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    four = init_device_mesh("cpu", (4,), mesh_dim_names=("tp",))
    saved, loaded, one = (_made("time first") for _ in range(3))
    saved.causal[0, 1] = False  # a buffer is part of it
    expected = {key: value.detach().clone() for key, value in saved.state_dict().items()}
    names = NAMES | {"seq": "tp"}
    parallelize_module(saved, both["tp"], sharding_plan(saved, names, mesh=both))
    fully_shard(saved, mesh=both["dp"])
    checkpoint.save(saved.state_dict(), checkpoint_id=path)
    parallelize_module(loaded, four, sharding_plan(loaded, names, mesh=four))
    for model in (loaded, one):
        assert_loads(model, path, expected)


def mask_made_inside(rank: int) -> None:
    """A plain mask meets a DTensor: refused by torch, told by name; right inside `implicit_replication`."""
    mesh = init_device_mesh("cpu", (4,), mesh_dim_names=("tp",))
    tokens = torch.randint(40, (2, 6), generator=torch.Generator().manual_seed(1))
    found: list[list[Tensor]] = []
    for is_split in (False, True):
        model = _made("gpt")
        torch.manual_seed(1)
        model.blocks = nn.ModuleList([Causal(32, 4, 8, 64)])
        if is_split:
            parallelize_module(model, mesh, sharding_plan(model, NAMES | {"seq": "tp"}, mesh=mesh))
            with pytest.raises(RuntimeError) as raised:
                model(tokens)
            assert any("`later` is a local tensor" in note for note in raised.value.__notes__)
        with implicit_replication():
            loss = _loss(model, tokens, 1)
            loss.backward()
        gradients = [whole(each.grad) for each in model.parameters() if each.grad is not None]
        found.append([loss, *gradients])
    for one, split in zip(*found, strict=True):
        torch.testing.assert_close(split, one, rtol=1e-4, atol=1e-5)


class Collectives(TorchDispatchMode):
    """Counts what is communicated."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if DTensor in types:
            return NotImplemented  # it calls what it does on the parts
        if function.namespace == "_c10d_functional" and not function._opname.startswith(("wait", "_")):
            self.counts[function._opname] += 1
        return function(*args, **(kwargs or {}))


def gathered_once(rank: int) -> None:
    """The tensor that several column-wise layers take is gathered once."""
    mesh = init_device_mesh("cpu", (4,), mesh_dim_names=("tp",))
    model = _made("gpt")
    parallelize_module(model, mesh, sharding_plan(model, NAMES | {"seq": "tp"}, mesh=mesh))
    with Collectives() as counted, torch.no_grad():
        model(torch.zeros(2, 8, dtype=torch.long))
    # in each of two blocks one for attention and one for the perceptron; before the output, and after it
    assert dict(counted.counts) == {"all_gather_into_tensor": 2 * 2 + 2, "reduce_scatter_tensor": 2 * 2 + 1}


def annotated_modules(rank: int) -> None:
    """Tensors that no layer makes are split as they are annotated; gradients equal those of one process."""
    mesh = init_device_mesh("cpu", (4,), mesh_dim_names=("tp",))
    x, key = (torch.randn(size, generator=torch.Generator().manual_seed(1)) for size in ((2, 5, 32), (2, 4, 5, 8)))
    found: list[list[Tensor]] = []
    for is_split in (False, True):
        torch.manual_seed(0)
        model = Apart(32, 4, 8)
        taken = key.clone().requires_grad_()
        if is_split:
            parallelize_module(model, mesh, sharding_plan(model, {"heads": "tp"}, mesh=mesh))
            seen = _placements(model)
        loss = model(x, taken)
        loss.backward()
        found.append([loss, *(whole(each.grad) for each in (taken, *model.parameters()))])
    assert seen["distances"] == (Shard(0),)
    for one, split in zip(*found, strict=True):
        torch.testing.assert_close(split, one, rtol=1e-4, atol=1e-5)


def _made(name: str) -> Any:
    torch.manual_seed(0)
    return MODELS[name]()


def _loss(model: Any, tokens: Tensor, axis: int) -> Tensor:
    logits = model(tokens)
    assert not isinstance(logits, DTensor)
    return F.cross_entropy(logits.flatten(0, 1), tokens.roll(1, axis).flatten())


def _mean(loss: Tensor, mesh: DeviceMesh) -> Tensor:
    mean = loss.detach().clone()
    if "dp" in (mesh.mesh_dim_names or ()):
        dist.all_reduce(mean, group=mesh["dp"].get_group())
        mean /= mesh["dp"].size()
    return mean


def _placements(model: torch.nn.Module) -> dict[str, Any]:
    """The placements of what each module gives, filled in by its calls."""
    seen: dict[str, Any] = {}

    def remember(path: str) -> Callable[..., None]:
        return lambda _, __, result: seen.update({path: getattr(result, "placements", None)})

    for path, module in model.named_modules():
        module.register_forward_hook(remember(path))
    return seen


def everything(rank: int, folder: str) -> None:
    """All models on a mesh of 2 x 2, then with names of activations alone, and sizes that the mesh does not divide."""
    names = NAMES | {"seq": "tp"}
    along_sequence(rank, "gpt", (2, 2), names, 6)
    along_sequence(rank, "time first", (2, 2), names, 7)
    along_sequence(rank, "time first", (4,), names, 6)
    along_sequence(rank, "gpt", (4,), {"seq": "tp"}, 5)
    along_sequence(rank, "gpt", (4,), {"batch": "tp"}, 5)
    gathered_once(rank)
    mask_made_inside(rank)
    checkpoint_in_one_process(rank, folder)
    annotated_modules(rank)
