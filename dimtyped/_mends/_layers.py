"""Mends that know which layer was called."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from dimtyped._mends._mend import Mend, Trial, reshaped, sizes_of
from dimtyped._spelling import are_twins

_INPUTS = ("input", "query", "key", "value", "src", "tgt", "memory")
_CLASSIFIERS = (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss)
_CONVOLUTIONS = {
    "Conv1d": 1,
    "Conv2d": 2,
    "Conv3d": 3,
    "ConvTranspose1d": 1,
    "ConvTranspose2d": 2,
    "ConvTranspose3d": 3,
}


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
    wrong, shape = trial.mismatches[0], _shape_of_input(trial)
    if wrong.axis is None or not shape:
        return
    made = _maker(trial.owner, wrong.axis - len(shape), shape[wrong.axis], wrong.expected)
    if made is not None:
        changed = reshaped(wrong.value, (*shape[: wrong.axis], wrong.expected, *shape[wrong.axis + 1 :]))
        text = f"Make this layer with {_size_words(trial)}, or put `{made}` before it."
        yield Mend(text, {wrong.place: f"{made}({wrong.place})"}, {wrong.place: changed}, is_general=True)


def repetition(trial: Trial) -> Iterator[Mend]:
    """One channel for a layer of several."""
    wrong, shape = trial.mismatches[0], _shape_of_input(trial)
    if wrong.axis is None or not shape or shape[wrong.axis] != 1:
        return
    sizes = ", ".join(str(wrong.expected) if index == wrong.axis else "-1" for index in range(len(shape)))
    code = f"{wrong.place}.expand({sizes})"
    changed = reshaped(wrong.value, (*shape[: wrong.axis], wrong.expected, *shape[wrong.axis + 1 :]))
    text = f"Make this layer with {_size_words(trial)}, or repeat that axis: `{code}`."
    yield Mend(text, {wrong.place: code}, {wrong.place: changed}, is_general=True)


def _shape_of_input(trial: Trial) -> tuple[int, ...]:
    """The shape of a layer's input of which just the width is not what the layer was made for."""
    wrong = trial.mismatches[0]
    contract = getattr(trial.owner, "contract", None)
    is_width = contract is not None and wrong.kind == "size" and wrong.dim in contract.sizes and wrong.place in _INPUTS
    return (sizes_of(wrong.value) or ()) if is_width and isinstance(wrong.expected, int) else ()


def _size_words(trial: Trial) -> str:
    """The size that the layer would have to be made with: `2*embed=256`."""
    wrong = trial.mismatches[0]
    return f"{trial.meaning or trial.label(wrong.dim)}={wrong.actual}"


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
