"""Ties under DDP, FSDP and tensor parallelism: two processes on gloo run every scenario, each test reads one result.

The processes have a time limit of their own. A scenario asserts identity, and that two steps of training give what
they give in one process. Each that a tie survives is run once more with a tie that is kept by copy, and fails.
"""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from dimtyped import TyingError
from tests.helpers.tied_models import (
    ByAssignment,
    ByDecoder,
    ByProjection,
    ByTie,
    DecoderFirst,
    ThreeWay,
    ThreeWayByAssignment,
    Tied,
    assert_tied,
    by_copy,
    tokens,
)

PROCESSES = 2
LIMIT_S = 90.0
pytestmark = [
    pytest.mark.any_engine,  # no call's check has a part in it
    pytest.mark.slow,
    pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="this torch has no gloo"),
]

Scenario = Callable[[DeviceMesh], None]
Way = Callable[[], Any]
WAYS: tuple[Way, ...] = (ByDecoder, ByTie, ByAssignment, DecoderFirst, ThreeWay, ThreeWayByAssignment)


# Scenarios, run by both processes -------------------------------------------------------------------------------------


def ddp(mesh: DeviceMesh, way: Way) -> None:  # as every scenario
    model = way()
    _same_training(model, torch.nn.parallel.DistributedDataParallel(model))
    assert_tied(model)


def fully_sharded(mesh: DeviceMesh, way: Way) -> None:
    model = way()
    reference = copy.deepcopy(model)
    fully_shard(model, mesh=mesh)
    assert isinstance(assert_tied(model), DTensor)
    _same_training(model, model, reference)
    assert_tied(model)
    model.load_state_dict(model.state_dict(), assign=True)
    assert_tied(model)


def fully_sharded_in_one_group(mesh: DeviceMesh, way: Way) -> None:
    model = way()
    reference = copy.deepcopy(model)
    layers = [getattr(model, name) for name in ("embedding", "source", "out") if hasattr(model, name)]
    fully_shard(layers, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert isinstance(assert_tied(model), DTensor)
    _same_training(model, model, reference)
    assert_tied(model)


def fully_sharded_from_meta(mesh: DeviceMesh, way: Way) -> None:
    with torch.device("meta"):
        model = way()
    fully_shard(model, mesh=mesh)
    assert assert_tied(model).is_meta
    model.to_empty(device="cpu")
    assert not assert_tied(model).is_meta


def fully_sharding_one_half_is_refused(mesh: DeviceMesh, way: Way) -> None:
    model = way()
    weight = assert_tied(model)
    for layer in (model.embedding, model.out):
        with pytest.raises(TyingError, match=r"which this call does not shard: that would break the tie"):
            fully_shard(layer, mesh=mesh)
        assert assert_tied(model) is weight


def flat_sharded(mesh: DeviceMesh, way: Way) -> None:
    for use_orig_params in (True, False):
        model = way()
        reference = copy.deepcopy(model)
        wrapped = FullyShardedDataParallel(model, device_id=torch.device("cpu"), use_orig_params=use_orig_params)
        _train(wrapped)
        _train(reference)
        with FullyShardedDataParallel.summon_full_params(wrapped):
            assert model.out.weight is model.embedding.weight
            torch.testing.assert_close(model.out.weight.detach(), reference.out.weight.detach())


def tensor_parallel(mesh: DeviceMesh, way: Way) -> None:
    model = way()
    reference = copy.deepcopy(model)
    parallelize_module(model, mesh, _plan(model, output=ColwiseParallel(output_layouts=Replicate())))
    weight = assert_tied(model)
    assert isinstance(weight, DTensor)
    assert weight.placements == (Shard(0),)
    _same_training(model, model, reference)
    assert_tied(model)


def tensor_parallel_of_one_half_is_no_silent_break(mesh: DeviceMesh, way: Way) -> None:
    model = way()
    parallelize_module(model, mesh, {"embedding": _rowwise()})
    assert_tied(model)
    with pytest.raises(RuntimeError, match="mixed torch.Tensor and DTensor"):
        model(tokens())


def tensor_parallel_in_two_directions_is_refused(mesh: DeviceMesh, way: Way) -> None:
    model = way()
    plan = _plan(model, output=RowwiseParallel(input_layouts=Replicate()))
    with pytest.raises(ValueError, match="Cannot distribute a DTensor with placements"):
        parallelize_module(model, mesh, plan)
    assert_tied(model)


def projection(mesh: DeviceMesh) -> None:
    model = ByProjection()
    _same_training(model, torch.nn.parallel.DistributedDataParallel(model))
    assert_tied(model)
    fully_shard(model, mesh=mesh)
    _train(model)
    assert_tied(model)


def fails_for_a_tie_kept_by_copy(mesh: DeviceMesh, scenario: Callable[[DeviceMesh, Way], None], way: Way) -> None:
    with pytest.raises(AssertionError):
        scenario(mesh, by_copy(way))


def _rowwise() -> RowwiseParallel:
    return RowwiseParallel(input_layouts=Replicate(), output_layouts=Replicate())


def _plan(model: Tied, output: Any) -> dict[str, Any]:
    return {**{name: _rowwise() for name in ("embedding", "source") if hasattr(model, name)}, "out": output}


def _same_training(model: Tied, wrapped: torch.nn.Module, reference: Tied | None = None) -> None:
    """Both processes see the same data, so that the average of their gradients is what one process has."""
    alone = reference or copy.deepcopy(model)
    _train(wrapped)
    _train(alone)
    weight = model.out.weight
    whole = weight.full_tensor() if isinstance(weight, DTensor) else weight
    torch.testing.assert_close(whole.detach(), alone.out.weight.detach())


def _train(model: torch.nn.Module) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(tokens()).square().mean().backward()
        optimizer.step()


def _of(scenario: Callable[[DeviceMesh, Way], None], way: Way) -> Scenario:
    return lambda mesh: scenario(mesh, way)


def _not_of(scenario: Callable[[DeviceMesh, Way], None], way: Way) -> Scenario:
    return lambda mesh: fails_for_a_tie_kept_by_copy(mesh, scenario, way)


SURVIVED = (
    ddp,
    fully_sharded,
    fully_sharded_in_one_group,
    fully_sharded_from_meta,
    flat_sharded,
    tensor_parallel,
)
REFUSED = (
    fully_sharding_one_half_is_refused,
    tensor_parallel_of_one_half_is_no_silent_break,
    tensor_parallel_in_two_directions_is_refused,
)
SCENARIOS: dict[str, Scenario] = {
    **{
        f"{scenario.__name__}[{way.__name__}]": _of(scenario, way) for scenario in (*SURVIVED, *REFUSED) for way in WAYS
    },
    **{f"not {scenario.__name__}[{way.__name__}]": _not_of(scenario, way) for scenario in SURVIVED for way in WAYS},
    "projection": projection,
}


# Running them ---------------------------------------------------------------------------------------------------------


def _process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group(
        "gloo", init_method=store, rank=rank, world_size=PROCESSES, timeout=timedelta(seconds=LIMIT_S / 3)
    )
    mesh = init_device_mesh("cpu", (PROCESSES,))
    results = {name: _outcome(scenario, mesh) for name, scenario in SCENARIOS.items()}
    Path(folder, f"{rank}.json").write_text(json.dumps(results))
    dist.destroy_process_group()


def _outcome(scenario: Scenario, mesh: DeviceMesh) -> str:
    torch.manual_seed(0)
    try:
        scenario(mesh)
    except BaseException:  # noqa: BLE001  # a failed assertion too: the test that reads the text raises
        return traceback.format_exc()
    return ""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """What each process says of each scenario."""
    folder = tmp_path_factory.mktemp("gloo")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_process, args=(rank, str(folder)), daemon=True) for rank in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LIMIT_S)
    late = [process for process in processes if process.is_alive()]
    for process in late:
        process.kill()
    assert not late, f"{len(late)} of {PROCESSES} processes did not end within {LIMIT_S} s"
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(PROCESSES)]


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str, results: list[dict[str, str]]) -> None:
    assert [result[name] for result in results] == [""] * PROCESSES
