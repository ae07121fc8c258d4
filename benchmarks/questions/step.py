"""What does a training step cost, typed against untyped, by batch size?

Forward, loss, backward and AdamW of a GRU encoder and decoder with attention and a tied output, and of a small GPT.
Both models are made from one source, whose import of `nn` is all that differs, and start from the same weights.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from benchmarks.measure import Effort, Run
from benchmarks.record import Row
from benchmarks.workloads import makers, workloads


def ask(run: Run) -> Iterator[Row]:
    for workload in workloads(run):
        for batch in workload.batches:
            make = functools.partial(workload.step, batch=batch, device=run.device)
            candidates = makers(make, workload, run, control=True)
            yield from run.compare_made(case(workload.name, batch), candidates, effort=effort(run))


def case(model: str, batch: int) -> str:
    """The case of this model's step."""
    return f"{model}, batch {batch}"


def effort(run: Run) -> Effort:
    """Longer blocks than for a call: a step varies more."""
    return Effort(5, 0.005) if run.quick else Effort(21, 0.005, budget=3)
