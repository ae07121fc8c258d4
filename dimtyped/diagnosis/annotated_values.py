"""The tensors in an annotated value, each with its annotation, and the words of an annotation with the axes they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from dimtyped.annotations import ArrayHint, Axis, Hint, ItemsHint, MappingHint, RecordHint, TupleHint, UnionHint


def spread_axes(written: Sequence[Axis], rank: int) -> list[tuple[int, Axis]] | None:
    """Each word with the place of its axis; None if they do not fit. A variadic word is left out."""
    many = next((place for place, word in enumerate(written) if word.many), None)
    if many is None:
        return list(enumerate(written)) if len(written) == rank else None
    behind = len(written) - many - 1
    if rank < many + behind:
        return None
    return [*enumerate(written[:many]), *zip(range(rank - behind, rank), written[many + 1 :], strict=True)]


def annotated_tensors(hint: Hint, value: Any) -> Iterator[tuple[ArrayHint, Tensor]]:
    """Each tensor in a value with its annotation."""
    match hint:
        case ArrayHint():
            if isinstance(value, Tensor) and not hint.packed and not value.is_nested:
                yield hint, value
        case UnionHint(options=options):
            yield from _of_union(options, value)
        case TupleHint(items=items):
            if isinstance(value, tuple) and len(value) == len(items):  # pyright: ignore[reportUnknownArgumentType] - a user's
                yield from _of_each(zip(items, value, strict=True))  # pyright: ignore[reportUnknownArgumentType] - a user's
        case ItemsHint(item=item):
            if isinstance(value, (list, tuple)):
                yield from _of_each((item, each) for each in value)  # pyright: ignore[reportUnknownVariableType] - a user's
        case MappingHint(value=inner):
            if isinstance(value, Mapping):
                yield from _of_each((inner, each) for each in value.values())  # pyright: ignore[reportUnknownVariableType] - a user's
        case RecordHint(fields=fields):
            yield from _of_each((inner, getattr(value, name, None)) for name, inner in fields)
        case _:
            return


def _of_each(pairs: Iterable[tuple[Hint, Any]]) -> Iterator[tuple[ArrayHint, Tensor]]:
    for hint, value in pairs:
        yield from annotated_tensors(hint, value)


def _of_union(options: Sequence[Hint], value: Any) -> Iterator[tuple[ArrayHint, Tensor]]:
    """The pairs of the only option that fits; none if several fit."""
    fitting = [
        pairs for option in options if (pairs := [pair for pair in annotated_tensors(option, value) if _fits(*pair)])
    ]
    if len(fitting) == 1:
        yield from fitting[0]


def _fits(array: ArrayHint, tensor: Tensor) -> bool:
    fits_dtype = array.dtypes is None or tensor.dtype in array.dtypes
    return fits_dtype and spread_axes(array.axes, tensor.dim()) is not None
