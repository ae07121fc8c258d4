"""The parameters that say where padding is: lengths of sequences, and masks."""

from __future__ import annotations

import torch

from dimtyped.annotations import ArrayHint, Kind, UnionHint, arrays_in
from dimtyped.testing.strategies.lengths import is_lengths, padded_axis
from dimtyped.testing.strategies.target import Target


def can_be_padding(target: Target, parameter: str) -> bool:
    """True if a parameter is the lengths of padded sequences, or a mask of them."""
    hint = next((p.hint for p in target.parameters if p.name == parameter), None)
    options = hint.options if isinstance(hint, UnionHint) else (hint,)
    arrays = [option for option in options if isinstance(option, ArrayHint)]
    return bool(arrays) and all(_is_padding(target, parameter, array) for array in arrays)


def looks_like_padding(target: Target, parameter: str) -> bool:
    """True if a parameter that the user has not declared as padding is a mask, or integers that are named lengths."""
    arrays = [array for p in target.parameters if p.name == parameter for array in arrays_in(p.hint)]
    return can_be_padding(target, parameter) and (is_lengths(parameter) or all(map(_is_mask, arrays)))


def _is_padding(target: Target, parameter: str, array: ArrayHint) -> bool:
    names = _names(array)
    return len(names) == 2 if _is_mask(array) else len(names) == 1 and bool(padded_axis(target, parameter, array))


def axis_padded(target: Target, parameter: str) -> str:
    """The axis that the lengths, or the mask, of a parameter are along."""
    arrays = [array for p in target.parameters if p.name == parameter for array in arrays_in(p.hint)]
    return _names(arrays[0])[1] if _is_mask(arrays[0]) else padded_axis(target, parameter, arrays[0])


def _is_mask(array: ArrayHint) -> bool:
    return array.dtypes is not None and set(array.dtypes) == {torch.bool}


def _names(array: ArrayHint) -> list[str]:
    return [axis.name for axis in array.axes if axis.kind is Kind.NAME and not axis.many]
