"""What does greedy decoding cost, typed against untyped?

Batch 1 is bound by launches: the kernels are so small that Python between them is what one waits for, checks included.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from benchmarks.measure import Run
from benchmarks.questions.step import effort
from benchmarks.record import Row
from benchmarks.workloads import makers, workloads


def ask(run: Run) -> Iterator[Row]:
    for workload in workloads(run):
        for batch in (1, workload.batches[-1]):
            make = functools.partial(workload.decode, batch=batch, device=run.device)
            candidates = makers(make, workload, run, control=True)
            yield from run.compare_made(f"{workload.name}, batch {batch}", candidates, effort=effort(run))
