"""Finds the parameters that hold the lengths of padded sequences, and the axis along which those are padded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dimtyped.annotations import ArrayHint, Axis, Kind, arrays_in
from dimtyped.testing.strategies.target import Target

_SEQUENCES = ("seq", "time", "len", "step", "frame", "token", "word", "source", "target", "src", "tgt")
_LENGTHS = ("lengths", "length", "lens", "len")


class _Candidate(NamedTuple):
    """An axis that lengths could be along. The smallest of several fits best."""

    is_other: bool
    is_in_other: bool
    is_no_sequence: bool
    is_elsewhere: bool
    axis: str


def is_lengths(name: str) -> bool:
    """True if a parameter of this name holds the lengths of sequences."""
    return "length" in name or name.rpartition("_")[2] in _LENGTHS


def padded_axis(target: Target, name: str, lengths: ArrayHint) -> str:
    """The axis that the lengths of a parameter are along; empty if there is none.

    It is in a tensor that has the lengths' own axes too, and no module declares it. Of several, the axis is chosen that
    shares a name with the parameter, itself or through its tensor, as `source` with `source_lengths`; then one with the
    usual name of a sequence axis; then the one after the lengths' own.
    """
    own = [_name(axis) for axis in lengths.axes]
    found: list[_Candidate] = []
    for parameter in target.parameters:
        for array in arrays_in(parameter.hint):
            names = [_name(axis) for axis in array.axes]
            found += _candidates(names, own, _stem(name), parameter.name)
    fitting = [candidate for candidate in found if candidate.axis not in ("", *own, *target.sizes)]
    return min(fitting, key=lambda candidate: candidate[:-1]).axis if fitting else ""


def _candidates(names: list[str], own: list[str], stem: str, parameter: str) -> Iterator[_Candidate]:
    """Every axis of a tensor that has the lengths' own axes next to each other."""
    ends = [end for end in range(len(own), len(names) + 1) if names[end - len(own) : end] == own]
    for place, axis in enumerate(names if ends else ()):
        is_sequence = any(word in axis for word in _SEQUENCES)
        yield _Candidate(not _is_kin(stem, axis), not _is_kin(stem, parameter), not is_sequence, place != ends[0], axis)


def _stem(name: str) -> str:
    """The name of the sequences that have these lengths: `source` for `source_lengths`."""
    return "_".join(word for word in name.split("_") if word not in _LENGTHS)


def _is_kin(stem: str, name: str) -> bool:
    return bool(stem and name) and (name.startswith(stem) or stem.startswith(name))


def _name(axis: Axis) -> str:
    return axis.name if axis.kind is Kind.NAME and not axis.many else ""
