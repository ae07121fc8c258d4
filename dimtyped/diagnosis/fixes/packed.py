"""Fixes for a packed sequence in place of a padded tensor, and the reverse."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn.utils.rnn import PackedSequence

from dimtyped.diagnosis.fixes.fix import Fix, FixContext, sizes_of, subject, wanted_array
from dimtyped.diagnosis.fixes.tensor import value_at
from dimtyped.diagnosis.mismatch import unpacked
from dimtyped.diagnosis.snapshots import Snapshot


def packing(context: FixContext) -> Iterator[Fix]:
    """A padded tensor where a PackedSequence is expected."""
    place = context.places[0]
    array, value = wanted_array(context, place), value_at(context, place)
    shape = sizes_of(value) if value is not None else None
    if array is None or not array.packed or value is None or shape is None or len(shape) < 2:
        return
    for first, packed in (("batch_first=True, ", shape), ("", (shape[1], shape[0], *shape[2:]))):
        code = f"pack_padded_sequence({subject(place)}, lengths, {first}enforce_sorted=False)"
        made = Snapshot(PackedSequence, dtype=value.dtype, shape=packed)
        yield Fix(f"Pack it, with the length of each sequence: `{code}`.", {}, {place: made})


def padding(context: FixContext) -> Iterator[Fix]:
    """A PackedSequence where a tensor is expected: padded, or its steps one after the other."""
    place = context.places[0]
    value = value_at(context, place)
    if value is None or not issubclass(value.cls, PackedSequence) or value.items is None:
        return
    name, data = subject(place), value.items[0][1]
    shape = unpacked(value).shape or ()
    for first, padded in (("batch_first=True", shape), ("", (*shape[1::-1], *shape[2:]))):
        code = f"torch.nn.utils.rnn.pad_packed_sequence({name}{', ' if first else ''}{first})[0]"
        text = f"Pad it: `{code.removeprefix('torch.nn.utils.rnn.')}` fits."
        yield Fix(text, {place: code}, {place: Snapshot(torch.Tensor, dtype=data.dtype, shape=padded)})
    yield Fix(f"`{name}.data`, its steps one after the other, fits.", {place: f"{name}.data"}, {place: data})
