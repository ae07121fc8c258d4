"""What does checking cost in a training step under autocast to bfloat16?

Casts are what autocast adds; checks see the same tensors.
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
        batch = workload.batches[1]
        make = functools.partial(workload.step, batch=batch, device=run.device, autocast=True)
        candidates = makers(make, workload, run, control=True)
        yield from run.compare_made(f"{workload.name}, batch {batch}", candidates, effort=effort(run))
