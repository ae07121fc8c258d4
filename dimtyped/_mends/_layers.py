"""Mends that know which layer was called."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from dimtyped._describe import Seen
from dimtyped._mends._mend import Mend, Trial, reshaped, sizes_of
from dimtyped._mends._tensor import axis_changes
from dimtyped._spelling import are_twins

_CLASSIFIERS = (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss)
_CONVOLUTIONS = {"Conv1d": 1, "Conv2d": 2, "Conv3d": 3, "ConvTranspose1d": 1, "ConvTranspose2d": 2, "ConvTranspose3d": 3}


def class_axis(trial: Trial) -> Iterator[Mend]:
    """Scores whose classes are the last axis, for a loss that wants them second."""
    value = trial.argument("input")
    shape = sizes_of(value) if value is not None else None
    if not isinstance(trial.owner, _CLASSIFIERS) or value is None or shape is None or len(shape) < 3:
        return
    order = (0, len(shape) - 1, *range(1, len(shape) - 1))
    code = f"input.permute({', '.join(map(str, order))})"
    moved = reshaped(value, tuple(shape[index] for index in order))
    yield Mend(f"The classes are axis 1: `{code}` fits.", {"input": code}, {"input": moved})


def channel_axis(trial: Trial) -> Iterator[Mend]:
    """Images with their channels last."""
    value = trial.argument("input")
    spatial = _CONVOLUTIONS.get(type(trial.owner).__name__)
    shape = sizes_of(value) if value is not None else None
    if value is None or spatial is None or shape is None or len(shape) not in (spatial + 1, spatial + 2):
        return
    lead = len(shape) - spatial - 1
    order = (*range(lead), len(shape) - 1, *range(lead, len(shape) - 1))
    code = f"input.permute({', '.join(map(str, order))})"
    moved = reshaped(value, tuple(shape[index] for index in order))
    yield Mend(f"The channels come before height and width: `{code}` fits.", {"input": code}, {"input": moved})


def projection(trial: Trial) -> Iterator[Mend]:
    """A width that the layer was not made for: another layer before it, or the layer made for it."""
    wrong = trial.mismatches[0]
    contract = getattr(trial.owner, "contract", None)
    shape = sizes_of(wrong.value)
    if contract is None or contract.flow is None or wrong.kind != "size" or shape is None or wrong.axis is None:
        return
    if wrong.dim != contract.flow[0] or not isinstance(wrong.expected, int) or not isinstance(wrong.actual, int):
        return
    have, want = wrong.actual, wrong.expected
    made = _maker(trial.owner, wrong.axis - len(shape), have, want)
    if made is None:
        return
    changed = reshaped(wrong.value, (*shape[: wrong.axis], want, *shape[wrong.axis + 1 :]))
    text = f"Make this layer with {trial.label(wrong.dim)}={have}, or put `{made}` before it."
    yield Mend(text, {wrong.place: f"{made}({wrong.place})"}, {wrong.place: changed}, is_general=True)


def _maker(layer: torch.nn.Module, axis: int, have: int, want: int) -> str | None:
    """The layer that makes one width of another."""
    spatial = _CONVOLUTIONS.get(type(layer).__name__)
    if spatial is not None:
        return f"nn.Conv{spatial}d({have}, {want}, 1)"
    return f"nn.Linear({have}, {want})" if axis == -1 and have > 0 else None


def misspelt(trial: Trial) -> Iterator[Mend]:
    """A name in the annotation that looks like a misspelling of another one."""
    for wrong in trial.mismatches:
        for name in trial.findings.bindings:
            if wrong.kind == "size" and are_twins(wrong.dim, name):
                text = f"Did you mean `{name}` where the annotation of `{wrong.place}` says `{wrong.dim}`?"
                yield Mend(text, {}, {}, {(wrong.place, wrong.dim): name})


