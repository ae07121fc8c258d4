"""Notes under DDP: each of two processes on gloo explains torch's error inside its own call.

The processes have a time limit of their own.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from dimtyped import DimSize, explain, nn

PROCESSES = 2
LIMIT_S = 90.0
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="this torch has no gloo"),
]


class Scores(nn.Module):
    """A model whose forward has an everyday mistake: the keys are not transposed."""

    def __init__(self, embed: DimSize, head: DimSize) -> None:
        super().__init__()
        self.query = nn.Linear(embed, head)
        self.key = nn.Linear(embed, head)

    def forward(self, x: Float[Tensor, "batch time embed"]) -> Float[Tensor, "batch time time"]:
        return self.query(x) @ self.key(x)


class Loss(nn.Module):
    """A loss whose classes are the last axis, where they must be axis 1."""

    def __init__(self, embed: DimSize, classes: DimSize) -> None:
        super().__init__()
        self.out = nn.Linear(embed, classes)

    def forward(self, x: Float[Tensor, "batch time embed"], labels: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(self.out(x), labels)


def _wrong_product(rank: int) -> None:
    # each rank has a batch of its own: the note must have the sizes of this process
    DistributedDataParallel(Scores(embed=12, head=16))(torch.ones(2 + rank, 8, 12))


def _wrong_loss(rank: int) -> None:
    model = DistributedDataParallel(Loss(embed=12, classes=5))
    labels = torch.zeros(2 + rank, 5).long()
    model(torch.ones(2 + rank, 5, 12), labels).backward()  # 5 places and 5 classes: this fits by chance
    model(torch.ones(2 + rank, 8, 12), torch.zeros(2 + rank, 8).long())


SCENARIOS: dict[str, Callable[[int], None]] = {"product": _wrong_product, "loss": _wrong_loss}
SAID = {
    "product": ("`self.query(x) @ self.key(x)` in Scores.forward: head=16 meets time=8", "(batch={}, time=8, head=16)"),
    "loss": (
        "`torch.nn.functional.cross_entropy(self.out(x), labels)` in Loss.forward:\n"
        "  axis 1 of `self.out(x)` must be the classes, it is time=8",
        "(batch={}, time=8, classes=5)",
    ),
}


def _process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    limit = timedelta(seconds=LIMIT_S / 3)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=PROCESSES, timeout=limit
    )
    told = {name: _told(scenario, rank) for name, scenario in SCENARIOS.items()}
    Path(folder, f"{rank}.json").write_text(json.dumps(told))
    dist.destroy_process_group()


def _told(scenario: Callable[[int], None], rank: int) -> dict[str, object]:
    torch.manual_seed(0)
    try:
        scenario(rank)
    except (RuntimeError, ValueError) as error:
        report = explain(error)
        return {
            "kind": type(error).__name__,
            "notes": getattr(error, "__notes__", []),
            "explained": str(report),
        }
    return {"kind": "no error"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, object]]]:
    """What each process says of each mistake."""
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
def test_each_process_says_it_of_its_own_sizes(name: str, told: list[dict[str, dict[str, object]]]) -> None:
    problem, axes = SAID[name]
    for rank, of_process in enumerate(told):
        assert of_process[name]["kind"] == "RuntimeError"
        (note,) = of_process[name]["notes"]
        assert note.startswith(f"dimtyped: rank {rank} of {PROCESSES}: {problem}")
        assert axes.format(2 + rank) in note
        assert of_process[name]["explained"] in note
