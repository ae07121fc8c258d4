"""What is left when checks are off?

Nothing: `typed(f)` is `f`, a typed layer's `forward` is torch's own, and a step takes what it takes untyped.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch

import dimtyped
from benchmarks import peers
from benchmarks.measure import Run
from benchmarks.models.loading import switch_to
from benchmarks.questions.step import effort
from benchmarks.record import Row
from benchmarks.workloads import Workload, makers, workloads

OFF = peers.OFF.label
FUNCTION = "typed(f) is f"
LAYERS = "layers whose forward is torch's"


def ask(run: Run) -> Iterator[Row]:
    function = peers.OFF.define(peers.ONE)
    yield run.fact(FUNCTION, OFF, peers.OFF.decorate(function) is function)
    try:
        yield from _layers(run)
        for workload in workloads(run):
            yield from _step(run, workload)
    finally:
        switch_to("on")


def _layers(run: Run) -> Iterator[Row]:
    switch_to("off")
    pairs = [(getattr(dimtyped.nn, name), getattr(torch.nn, name, None)) for name in dir(dimtyped.nn)]
    typed = [
        pair for pair in pairs if isinstance(pair[1], type) and pair[0] is not pair[1] and hasattr(pair[0], "contract")
    ]
    same = [ours for ours, theirs in typed if ours.forward is theirs.forward]
    yield run.fact(LAYERS, OFF, f"{len(same)} of {len(typed)}")


def _step(run: Run, workload: Workload) -> Iterator[Row]:
    batch = workload.batches[0]
    make = functools.partial(workload.step, batch=batch, device=run.device)
    candidates = makers(make, workload, run, control=True, mode="off")
    yield from run.compare_made(f"{workload.name} training step, batch {batch}", candidates, effort=effort(run))
