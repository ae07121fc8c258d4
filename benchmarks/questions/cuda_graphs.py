"""What does checking cost once work is captured in a CUDA graph?

Checks run while the graph is captured, and are no part of it: a replay launches the same kernels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.measure import Run
from benchmarks.questions.step import effort
from benchmarks.record import Row
from benchmarks.workloads import Workload, versus, workloads

DEVICES = ("cuda",)
_WARM_UPS = 3


def ask(run: Run) -> Iterator[Row]:
    for workload in workloads(run):
        for what, batch, make in (
            ("decode", 1, _decode),
            ("forward", 1, _forward),
            ("training step", workload.batches[1], _step),
        ):
            candidates = list(versus(functools.partial(make, run, workload, batch), workload, run))
            yield from run.compare(f"{workload.name} {what}, batch {batch}", candidates, effort=effort(run))


def _decode(run: Run, workload: Workload, batch: int, model: torch.nn.Module) -> Callable[[], Any]:
    return captured(workload.decode(model, batch, run.device))


def _step(run: Run, workload: Workload, batch: int, model: torch.nn.Module) -> Callable[[], Any]:
    return captured(workload.step(model, batch, run.device, capturable=True))


def _forward(run: Run, workload: Workload, batch: int, model: torch.nn.Module) -> Callable[[], Any]:
    inputs = workload.inputs(batch, run.device)

    @torch.no_grad()
    def forward() -> Any:
        return model(*inputs)

    return captured(forward)


def captured(work: Callable[[], Any]) -> Callable[[], Any]:
    """The work as a graph's replay; see torch's notes on CUDA graphs for the warm-up on a side stream.

    The replay keeps the work, for the graph reads the model's parameters where they lay when it was captured.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()

    return functools.partial(_replay, graph, result, work)


def _replay(graph: torch.cuda.CUDAGraph, result: Any, _kept: Callable[[], Any]) -> Any:
    graph.replay()
    return result
