"""The order in which the parameters of a call are checked, so that the names in an expression are bound before it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection

from dimtyped.annotations.axes import ArrayHint, Kind
from dimtyped.annotations.expressions import linear, unknown_names
from dimtyped.annotations.hints import Hint, RecordHint, TupleHint, UnionHint, arrays_in
from dimtyped.annotations.signature import Parameter
from dimtyped.names import names_in

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_PLACEHOLDER = re.compile(r"\{(.*?)\}")


def in_order(parameters: Collection[Parameter], known: Collection[str]) -> list[Parameter]:
    """The parameters as they are checked: one whose expressions have two unknown names waits for those that bind them.

    A parameter that may be None, empty or left out may bind nothing, so one that always binds the name comes before.
    """
    pending, found = list(parameters), list[Parameter]()
    if not any(axis.kind is Kind.EXPRESSION for p in pending for a in arrays_in(p.hint) for axis in a.axes):
        return pending
    bound, possible = set(known), set(known)
    while pending:
        decidable = (p for names in (bound, possible) for p in pending if _is_decidable(p.hint, names))
        chosen = next(decidable, pending[0])
        pending.remove(chosen)
        found.append(chosen)
        possible.update(name for array in arrays_in(chosen.hint) for name in _single_names(array))
        if not chosen.has_default and chosen.kind not in _VARIADIC:
            bound |= _always_bound(chosen.hint)
    return found


def _always_bound(hint: Hint) -> set[str]:
    """The names that any value that fits a hint binds."""
    match hint:
        case ArrayHint():
            return _single_names(hint)
        case TupleHint(items=items):
            return set[str]().union(*map(_always_bound, items))
        case RecordHint(fields=fields):
            return set[str]().union(*(_always_bound(inner) for _, inner in fields))
        case UnionHint(options=options):
            return set.intersection(*map(_always_bound, options))
        case _:
            return set()


def _single_names(array: ArrayHint) -> set[str]:
    """The names of one axis; jaxtyping keeps `n` and `*n` apart."""
    many = {axis.name for axis in array.axes if axis.many}
    single = {axis.name for axis in array.axes if axis.kind is Kind.NAME and not axis.many}
    return single | (set(free_names(array)) - many)


def _is_decidable(hint: Hint, known: Collection[str]) -> bool:
    for array in arrays_in(hint):
        inside = {axis.name for axis in array.axes if axis.kind is Kind.NAME and not axis.many}
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
