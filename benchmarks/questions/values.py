"""What does `DIMTYPED=values` cost: token ids looked at before the kernel?

It reads every id, so it grows with them, and on a GPU it waits for the result.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

import dimtyped
from benchmarks.measure import Candidate, Run
from benchmarks.models.loading import switch_to
from benchmarks.record import Row

VALUES = "dimtyped, values"
_VOCAB, _EMBED = 32_000, 256


def ask(run: Run) -> Iterator[Row]:
    theirs = torch.nn.Embedding(_VOCAB, _EMBED, device=run.device).requires_grad_(False)
    ours = dimtyped.nn.Embedding(_VOCAB, _EMBED, device=run.device).requires_grad_(False)
    try:
        for batch, length in ((1, 1), (8, 64), (32, 512)):
            ids = torch.randint(_VOCAB, (batch, length), device=run.device)
            candidates = [
                Candidate("untyped", theirs, (ids,)),
                Candidate("dimtyped", ours, (ids,), enter=lambda: switch_to("on")),
                Candidate(VALUES, ours, (ids,), enter=lambda: switch_to("values")),
            ]
            yield from run.compare(f"Embedding({_VOCAB}, {_EMBED}) on ({batch}, {length})", candidates)
    finally:
        switch_to("on")
