"""Sizes for the names of an annotation: drawn together, so that every expression comes out as a size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st

from dimtyped._axes import Axis, Kind, names_in
from dimtyped._errors import DeclarationError
from dimtyped._fast import evaluate
from dimtyped._hints import ArrayHint

_TRIES = 20
_FAR = 64  # how far beyond `max_side` a side is looked for where an expression needs it


@dataclass(frozen=True)
class Sides:
    """How long a side may be. An empty one only where `allow_empty`."""

    least: int = 1
    most: int = 6
    allow_empty: bool = False

    def __post_init__(self) -> None:
        for name, value in (("min_side", self.least), ("max_side", self.most)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise DeclarationError(f"{name} is {value!r}, must be an int of at least 0")
        if self.least > self.most:
            raise DeclarationError(f"min_side is {self.least}, more than max_side, {self.most}")

    def __contains__(self, size: object) -> bool:
        return isinstance(size, int) and size >= (0 if self.allow_empty else 1)

    def strategy(self) -> st.SearchStrategy[int]:
        """One side, short ones first."""
        return st.integers(0 if self.allow_empty else self.least, self.most)


@dataclass
class Sizes:
    """What the names of one call mean: sizes by name, runs of sizes by `*name`, and what `{...}` may read."""

    singles: dict[str, int] = field(default_factory=dict[str, int])
    runs: dict[str, tuple[int, ...]] = field(default_factory=dict[str, "tuple[int, ...]"])
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def of(self, axis: Axis) -> Any:
        """The size of a symbolic axis under these names."""
        paths = [part.partition("}")[0].strip() for part in axis.name.split("{")[1:]]
        return evaluate(axis.name, tuple(_follow(self.values, path) for path in paths), self.singles)

    def __str__(self) -> str:
        runs = {f"*{name}": run for name, run in self.runs.items()}
        return ", ".join(f"{name}={size}" for name, size in {**self.singles, **runs}.items())


def draw_sizes(
    draw: st.DrawFn, arrays: Iterable[ArrayHint], fixed: Mapping[str, int], values: Mapping[str, Any], sides: Sides
) -> Sizes:
    """Sizes for every name in these annotations; `fixed` ones are kept.

    Raises:
        DeclarationError: an expression uses a name that no axis is named by, or can never be a size.
    """
    axes = [axis for array in arrays for axis in array.axes]
    expressions = [axis for axis in axes if axis.kind is Kind.EXPRESSION]
    singles = list(dict.fromkeys(a.name for a in axes if a.kind is Kind.NAME and not a.many))
    free = [name for name in singles if name not in fixed]
    _reject_unknown(expressions, {*singles, *fixed})
    candidates = {name: _candidates(name, expressions, fixed, values, sides) for name in free}
    runs = dict.fromkeys(axis.name for axis in axes if axis.kind is Kind.NAME and axis.many)
    for _ in range(_TRIES):
        sizes = Sizes(dict(fixed), {}, values)
        sizes.singles.update((name, draw(st.sampled_from(candidates[name]))) for name in free)
        if all(_evaluated(sizes, axis) in sides for axis in expressions):
            sizes.runs = {name: tuple(draw(st.lists(sides.strategy(), max_size=2))) for name in runs}
            return sizes
    reject()


def draw_shape(draw: st.DrawFn, array: ArrayHint, sizes: Sizes, sides: Sides) -> tuple[int, ...]:
    """A shape that fits an annotation under these sizes."""
    shape: list[int] = []
    for axis in array.axes:
        if axis.many:
            run = sizes.runs.get(axis.name) if axis.kind is Kind.NAME else None
            shape += run if run is not None else draw(st.lists(sides.strategy(), max_size=2))
        elif axis.broadcast and draw(st.booleans()):
            shape.append(1)
        else:
            shape.append(_side(draw, axis, sizes, sides))
    return tuple(shape)


def _side(draw: st.DrawFn, axis: Axis, sizes: Sizes, sides: Sides) -> int:
    match axis.kind:
        case Kind.ANY:
            return draw(sides.strategy())
        case Kind.SIZE:
            return axis.size
        case Kind.NAME:
            return sizes.singles[axis.name]
        case Kind.EXPRESSION:
            return int(sizes.of(axis))


def _candidates(
    name: str, expressions: list[Axis], fixed: Mapping[str, int], values: Mapping[str, Any], sides: Sides
) -> list[int]:
    """The sides that make every expression over this name alone a size, shortest first."""
    alone = [axis for axis in expressions if set(_names(axis)) - fixed.keys() == {name}]
    least = 0 if sides.allow_empty else sides.least
    for most in (sides.most, sides.most + _FAR):
        fitting = [
            side
            for side in range(least, most + 1)
            if all(_evaluated(Sizes({**fixed, name: side}, {}, values), axis) in sides for axis in alone)
        ]
        if fitting:
            return fitting
    texts = ", ".join(f"`{axis.text}`" for axis in alone)
    raise DeclarationError(f"no size of `{name}` up to {sides.most + _FAR} makes {texts} a size: the annotation cannot be met")


def _evaluated(sizes: Sizes, axis: Axis) -> Any:
    try:
        size = sizes.of(axis)
    except ArithmeticError:
        return None
    return int(size) if size == int(size) else None


def _names(axis: Axis) -> tuple[str, ...]:
    return tuple(name for name in names_in(axis.name) if name not in ("min", "max", "abs", "int", "sum", "len"))


def _reject_unknown(expressions: list[Axis], known: set[str]) -> None:
    for axis in expressions:
        for name in _names(axis):
            if name not in known:
                raise DeclarationError(
                    f"the axis `{axis.text}` uses `{name}`, which no axis is named by: give its size with sizes={{'{name}': ...}}"
                )


def _follow(values: Mapping[str, Any], path: str) -> Any:
    first, *rest = path.split(".")
    if first not in values:
        raise DeclarationError(f"`{{{path}}}` reads `{first}`, whose value is not known where inputs are made")
    value = values[first]
    for name in rest:
        value = getattr(value, name)
    return value
