"""Mends: what to write instead, proposed only where it makes the call fit."""

from __future__ import annotations

import itertools

from dimtyped._describe import Seen
from dimtyped._hints import ArrayHint
from dimtyped._mismatch import Findings, Mismatch


def mend(findings: Findings) -> str:
    """One sentence on how to mend the first mismatch, or an empty text where the pattern is not known."""
    first = findings.mismatches[0]
    for propose in (_permutation,):
        text = propose(findings, first)
        if text:
            return text
    return ""


def _permutation(findings: Findings, first: Mismatch) -> str:
    if first.kind != "size" or not isinstance(first.hint, ArrayHint) or first.value.shape is None:
        return ""
    shape = first.value.shape
    if len(shape) > 5 or any(other.kind != "size" for other in findings.mismatches):
        return ""
    orders = sorted(itertools.permutations(range(len(shape))), key=_moved)[1:]
    for order in orders:
        permuted = Seen(first.value.cls, dtype=first.value.dtype, shape=tuple(shape[i] for i in order))
        if _fits(findings, first, permuted):
            return f"Two axes are swapped: `{first.place}.{_call(order)}` fits."
    return ""


def _moved(order: tuple[int, ...]) -> int:
    return sum(1 for index, place in enumerate(order) if index != place)


def _call(order: tuple[int, ...]) -> str:
    return f"permute({', '.join(str(index) for index in order)})"


def _fits(findings: Findings, first: Mismatch, value: Seen) -> bool:
    """Whether this value in place of the wrong one fits the names that others have given."""
    trial = findings.fork()
    trial.bindings = {n: b for n, b in trial.bindings.items() if b.is_declared or b.place != first.place}
    trial.check(first.hint, value, first.place)
    return not trial.mismatches
