"""The order in which the parameters of a call, and the parts of a value, are checked: the names in an expression first."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from dimtyped.annotations.axes import ArrayHint, Axis, Kind
from dimtyped.annotations.expressions import linear, unknown_names
from dimtyped.annotations.hints import (
    Hint,
    ItemsHint,
    MappingHint,
    RecordHint,
    TupleHint,
    UnionHint,
    arrays_in,
    children,
)
from dimtyped.annotations.signature import Parameter
from dimtyped.names import names_in

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_PLACEHOLDER = re.compile(r"\{(.*?)\}")
T = TypeVar("T")


@dataclass(slots=True)
class _Part(Generic[T]):
    """A parameter, an item of a tuple or a field of a record; a call that leaves it out binds nothing there."""

    value: T
    hint: Hint
    is_always_given: bool = True


def in_order(parameters: Collection[Parameter], known: Collection[str]) -> list[Parameter]:
    """The parameters as they are checked: one whose expressions have two unknown names waits for those that bind them.

    A parameter that may be None, empty or left out may bind nothing, so one that always binds the name comes before.
    """
    if not any(map(_has_expression, parameters)):
        return list(parameters)
    return [part.value for part, _ in _ordered(_parts_of(parameters), known, known)]


def wait_for_one_another(parameters: Collection[Parameter], known: Collection[str]) -> bool:
    """True if an order of single axes gives each name its size, but none of whole parameters: `a n//2` and `n+a`."""
    if not any(map(_has_expression, parameters)):
        return False
    waiting = [part.hint for part, is_decidable in _ordered(_parts_of(parameters), known, known) if not is_decidable]
    if not waiting:
        return False
    bound = _bound_axis_by_axis(parameters, known)
    return not any(unknown_names(axis.name, bound) for hint in waiting for axis in _expressions(hint))


def _bound_axis_by_axis(parameters: Collection[Parameter], known: Collection[str]) -> set[str]:
    """The names that have a size at last if each axis is read as soon as it can be."""
    bound, before = set(known), -1
    while len(bound) > before:
        before = len(bound)
        for axis in (axis for parameter in parameters for array in arrays_in(parameter.hint) for axis in array.axes):
            bound.update(_single_names(axis) if axis.kind is Kind.NAME else _solved(axis, bound))
    return bound


def _solved(axis: Axis, known: Collection[str]) -> list[str]:
    """The one unknown name of an expression that can be solved for it."""
    unknown = unknown_names(axis.name, known) if axis.kind is Kind.EXPRESSION else []
    return list(unknown) if len(unknown) == 1 and linear(_PLACEHOLDER.sub("0", axis.name), unknown[0]) else []


def _parts_of(parameters: Collection[Parameter]) -> list[_Part[Parameter]]:
    return [_Part(p, p.hint, not p.has_default and p.kind not in _VARIADIC) for p in parameters]


def parts_in_order(
    parts: Sequence[tuple[T, Hint]], certain: Collection[str], possible: Collection[str]
) -> list[tuple[T, Hint]]:
    """The items of a tuple or the fields of a record as they are checked, in the order of `in_order`.

    Args:
        parts: What the caller calls each part, and its hint.
        certain: The names that have a size before.
        possible: The names that may have one.
    """
    if len(parts) < 2 or not any(_has_expression(hint) for _, hint in parts):
        return list(parts)
    return [
        part.value for part, _ in _ordered([_Part((value, hint), hint) for value, hint in parts], certain, possible)
    ]


def _has_expression(part: Hint | Parameter) -> bool:
    return bool(_expressions(part.hint if isinstance(part, Parameter) else part))


def _ordered(
    parts: Sequence[_Part[T]], certain: Collection[str], possible: Collection[str]
) -> list[tuple[_Part[T], bool]]:
    """The parts in order; with each, whether its expressions can be evaluated or solved by then."""
    pending, found = list(parts), list[tuple[_Part[T], bool]]()
    bound, perhaps = set(certain), set(possible)
    while pending:
        decidable = next((part for part in pending if _is_decidable(part.hint, bound, certainly=True)), None)
        if decidable is None:
            likely = [part for part in pending if _is_decidable(part.hint, perhaps, certainly=False)]
            decidable = next((part for part in likely if not _can_wait(part, pending, bound)), next(iter(likely), None))
        chosen = decidable or pending[0]
        pending.remove(chosen)
        found.append((chosen, decidable is not None))
        perhaps |= _names_bound(chosen.hint, certainly=False)
        if chosen.is_always_given:
            bound |= _names_bound(chosen.hint, certainly=True)
    return found


def _can_wait(part: _Part[T], pending: Sequence[_Part[T]], bound: Collection[str]) -> bool:
    """True if another part may bind a name that the expressions of this one use and that may have no size so far."""
    uncertain = {name for axis in _expressions(part.hint) for name in names_in(axis.name)}.difference(bound)
    return any(uncertain & _names_bound(other.hint, certainly=False) for other in pending if other is not part)


def _names_bound(hint: Hint, *, certainly: bool) -> set[str]:
    """The names of one axis that a value that fits a hint binds, or may bind; jaxtyping keeps `n` and `*n` apart."""
    match hint:
        case ArrayHint(axes=axes):
            return {name for axis in axes if not (certainly and axis.broadcast) for name in _single_names(axis)}
        case UnionHint(options=options) if certainly:
            return set.intersection(*(_names_bound(option, certainly=True) for option in options))
        case ItemsHint() | MappingHint() if certainly:
            return set()
        case _:
            return set[str]().union(*(_names_bound(inner, certainly=certainly) for inner in children(hint)))


def _expressions(hint: Hint) -> list[Axis]:
    return [axis for array in arrays_in(hint) for axis in array.axes if axis.kind is Kind.EXPRESSION]


def _single_names(axis: Axis) -> tuple[str, ...]:
    if axis.kind is Kind.EXPRESSION:
        return names_in(axis.name)
    return (axis.name,) if axis.kind is Kind.NAME and not axis.many else ()


def _is_decidable(hint: Hint, known: Collection[str], *, certainly: bool) -> bool:
    """True if each expression in a hint can be evaluated or solved, once the parts that bind its names are checked."""
    if not _has_expression(hint):
        return True
    match hint:
        case ArrayHint():
            return _is_tensor_decidable(hint, known, certainly=certainly)
        case TupleHint() | RecordHint():
            pending, bound = list(children(hint)), set(known)
            while pending:
                chosen = next((part for part in pending if _is_decidable(part, bound, certainly=certainly)), None)
                if chosen is None:
                    return False
                pending.remove(chosen)
                bound |= _names_bound(chosen, certainly=certainly)
            return True
        case _:
            return all(_is_decidable(inner, known, certainly=certainly) for inner in children(hint))


def _is_tensor_decidable(array: ArrayHint, known: Collection[str], *, certainly: bool) -> bool:
    named = [axis for axis in array.axes if axis.kind is Kind.NAME and not axis.many]
    inside = {axis.name for axis in named if not (certainly and axis.broadcast)}
    for axis in (axis for axis in array.axes if axis.kind is Kind.EXPRESSION):
        unknown = unknown_names(axis.name, {*known, *inside})
        if len(unknown) > 1 or (unknown and linear(_PLACEHOLDER.sub("0", axis.name), unknown[0]) is None):
            return False
    return True


def free_names(array: ArrayHint) -> tuple[str, ...]:
    """The names that a tensor annotation uses, including `*name` and names in expressions."""
    names: list[str] = []
    for axis in array.axes:
        if axis.kind is Kind.NAME:
            names.append(axis.name)
        elif axis.kind is Kind.EXPRESSION:
            names.extend(names_in(axis.name))
    return tuple(dict.fromkeys(names))


def names_of(hint: Hint) -> tuple[str, ...]:
    """Every name that the tensor annotations of a hint use."""
    return tuple(name for array in arrays_in(hint) for name in free_names(array))
