"""What the processes of a test do, and the models that they split. Tests start them with `run`."""

from __future__ import annotations

import os
import re
import socket
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributed import checkpoint
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.experimental import implicit_replication
from torch.distributed.tensor.parallel import parallelize_module
from torch.nn import functional as F  # noqa: N812  # its name everywhere

from dimtyped import DeclarationError, DimensionError, DimSize, nn, sharding_plan
from dimtyped.distributed import parameter_memory

NAMES = {"ff": "tp", "heads": "tp", "vocab": "tp"}


class Block(nn.Module):
    """Attention by hand, and a perceptron."""

    def __init__(self, embed: DimSize, heads: DimSize, head: DimSize, ff: DimSize):
        super().__init__()
        self.heads, self.head = heads, head
        self.norm = nn.LayerNorm(embed)
        self.query, self.key, self.value = (nn.Linear(embed, heads * head) for _ in range(3))
        self.out = nn.Linear(heads * head, embed)
        self.up = nn.Linear(embed, ff)
        self.down = nn.Linear(ff, embed)

    def split(self, x: Float[Tensor, "batch seq heads*head"]) -> Float[Tensor, "batch heads seq head"]:
        return x.view(x.shape[0], x.shape[1], self.heads, self.head).transpose(1, 2)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        y = self.norm(x)
        query, key, value = self.split(self.query(y)), self.split(self.key(y)), self.split(self.value(y))
        weights = (query @ key.transpose(2, 3) / self.head**0.5).softmax(-1)
        x = x + self.out((weights @ value).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm(x))))


class GPT(nn.Module):
    """Two blocks between an embedding and a tied output; `tie` says how it is tied."""

    def __init__(self, vocab: DimSize, embed: DimSize, heads: int = 4, tie: str = "decoder"):
        super().__init__()
        self.words = nn.Embedding(vocab, embed)
        self.blocks = nn.ModuleList(Block(embed, heads, 8, 64) for _ in range(2))
        if tie == "decoder":
            self.head: Any = nn.TiedDecoder(self.words, embed)
        else:
            self.head = nn.Linear(embed, vocab, bias=False)
            self.head.weight = self.words.weight

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
        x = self.words(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Seq2Seq(nn.Module):
    """Recurrent layers stay whole; the words and the tied output are split."""

    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.words = nn.Embedding(vocab, embed)
        self.encoder = nn.GRU(embed, hidden, batch_first=True)
        self.decoder = nn.GRU(embed, hidden, batch_first=True, state_from=self.encoder)
        self.head = nn.TiedDecoder(self.words, hidden, project=True)

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
        x = self.words(tokens)
        return self.head(self.decoder(x, self.encoder(x)[1])[0])


def run(worker: Callable[..., None], *arguments: Any, processes: int = 4, limit: float = 300) -> None:
    """Runs a worker in several processes, which talk over gloo; raises what one of them raises, or after `limit` seconds."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    context: Any = mp.spawn(_started, (worker, processes, port, *arguments), processes, join=False)
    end = time.monotonic() + limit
    try:
        while not context.join(timeout=max(end - time.monotonic(), 0.1)):
            if time.monotonic() > end:
                pytest.fail(f"{worker.__name__} did not end within {limit} seconds")
    finally:
        for process in context.processes:
            process.kill()


def _started(rank: int, worker: Callable[..., None], processes: int, port: int, *arguments: Any) -> None:
    warnings.simplefilter("ignore")  # torch's own, of DTensors on CPUs
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=processes)
    try:
        worker(rank, *arguments)
    finally:
        dist.destroy_process_group()


MODELS: dict[str, Callable[[], Any]] = {
    "gpt": lambda: GPT(40, 32),
    "gpt, tied by assignment": lambda: GPT(40, 32, tie="assignment"),
    "seq2seq": lambda: Seq2Seq(40, 8, 16),
}


def loss_of(model: Any, tokens: Tensor) -> Tensor:
    with implicit_replication():
        return F.cross_entropy(model(tokens).flatten(0, 1), tokens.roll(1, 1).flatten())


def whole(tensor: Any) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def assert_same_step(one: Any, split: Any, losses: Iterable[Tensor], optimizers: Iterable[Any]) -> None:
    """The gradients of a split model are those of one process; both make their step."""
    for loss in losses:
        loss.backward()
    parameters = dict(split.named_parameters())
    assert parameters.keys() == dict(one.named_parameters()).keys()
    for key, parameter in one.named_parameters():
        torch.testing.assert_close(whole(parameters[key].grad), parameter.grad, rtol=1e-3, atol=1e-5, msg=key)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


def assert_loads(model: Any, path: str, expected: Mapping[str, Tensor]) -> None:
    """A checkpoint gives a model, which is zeroed before, the values that were saved."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    state = model.state_dict()
    checkpoint.load(state, checkpoint_id=path)
    model.load_state_dict(state)
    assert model.state_dict().keys() == expected.keys()
    for key, value in model.state_dict().items():
        torch.testing.assert_close(whole(value), expected[key], msg=key)


def same_as_one_process(rank: int, name: str) -> None:
    """Losses and gradients of two steps on a mesh of 2 x 2 equal those of one process; each sees half of the batch."""
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    torch.manual_seed(0)
    one = MODELS[name]()
    torch.manual_seed(0)
    split = MODELS[name]()
    names = NAMES if name != "seq2seq" else {"vocab": "tp"}
    parallelize_module(split, mesh["tp"], sharding_plan(split, names, mesh=mesh))
    expected = parameter_memory(one, names, tensor_parallel=2, data_parallel=2)
    fully_shard(split, mesh=mesh["dp"])
    for path, parameter in split.named_parameters():
        kind = next(kind for key, kind in expected.items() if re.fullmatch(re.escape(key).replace(r"\*", r"\d+"), path))
        assert tuple(parameter.to_local().shape) == kind.local, path
    optimizers = [torch.optim.SGD(model.parameters(), 0.1) for model in (one, split)]
    for step in range(2):
        tokens = torch.randint(40, (4, 6), generator=torch.Generator().manual_seed(step))
        half = tokens[2 * mesh["dp"].get_local_rank() :][:2]
        losses = loss_of(one, tokens), loss_of(split, half)
        mean = losses[1].detach().clone()
        dist.all_reduce(mean, group=mesh["dp"].get_group())
        torch.testing.assert_close(mean / 2, losses[0].detach(), rtol=1e-4, atol=1e-5)
        assert_same_step(one, split, losses, optimizers)
    assert split.head.weight is split.words.weight


def wrong_call_on_every_rank(rank: int) -> None:
    """A call that does not fit is a DimensionError by whole sizes, in every process."""
    mesh = init_device_mesh("cpu", (4,), mesh_dim_names=("tp",))
    model = GPT(40, 32)
    parallelize_module(model, mesh, sharding_plan(model, NAMES, mesh=mesh))
    with pytest.raises(DimensionError, match="embed is 31, must be 32"):
        model.blocks[0](torch.ones(2, 3, 31))


def uneven_on_every_rank(rank: int) -> None:
    """A size that the mesh does not divide is named when the plan is made, in every process."""
    mesh = init_device_mesh("cpu", (4,), mesh_dim_names=("tp",))
    with pytest.raises(
        DeclarationError, match=rf"`heads` is 3, which the 4 devices of 'tp' do not divide \(rank {rank} of 4\)"
    ):
        sharding_plan(GPT(40, 32, heads=3), NAMES, mesh=mesh)
    with pytest.raises(DeclarationError, match=r"the mesh has no axis 'tensor'; it has \('tp',\)"):
        sharding_plan(GPT(40, 32), {"ff": "tensor"}, mesh=mesh)


def checkpoint_on_another_mesh(rank: int, folder: str) -> None:
    """A checkpoint of two parts loads in four."""
    path = str(Path(folder) / "checkpoint")
    two = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))["tp"]
    four = init_device_mesh("cpu", (4,), mesh_dim_names=("tp",))
    torch.manual_seed(0)
    saved, loaded = GPT(40, 32), GPT(40, 32)
    expected = {key: value.detach().clone() for key, value in saved.state_dict().items()}
    parallelize_module(saved, two, sharding_plan(saved, NAMES, mesh=two))
    parallelize_module(loaded, four, sharding_plan(loaded, NAMES, mesh=four))
    checkpoint.save(saved.state_dict(), checkpoint_id=path)
    state = loaded.state_dict()
    checkpoint.load(state, checkpoint_id=path)
    loaded.load_state_dict(state)
    for key, value in loaded.state_dict().items():
        torch.testing.assert_close(whole(value), expected[key])


def everything(rank: int, folder: str) -> None:
    """All of the above: starting processes takes longer than what they do."""
    for name in MODELS:
        same_as_one_process(rank, name)
    wrong_call_on_every_rank(rank)
    uneven_on_every_rank(rank)
    checkpoint_on_another_mesh(rank, folder)
