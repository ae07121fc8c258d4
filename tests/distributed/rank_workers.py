"""What the processes of tests on errors across ranks do. Each says what it saw, and none may wait for another for ever."""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from jaxtyping import Float
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.experimental import implicit_replication
from torch.distributed.tensor.parallel import parallelize_module

from dimtyped import DimensionError, DimSize, dims, nn, sharding_plan
from tests.distributed.workers import GPT, NAMES

LIMIT = 300.0
"""Seconds after which a test's processes are taken to hang, and are ended."""


def run(
    folder: Path, workers: Mapping[str, Callable[..., None]], *, processes: int = 2, timeout: float = 60.0
) -> dict[str, list[list[str]]]:
    """Runs workers in several processes, which talk over gloo; returns what each process has said in each, by worker."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    context = mp.spawn(_started, (workers, processes, port, timeout, str(folder)), processes, join=False)
    end = time.monotonic() + LIMIT
    try:
        while not context.join(timeout=1.0):
            assert time.monotonic() < end, "the processes hang"
    finally:
        for process in context.processes:
            if process.is_alive():
                process.kill()
    told = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(processes)]
    return {name: [each[name] for each in told] for name in workers}


def _started(
    rank: int, workers: Mapping[str, Callable[..., None]], processes: int, port: int, timeout: float, folder: str
) -> None:
    warnings.simplefilter("ignore")  # torch's own, of DTensors on CPUs
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT=str(port))
    limit = dt.timedelta(seconds=timeout)
    dist.init_process_group("gloo", rank=rank, world_size=processes, timeout=limit)
    told: dict[str, list[str]] = {name: [] for name in workers}
    for name, worker in workers.items():
        worker(rank, told[name])
        (Path(folder) / f"{rank}.json").write_text(json.dumps(told))
    # no `destroy_process_group`, which would wait for the others where a collective has failed
    os._exit(0)


def split_model(rows: int, *, is_checked: bool = True, shards: bool = False, **sizes: Any) -> tuple[Any, DeviceMesh]:
    """A GPT on a mesh of `rows` x 2."""
    mesh = init_device_mesh("cpu", (rows, 2), mesh_dim_names=("dp", "tp"))
    torch.manual_seed(0)
    model = GPT(40, 32, **sizes)
    plan = sharding_plan(model, NAMES)
    if not is_checked:
        del plan[""]
    parallelize_module(model, mesh["tp"], plan)
    return fully_shard(model, mesh=mesh["dp"]) if shards else model, mesh


def call(model: Any, tokens: torch.Tensor, said: list[str]) -> None:
    """Calls a model, and says what came of it."""
    try:
        with implicit_replication():
            model(tokens)
    except Exception as error:  # noqa: BLE001  # it is what the test looks at
        said.append("\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())]))
        if type(error) is DimensionError:
            files = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
            said += [f"a frame of {file}" for file in files if "/dimtyped/" in file]
    else:
        said.append("passed")


def tokens(batch: int = 4, seq: int = 6) -> torch.Tensor:
    return torch.arange(batch * seq).reshape(batch, seq) % 40


def other_batch(rank: int, said: list[str], *, rows: int = 1, shards: bool = False) -> None:
    """The last process is given a smaller batch; then all are given the same one."""
    model, _ = split_model(rows, shards=shards)
    call(model, tokens(3 if rank == dist.get_world_size() - 1 else 4), said)
    call(model, tokens(), said)


def other_batch_under_fsdp(rank: int, said: list[str]) -> None:
    """As above, on a mesh of 2 x 2: the processes of the other row wait for those of this one too."""
    other_batch(rank, said, rows=2, shards=True)


def wrong_call(rank: int, said: list[str]) -> None:
    """One process makes a call that does not fit and ends, the other is late."""
    model, _ = split_model(1)
    if rank == 0:
        call(model, tokens().float(), said)
    else:
        time.sleep(2)
        call(model, tokens(), said)


def absent(rank: int, said: list[str]) -> None:
    """One process comes too late."""
    model, _ = split_model(1)
    time.sleep(7 * rank)
    call(model, tokens(), said)


def uneven(rank: int, said: list[str]) -> None:
    """Three heads on two devices, where nobody has looked."""
    model, _ = split_model(1, heads=3)
    call(model, tokens(), said)


class Plain(torch.nn.Module):
    """No annotation, and an argument by name."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(*dims(hidden=8, ff=16))

    def forward(self, x: Any, *, scale: Any = None) -> Any:
        return self.up(x) * scale


def plain(rank: int, said: list[str]) -> None:
    """A module without annotations."""
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("tp",))
    model = parallelize_module(Plain(), mesh, sharding_plan(Plain(), {"ff": "tp"}))
    for scale in (torch.ones(1 + rank, 1), torch.ones(2, 1)):
        try:
            said.append(str(tuple(model(torch.ones(2, 8), scale=scale).shape)))
        except DimensionError as error:
            said.append(str(error))


def passing(rank: int, said: list[str]) -> None:
    """A right model computes what it does without the check, and keeps nothing of it; a copy is a model of its own."""
    model, _ = split_model(1)
    other, _ = split_model(1, is_checked=False)
    with torch.device("meta"):
        call(model, tokens(), said)  # in one process maybe
    with FakeTensorMode() as mode:
        fake = mode.from_tensor(tokens())
    assert model._forward_pre_hooks
    if rank == 0:
        model._forward_pre_hooks[next(iter(model._forward_pre_hooks))](model, (fake,), {})
    copy = deepcopy(model)
    with implicit_replication():
        assert torch.equal(model(tokens()), other(tokens()))
        assert not model._forward_pre_hooks
        assert not model._forward_pre_hooks_with_kwargs
        assert torch.equal(copy(tokens(5)), other(tokens(5)))
        assert not copy._forward_pre_hooks
        said.append(str(tuple(model(tokens(2)).shape)))


class FeedForward(nn.Module):
    def __init__(self, embed: DimSize, ff: DimSize):
        super().__init__()
        self.up, self.down = nn.Linear(embed, ff), nn.Linear(ff, embed)

    def forward(
        self, x: Float[Tensor, "batch embed"], *, scale: Float[Tensor, "batch 1"]
    ) -> Float[Tensor, "batch embed"]:
        return self.down(self.up(x).relu()) * scale


def feed_forward(mesh: DeviceMesh, *, is_checked: bool = True) -> Any:
    torch.manual_seed(0)
    plan = sharding_plan(FeedForward(8, 16), {"ff": "tp"})
    if not is_checked:
        del plan[""]
    return parallelize_module(FeedForward(8, 16), mesh, plan)


def step(model: Any) -> Callable[..., Tensor]:
    """A function around the model, whose trace goes through the model's hooks."""
    return lambda x, scale: model(x, scale=scale).square()


def compiled(rank: int, said: list[str]) -> None:
    """Compiled, the check adds neither a graph nor a compilation, whatever the sizes. Wrong calls are told, and right ones pass then.

    The models are called with another batch in each process, then with a wrong width in the first one, each twice.
    """
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("tp",))
    for around in (lambda model: model, step):
        counts = []
        for is_checked in (True, False):
            torch._dynamo.reset()
            backend = CompileCounter()
            whole = torch.compile(around(feed_forward(mesh, is_checked=is_checked)), backend=backend, fullgraph=True)
            for batch in (4, 5, 7):
                whole(torch.ones(batch, 8), scale=torch.ones(batch, 1))
            counts.append((backend.frame_count, backend.op_count))
        assert counts[0] == counts[1], counts
        for backend, fullgraph in (("eager", True), ("aot_eager", False)):
            for sizes in ((4 + rank, 8), (4, 7 + rank)):
                torch._dynamo.reset()
                whole = torch.compile(around(feed_forward(mesh)), backend=backend, fullgraph=fullgraph)
                for batch, embed in (sizes, sizes, (4, 8)):
                    try:
                        whole(torch.ones(batch, embed), scale=torch.ones(batch, 1))
                    except Exception as error:  # noqa: BLE001  # TorchDynamo's own kinds too
                        said.append(f"{type(error).__name__}: {error}")
                    else:
                        said.append("passed")


def dynamic(rank: int, said: list[str]) -> None:
    """A first call whose sizes are symbols in the trace keeps them so."""
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("tp",))
    backend = CompileCounter()
    whole = torch.compile(feed_forward(mesh), backend=backend, fullgraph=True, dynamic=True)
    for batch in (4, 5, 7):
        whole(torch.ones(batch, 8), scale=torch.ones(batch, 1))
    said.append(str(backend.frame_count))
