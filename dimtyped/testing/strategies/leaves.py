"""The tensors in a call's values, each with its annotation, and the same values with one of them replaced."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from dimtyped.annotations import (
    ArrayHint,
    Axis,
    Hint,
    ItemsHint,
    Kind,
    MappingHint,
    RecordHint,
    TupleHint,
    UnionHint,
    arrays_in,
)
from dimtyped.diagnosis import Findings, placed, snapshot
from dimtyped.testing.strategies.packing import is_even, packed_again, padded

Path = tuple[Any, ...]


@dataclass(frozen=True)
class Leaf:
    """One tensor at a path below a parameter or the result; `is_sure` if no other option of a union has tensors.

    A PackedSequence of sequences of one length appears here as its padded tensor.
    """

    path: Path
    hint: ArrayHint
    tensor: Tensor
    is_sure: bool = True

    @property
    def axes(self) -> list[tuple[Axis, int]]:
        """Each axis of the annotation that is a single axis, with its index in the shape, in the order of checking."""
        return placed(self.hint.axes, self.tensor.dim())

    def along(self, name: str) -> int | None:
        """The index of the axis of this name, if there is one."""
        named = [
            index for axis, index in self.axes if axis.kind is Kind.NAME and axis.name == name and not axis.broadcast
        ]
        return named[0] if len(named) == 1 else None

    def __str__(self) -> str:
        first, *rest = self.path
        return str(first) + "".join(
            f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{step!r}]" for step in rest
        )


def leaves_of(hint: Hint, value: Any, path: Path, *, is_sure: bool = True) -> Iterator[Leaf]:
    """Every annotated tensor in a value that fits its hint."""
    match hint:
        case ArrayHint() if isinstance(value, Tensor):
            yield Leaf(path, hint, value, is_sure)
        case ArrayHint(packed=True) if isinstance(value, PackedSequence) and is_even(value):
            yield Leaf(path, hint, padded(value), is_sure)
        case UnionHint(options=options):
            fitting = _fitting(options, value)
            if fitting is not None:
                others = [option for option in options if option is not fitting and arrays_in(option)]
                yield from leaves_of(fitting, value, path, is_sure=is_sure and not others)
        case _:
            for step, inner, part in _parts(hint, value):
                yield from leaves_of(inner, part, (*path, step), is_sure=is_sure)


def _fitting(options: Iterable[Hint], value: Any) -> Hint | None:
    """The first option that the value fits by itself; else the first it fits but for sizes that only the call decides."""
    found = [(option, _mismatches(option, value)) for option in options]
    exact = (option for option, kinds in found if not kinds)
    return next(itertools.chain(exact, (option for option, kinds in found if kinds == {"expression"})), None)


def _mismatches(hint: Hint, value: Any) -> set[str]:
    """The kinds of what does not fit in a value by itself, regardless of the call's other values."""
    findings = Findings()
    findings.check(hint, snapshot(value), "")
    return {mismatch.kind for mismatch in findings.mismatches}


def replaced(value: Any, path: Path, new: Any) -> Any:
    """The value with something else at a path below it."""
    if not path:
        is_padded = isinstance(value, PackedSequence) and isinstance(new, Tensor)
        return packed_again(new) if is_padded else new
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {**value, step: replaced(value[step], rest, new)}
    if isinstance(step, str):
        changed = {step: replaced(getattr(value, step), rest, new)}
        is_named_tuple = isinstance(value, tuple)
        record: Any = value
        return record._replace(**changed) if is_named_tuple else dataclasses.replace(record, **changed)
    items = [replaced(item, rest, new) if index == step else item for index, item in enumerate(value)]
    return type(value)(items)


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The value with every tensor in it changed, annotated or not."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: mapped(item, change) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(item, change) for item in value))
    if isinstance(value, list | tuple):
        return type(value)(mapped(item, change) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: mapped(getattr(value, f.name), change) for f in dataclasses.fields(value) if f.init}
        return dataclasses.replace(value, **fields)
    return value


def floats_in(value: Any) -> list[Tensor]:
    """The tensors of floats in a value."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():
            found.append(tensor)
        return tensor

    mapped(value, keep)
    return found


def _parts(hint: Hint, value: Any) -> list[tuple[Any, Hint, Any]]:
    match hint:
        case TupleHint(items=items):
            return [(index, item, part) for index, (item, part) in enumerate(zip(items, value, strict=True))]
        case ItemsHint(item=item) if isinstance(value, list | tuple):
            return [(index, item, part) for index, part in enumerate(value)]
        case MappingHint(value=inner):
            return [(key, inner, part) for key, part in value.items()]
        case RecordHint(fields=fields) if hint.has_keys:
            return [(name, inner, value.get(name)) for name, inner in fields]
        case RecordHint(fields=fields):
            return [(name, inner, getattr(value, name)) for name, inner in fields]
        case _:
            return []
