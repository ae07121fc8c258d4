"""The uses of each name in the annotations of a call: they decide which names need a variable."""

from __future__ import annotations

import functools
import operator
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from dimtyped.annotations import (
    ArrayHint,
    Axis,
    ClassHint,
    Hint,
    Kind,
    TupleHint,
    UnionHint,
    arrays_in,
    free_names,
    unknown_names,
)


@dataclass(slots=True)
class Use:
    """The uses of one name in the tensor annotations.

    Attributes:
        axes: The different axes that they have. Equal axes are compared as one shape. The axes of arguments that may be
            None do not count, because most calls leave them out.
        most: The number of annotations that may use it in one call; only one option of a union counts.
    """

    axes: set[tuple[Axis, ...]] = field(default_factory=set[tuple[Axis, ...]])
    most: int = 0


Uses: TypeAlias = Mapping[str, Use]


def count_uses(hints: Collection[Hint]) -> tuple[Uses, frozenset[str]]:
    """The uses of each name in the tensor annotations, and the `*name`s that broadcast somewhere."""
    uses: defaultdict[str, Use] = defaultdict(Use)
    broadcast: set[str] = set()
    for array in (array for hint in hints for array in arrays_in(hint)):
        broadcast.update(axis.name for axis in array.axes if axis.many and axis.broadcast)
    for array in (array for hint in hints if not _may_be_none(hint) for array in arrays_in(hint)):
        for name in _uses_of(array):
            uses[name].axes.add(array.axes)
    for name, count in sum(map(_most_uses, hints), Counter[str]()).items():
        uses[name].most = count
    return uses, frozenset(broadcast)


def reads_text(hints: Iterable[Hint]) -> bool:
    """Returns True if an axis reads a value, `{self.width}`: the value may be a string, `"seq+1"`, that needs other names."""
    return any(
        axis.kind is Kind.EXPRESSION and "{" in axis.name
        for hint in hints
        for array in arrays_in(hint)
        for axis in array.axes
    )


def _most_uses(hint: Hint) -> Counter[str]:
    """The most annotations in a hint that can use each name at once: only one option of a union applies."""
    match hint:
        case UnionHint(options=options):
            return functools.reduce(operator.or_, map(_most_uses, options), Counter[str]())
        case TupleHint(items=items):
            return sum(map(_most_uses, items), Counter[str]())
        case _:
            return Counter(name for array in arrays_in(hint) for name in _uses_of(array))


def _uses_of(array: ArrayHint) -> set[str]:
    variadic = {f"*{name}" for name in variadic_names(array.axes)}
    singles = {axis.name for axis in array.axes if axis.kind is Kind.NAME and not axis.many}
    inside = set(free_names(array)) if any(axis.kind is Kind.EXPRESSION for axis in array.axes) else set[str]()
    return variadic | singles | inside


def is_none(hint: Hint) -> bool:
    """Returns True for the hint of None."""
    return isinstance(hint, ClassHint) and hint.cls is type(None)


def _may_be_none(hint: Hint) -> bool:
    return isinstance(hint, UnionHint) and any(map(is_none, hint.options))


def variadic_names(axes: Iterable[Axis]) -> list[str]:
    """The variadic names, `*name`, without the star."""
    return [axis.name for axis in axes if axis.many and axis.kind is Kind.NAME]


def bound_names(hint: Hint) -> list[str]:
    """The names that checking this hint may bind, `*name` for several axes."""
    axes = [axis for array in arrays_in(hint) for axis in array.axes]
    named = [f"*{axis.name}" if axis.many else axis.name for axis in axes if axis.kind is Kind.NAME]
    return [
        *named,
        *(name for axis in axes if axis.kind is Kind.EXPRESSION for name in unknown_names(axis.name, named)),
    ]
