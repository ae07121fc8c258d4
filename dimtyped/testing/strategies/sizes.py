"""Sizes for the names of annotations, drawn together so that every expression is a valid size."""

from __future__ import annotations

import builtins
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import reject, strategies as st

from dimtyped.annotations import ArrayHint, Axis, Kind, evaluate, linear, unknown_names
from dimtyped.errors import DeclarationError
from dimtyped.names import names_in

_TRIES = 20
_FAR = 64  # how far beyond `max_side` a side is searched for if an expression needs it
_SEARCHED = 5_000  # combinations of sizes to try before an annotation is assumed to have a solution
Choice = int | Sequence[int]
"""The size of a name as a user gives it: one, or several to choose from, `(2, 4)` or `range(3, 9)`."""
_PLACEHOLDER = re.compile(r"\{.*?\}")


@dataclass(frozen=True)
class Sides:
    """The lengths that a side may have: 0 only with `allow_empty`; with `distinct` no two names have the same size."""

    least: int = 1
    most: int = 6
    allow_empty: bool = False
    distinct: bool = False

    def __post_init__(self) -> None:
        for name, value in (("min_side", self.least), ("max_side", self.most)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:  # pyright: ignore[reportUnnecessaryIsInstance]  # users may pass anything
                raise DeclarationError(
                    f"{name} is {value!r}, must be an int of at least 1; allow_empty=True draws sides of 0"
                )
        if self.least > self.most:
            raise DeclarationError(f"min_side is {self.least}, more than max_side, {self.most}")

    def __contains__(self, size: object) -> bool:
        return isinstance(size, int) and size >= (0 if self.allow_empty else 1)

    def up_to(self, most: int) -> list[int]:
        """Every side, short ones first; empty ones last."""
        return [*range(self.least, most + 1), *([0] if self.allow_empty else [])]

    def strategy(self) -> st.SearchStrategy[int]:
        """One side, short ones first."""
        return st.sampled_from(self.up_to(self.most))


@dataclass
class Sizes:
    """The names of one call: sizes by name, several sizes by `*name`, and the values that `{...}` may read."""

    singles: dict[str, int] = field(default_factory=dict[str, int])
    runs: dict[str, tuple[int, ...]] = field(default_factory=dict[str, "tuple[int, ...]"])
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def of(self, axis: Axis) -> int | None:
        """The size of a symbolic axis under these names; None if the expression gives no valid size."""
        paths = [part.partition("}")[0].strip() for part in axis.name.split("{")[1:]]
        try:
            size = evaluate(axis.name, tuple(_follow(self.values, path) for path in paths), self.singles)
            return int(size) if size == int(size) and size >= 0 else None
        except (ArithmeticError, TypeError, NameError):
            return None
        except SyntaxError as error:
            raise DeclarationError(f"the axis `{axis.text}` is not an expression: {error.msg}") from None

    def __str__(self) -> str:
        runs = {f"*{name}": run for name, run in self.runs.items()}
        return ", ".join(f"{name}={size}" for name, size in {**self.singles, **runs}.items())


class Solver:
    """Draws sizes for the names of some annotations. Made once, so that an impossible annotation raises at once.

    Args:
        arrays: The annotations of one call.
        fixed: Names whose size is given, or sizes to choose from.
        values: The values that the `{...}` of an annotation read.
        sides: The lengths that the other axes may have.
        results: The annotations of the result: their expressions must be valid sizes too.

    Raises:
        DeclarationError: an expression uses a name that no axis has, or no sizes make every expression a valid size.
    """

    def __init__(
        self,
        arrays: Iterable[ArrayHint],
        fixed: Mapping[str, Choice],
        values: Mapping[str, Any],
        sides: Sides,
        results: Iterable[ArrayHint] = (),
    ) -> None:
        axes = [axis for array in arrays for axis in array.axes]
        given = check_fixed(fixed, axes)
        self.fixed = {name: sizes[0] for name, sizes in given.items() if len(sizes) == 1}
        self.choices = {name: list(sizes) for name, sizes in given.items() if len(sizes) > 1}
        self.values, self.sides = values, sides
        self.expressions = [axis for axis in axes if axis.kind is Kind.EXPRESSION]
        names = dict.fromkeys([*_axis_names(axes), *self.choices])
        names.update(dict.fromkeys(_solvable_names(self.expressions, {*names, *self.fixed})))
        self.free = [name for name in names if name not in self.fixed]
        self.runs = list(dict.fromkeys(a.name for a in axes if a.kind is Kind.NAME and a.many))
        _reject_unknown(self.expressions, {*names, *self.fixed})
        self.expressions += _known_expressions(results, {*names, *self.fixed}, values)
        self.candidates = {name: self._candidates(name) for name in self.free}
        self._find_some()

    def draw(self, draw: st.DrawFn) -> Sizes:
        """Sizes for every name."""
        for _ in range(_TRIES):
            sizes = self._with(self._drawn(draw))
            if self._fit(sizes, self.expressions):
                few = st.lists(self.sides.strategy(), max_size=2).map(tuple)
                sizes.runs = {name: draw(few) for name in self.runs}
                return sizes
        return reject()
        return None

    def _drawn(self, draw: st.DrawFn) -> dict[str, int]:
        """A size for each free name, all different if they are to be distinct."""
        drawn: dict[str, int] = {}
        for name in self.free:
            sides = self.candidates[name]
            if self.sides.distinct and name not in self.choices:
                taken = {*self.fixed.values(), *drawn.values()}
                sides = [side for side in sides if side not in taken] or sides
            drawn[name] = draw(st.sampled_from(sides))
        return drawn

    def _with(self, drawn: Mapping[str, int]) -> Sizes:
        return Sizes({**self.fixed, **drawn}, {}, self.values)

    def _fit(self, sizes: Sizes, expressions: list[Axis]) -> bool:
        found = [sizes.of(axis) for axis in expressions]
        return all(
            size is not None and (size in self.sides or self._is_settled(a))
            for a, size in zip(expressions, found, strict=False)
        )

    def _is_settled(self, axis: Axis) -> bool:
        """True if the fixed names alone determine its size, which may then be 0."""
        return set(_names(axis)) <= self.fixed.keys()

    def _candidates(self, name: str) -> list[int]:
        """The sides that make every expression over only this name a valid size, shortest first."""
        alone = [axis for axis in self.expressions if set(_names(axis)) - self.fixed.keys() == {name}]
        if name in self.choices:
            return self.choices[name]
        for most in (self._most, self.sides.most + _FAR):
            fitting = [side for side in self.sides.up_to(most) if self._fit(self._with({name: side}), alone)]
            if fitting:
                return fitting
        raise _never_met(alone, f"no size of `{name}` up to {self.sides.most + _FAR} makes")

    @property
    def _most(self) -> int:
        """The longest side; longer if sizes are to be distinct and others are already taken."""
        others = len(self.fixed) + len(self.free) if self.sides.distinct else 0
        return self.sides.most + others

    def _find_some(self) -> None:
        if math.prod(len(sides) for sides in self.candidates.values()) > _SEARCHED:
            return
        combinations = itertools.product(*self.candidates.values())
        found = (self._with(dict(zip(self.free, sides, strict=True))) for sides in combinations)
        if not any(self._fit(sizes, self.expressions) for sizes in found):
            raise _never_met(self.expressions, f"no sizes up to {self.sides.most} make")


def draw_shape(draw: st.DrawFn, array: ArrayHint, sizes: Sizes, sides: Sides) -> tuple[int, ...]:
    """A shape that fits an annotation under these sizes."""
    shape: list[int] = []
    for axis in array.axes:
        if axis.many:
            shape += _run(draw, axis, sizes, sides)
        elif axis.broadcast and draw(st.booleans()):
            shape.append(1)
        else:
            shape.append(_side(draw, axis, sizes, sides))
    return tuple(shape)


def check_fixed(fixed: Mapping[str, Choice], axes: Iterable[Axis] = ()) -> dict[str, tuple[int, ...]]:
    """The sizes that each given name may have, as plain ints.

    Raises:
        DeclarationError: one is not a size, or an axis such as `rows=4` gives the name another size.
    """
    checked = {name: _sizes_given(name, choice) for name, choice in fixed.items()}
    for axis in axes:
        if axis.label and axis.kind is Kind.SIZE and axis.size not in checked.get(axis.label, (axis.size,)):
            raise fixed_twice(axis.label, axis.size, f"the annotation, `{axis.text}`", checked[axis.label][0])
    return checked


def _sizes_given(name: str, choice: Any) -> tuple[int, ...]:
    """The sizes that a user gives for a name: one, or several to choose from."""
    sizes: list[Any] = list(choice) if isinstance(choice, range | tuple | list) else [choice]
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise DeclarationError(f"sizes: `{name}` is {size!r}, must be an int of at least 0")
    if not sizes:
        raise DeclarationError(f"sizes: `{name}` is {choice!r}, which holds no size")
    return tuple(int(size) for size in sizes)


def fixed_twice(name: str, size: int, owner: str, given: int) -> DeclarationError:
    """The error for a name whose size is declared and given."""
    error = DeclarationError(
        f"`{name}` is fixed twice: {size} by {owner}, {given} by sizes=\n  Leave `{name}` out of sizes=."
    )
    error.dim, error.expected, error.actual = name, size, given
    return error


def _run(draw: st.DrawFn, axis: Axis, sizes: Sizes, sides: Sides) -> tuple[int, ...]:
    if axis.kind is not Kind.NAME:
        return draw(st.lists(sides.strategy(), max_size=2).map(tuple))
    run = sizes.runs[axis.name]
    if not axis.broadcast:
        return run
    kept = run[draw(st.integers(0, len(run))) :]
    return tuple(1 if draw(st.booleans()) else size for size in kept)


def _side(draw: st.DrawFn, axis: Axis, sizes: Sizes, sides: Sides) -> int:
    match axis.kind:
        case Kind.ANY:
            return draw(sides.strategy())
        case Kind.SIZE:
            return axis.size
        case Kind.NAME:
            return sizes.singles[axis.name]
        case Kind.EXPRESSION:
            size = sizes.of(axis)
            return reject() if size is None else size


def _names(axis: Axis) -> tuple[str, ...]:
    return tuple(name for name in names_in(axis.name) if not hasattr(builtins, name))


def _axis_names(axes: list[Axis]) -> list[str]:
    return [axis.name for axis in axes if axis.kind is Kind.NAME and not axis.many]


def _solvable_names(expressions: list[Axis], known: set[str]) -> list[str]:
    """The names that only expressions use, each the only unknown of an expression that is linear in it."""
    found: list[str] = []
    for _ in expressions:
        for axis in expressions:
            unknown = unknown_names(axis.name, {*known, *found})
            if len(unknown) == 1 and linear(_PLACEHOLDER.sub("0", axis.name), unknown[0]) is not None:
                found.append(unknown[0])
    return found


def _known_expressions(arrays: Iterable[ArrayHint], known: set[str], values: Mapping[str, Any]) -> list[Axis]:
    """The expressions of a result that the call's own names decide, as `seq-1`; no others."""
    axes = [axis for array in arrays for axis in array.axes if axis.kind is Kind.EXPRESSION]
    read = {part.partition("}")[0].partition(".")[0].strip() for axis in axes for part in axis.name.split("{")[1:]}
    return [axis for axis in axes if set(_names(axis)) <= known] if read <= values.keys() else []


def _reject_unknown(expressions: list[Axis], known: set[str]) -> None:
    for axis in expressions:
        for name in _names(axis):
            if name not in known:
                raise DeclarationError(
                    f"the axis `{axis.text}` uses `{name}`, which is not the name of an axis\n"
                    f"  Give its size: sizes={{'{name}': ...}}."
                )


def _never_met(expressions: list[Axis], what: str) -> DeclarationError:
    texts = ", ".join(f"`{axis.text}`" for axis in expressions)
    return DeclarationError(
        f"the annotation cannot be satisfied: {what} {texts} a valid size\n  Write an expression that can be one."
    )


def _follow(values: Mapping[str, Any], path: str) -> Any:
    first, *rest = path.split(".")
    if first not in values:
        raise DeclarationError(
            f"`{{{path}}}` reads `{first}`, which is not known when inputs are made\n"
            "  Use calls(module), which knows `self`, or write a name."
        )
    value = values[first]
    for name in rest:
        value = getattr(value, name)
    return value
