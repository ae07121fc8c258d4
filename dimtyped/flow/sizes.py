"""Sizes for the names of annotations, chosen so that no two names have the same size by chance."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dimtyped.annotations import ArrayHint, Axis, Kind, evaluate
from dimtyped.errors import DeclarationError
from dimtyped.names import names_in

LADDERS = (
    (5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43),  # small primes, which most models take
    (67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113),  # for models that need longer sides
    (64, 96, 160, 224, 288, 352, 416, 480, 544, 608),  # for sizes that must be divisible
)
"""Sizes to try, in this order: the first with which the target runs are taken."""
OTHERS = (
    (7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47),
    (71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127),
    (96, 160, 224, 288, 352, 416, 480, 544, 608, 672),
)
"""The sizes of the second run, for each ladder: each name has another one."""
USUAL_SIDES = (28, 32, 64, 224, 128, 256, 96, 84, 48, 16, 299, 384, 512, 100)
"""The sides of images that models are made for."""
OTHER_SIDES = (8, 12, 20, 24, 36, 40, 56, 60, 72, 80, 112, 144, 160, 192, 240, 320, 336, 448, 518)
"""Further sides, for models that run fast."""
_SEARCHED = 4000


class Unmet(Exception):  # noqa: N818 - no error of a user's: another choice of sizes is tried
    """No sizes of a ladder make every expression of the annotations a size."""


def names_of(arrays: Iterable[ArrayHint]) -> list[str]:
    """The names that annotations use, those in expressions too, in order."""
    found: list[str] = []
    for axis in (axis for array in arrays for axis in array.axes):
        if axis.kind is Kind.NAME and not axis.many:
            found.append(axis.name)
        elif axis.kind is Kind.EXPRESSION:
            found += names_in(_without_paths(axis.name))
    return list(dict.fromkeys(found))


def sides_of(arrays: Iterable[ArrayHint]) -> list[str]:
    """The names of the sides of images, or of the length of signals: those behind batch and channels."""
    found = [axis.name for array in arrays for axis in array.axes[2:] if axis.kind is Kind.NAME and not axis.many]
    return list(dict.fromkeys(found))


def choose(
    arrays: Iterable[ArrayHint],
    fixed: Mapping[str, int],
    values: Mapping[str, Any],
    ladder: Iterable[int],
    ones: Iterable[str] = (),
) -> dict[str, int]:
    """A size for each name: distinct ones, which no name in `fixed` has.

    Args:
        arrays: The annotations.
        fixed: Names whose size is given.
        values: The values that the `{...}` of an annotation read.
        ladder: The sizes to take.
        ones: Names whose size is 1.

    Raises:
        Unmet: An expression cannot be met with these sizes.
    """
    arrays = list(arrays)
    taken = {*fixed.values(), *(axis.size for array in arrays for axis in array.axes if axis.kind is Kind.SIZE)}
    sizes = {**fixed, **dict.fromkeys(ones, 1)}
    free = [name for name in names_of(arrays) if name not in sizes]
    candidates = [size for size in ladder if size not in taken]
    expressions = [axis for array in arrays for axis in array.axes if axis.kind is Kind.EXPRESSION]
    for picked in itertools.islice(itertools.permutations(candidates, len(free)), _SEARCHED if expressions else 1):
        found = {**sizes, **dict(zip(free, picked, strict=True))}
        if all((size_of(axis, found, values) or 0) > 0 for axis in expressions):
            return found
    raise Unmet


def size_of(axis: Axis, sizes: Mapping[str, int], values: Mapping[str, Any]) -> int | None:
    """The size of an axis that is an expression; None for another axis."""
    paths = [part.partition("}")[0].strip() for part in axis.name.split("{")[1:]]
    try:
        size = evaluate(axis.name, tuple(_follow(values, path) for path in paths), sizes)
        return int(size) if size == int(size) and size >= 0 else None
    except (ArithmeticError, TypeError, NameError):
        return None


def shapes_of(array: ArrayHint, sizes: Mapping[str, int], values: Mapping[str, Any]) -> tuple[int, ...]:
    """A shape that fits an annotation; `...` and `*name` cover no axis where the annotation has others, else one."""
    return tuple(_sides(array, sizes, values))


def _sides(array: ArrayHint, sizes: Mapping[str, int], values: Mapping[str, Any]) -> Iterator[int]:
    for axis in array.axes:
        if axis.many:
            yield from _run(axis, sizes)
        elif axis.kind is Kind.SIZE:
            yield axis.size
        elif axis.kind is Kind.ANY:
            yield 3
        elif axis.kind is Kind.NAME:
            yield sizes[axis.name]
        else:
            size = size_of(axis, sizes, values)
            if size is None:
                raise DeclarationError(f"the axis `{axis.text}` is not a valid size with {_text(sizes)}")
            yield size


def _run(axis: Axis, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """One axis for `*name` and for `...`: of a size of its own."""
    return (sizes.get(f"*{axis.name}", 3),)


def _without_paths(expression: str) -> str:
    """An expression whose `{self.width}` are numbers."""
    parts = expression.split("{")
    return parts[0] + "".join(f"1{part.partition('}')[2]}" for part in parts[1:])


def _follow(values: Mapping[str, Any], path: str) -> Any:
    first, *rest = path.split(".")
    if first not in values:
        raise DeclarationError(
            f"`{{{path}}}` reads `{first}`, which is not known when inputs are made\n  Give the inputs yourself."
        )
    value = values[first]
    for name in rest:
        value = getattr(value, name)
    return value


def _text(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={size}" for name, size in sizes.items())
