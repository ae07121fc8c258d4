"""What must a check do, and what does each part of that cost by itself?

A check reads the type, the dtype and the shape of a tensor, and a layer's also the attribute that holds a size: nobody who
checks these can spend less. Each part is timed inside a function that does nothing else, beside one that does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float

from benchmarks import peers
from benchmarks.measure import Candidate, Run
from benchmarks.record import Row

DEVICES = ("cpu",)
PARTS = "parts of a check"
TYPE, DTYPE, SHAPE, ATTRIBUTE = "its type", "its dtype", "its shape", "a layer's size"
_STATEMENTS = {
    "untyped": "pass",
    TYPE: "isinstance(x, Tensor)",
    DTYPE: "x.dtype in dtypes",
    SHAPE: "x.shape == shape",
    ATTRIBUTE: "layer.normalized_shape[-1]",
}


def ask(run: Run) -> Iterator[Row]:
    x = torch.zeros(2, 3, 4)
    floats = frozenset(getattr(torch, name) for name in Float.dtypes if hasattr(torch, name))
    known: dict[str, Any] = {
        "Tensor": torch.Tensor,
        "dtypes": floats,
        "shape": x.shape,
        "layer": torch.nn.LayerNorm(4),
    }
    candidates = [
        Candidate(label, peers.function_from(f"def function(x):\n    {statement}\n", **known), (x,))
        for label, statement in _STATEMENTS.items()
    ]
    yield from run.compare(PARTS, candidates)
