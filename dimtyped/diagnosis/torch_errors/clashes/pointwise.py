"""Elementwise operators: their operands are broadcast, the last axes first."""

from __future__ import annotations

from dimtyped.diagnosis.torch_errors.failure import Clash, Failure, broadcast_clashes, joined


def pointwise(failure: Failure) -> Clash | None:
    """Operands that cannot be broadcast together."""
    if len(failure.operands) < 2:
        return None
    return joined(list(broadcast_clashes(failure.operands, in_place=is_in_place(failure))))


def is_in_place(failure: Failure) -> bool:
    """True if the first operand is written to, and so keeps its sizes."""
    name = failure.operation.name
    return name == "setitem" or (name.endswith("_") and not name.endswith("__")) or name in ("iop", "copy_")
