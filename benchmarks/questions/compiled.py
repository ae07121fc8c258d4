"""What does checking cost in compiled code?

Inductor, on a GPU also with CUDA graphs (`mode="reduce-overhead"`). Checks become guards: the smallest function shows their
cost; the models show the time that a user waits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks import peers
from benchmarks.measure import Candidate, Run
from benchmarks.questions.step import effort
from benchmarks.record import Row
from benchmarks.workloads import Workload, makers, workloads

_Make = Callable[[Run, Workload, str, int, torch.nn.Module], Callable[[], Any]]
SMALLEST = "smallest function: x + 1"


def ask(run: Run) -> Iterator[Row]:
    with torch._dynamo.config.patch(allow_rnn=True):
        for mode in modes(run):
            yield from _smallest(run, mode)
            for workload in workloads(run):
                if not run.quick or workload.name == "gpt":
                    yield from _model(run, workload, mode)
    torch._dynamo.reset()


def modes(run: Run) -> tuple[str, ...]:
    """The modes of `torch.compile`."""
    return ("default", "reduce-overhead") if run.on_gpu else ("default",)


def _smallest(run: Run, mode: str) -> Iterator[Row]:
    torch._dynamo.reset()
    x = torch.zeros(2, 3, 4, device=run.device)
    candidates = [
        Candidate(peer.label, _compiled_with(peer, mode), (x,))
        for peer in (peers.UNTYPED, peers.ASSERTS, peers.DIMTYPED)
    ]
    yield from run.compare(f"{SMALLEST}, {mode}", candidates)


def _compiled_with(peer: peers.Peer, mode: str) -> Callable[..., Any]:
    # text, so that each has code of its own: TorchDynamo keeps what it compiled by code, and would search among them
    source = "def function(x):\n    return checked(x) + 1\n"
    return torch.compile(peers.function_from(source, checked=peer.checked(peers.ONE)), mode=mode, fullgraph=True)


def _model(run: Run, workload: Workload, mode: str) -> Iterator[Row]:
    """Batch 1, where what is around the kernels weighs most, and a training step."""
    works: list[tuple[str, int, _Make]] = [("forward", workload.batches[0], _forward)]
    if mode == "default" and not run.quick:
        works += [("decode", workload.batches[0], _decode), ("training step", workload.batches[1], _step)]
    for what, batch, make in works:
        made = makers(functools.partial(make, run, workload, mode, batch), workload, run, control=not run.quick)
        case = f"{workload.name} {what}, batch {batch}, {mode}"
        yield from run.compare_made(case, made, effort=effort(run), before=torch._dynamo.reset)


def _forward(run: Run, workload: Workload, mode: str, batch: int, model: torch.nn.Module) -> Callable[[], Any]:
    compiled = torch.compile(model, mode=mode)
    inputs = workload.inputs(batch, run.device)

    @torch.no_grad()
    def forward() -> Any:
        return compiled(*inputs)

    return forward


def _decode(run: Run, workload: Workload, mode: str, batch: int, model: Any) -> Callable[[], Any]:
    """Decoding with compiled parts, whose guards are evaluated at each token."""
    for part in (model.encoder, model.decoder) if workload.name == "seq2seq" else (model,):
        part.compile(mode=mode, dynamic=True)
    return workload.decode(model, batch, run.device)


def _step(run: Run, workload: Workload, mode: str, batch: int, model: torch.nn.Module) -> Callable[[], Any]:
    return workload.step(torch.compile(model, mode=mode), batch, run.device)
