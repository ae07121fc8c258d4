"""Other shapes of one tensor: a view keeps the number of elements, an expansion all axes but those of size 1."""

from __future__ import annotations

import math
import re

from dimtyped.diagnosis.torch_errors.failure import Clash, Failure, Mark, Operand, count, phrase, ranks
from dimtyped.diagnosis.torch_errors.stand_ins import Label


def reshape(failure: Failure) -> Clash | None:
    """`view` and `reshape`: as many elements as before, and for a view the same order in memory."""
    x, sizes = failure.operand(0, "input"), failure.ints(1, "size", "shape")
    if x is None or sizes is None:
        return None
    total, known = math.prod(x.sizes), math.prod(size for size in sizes if size >= 0)
    written = f"({', '.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"
    if -1 in sizes and (not known or total % known):
        return Clash(f"{_product(x)} is {total}, no multiple of {known}", (), x.labels)
    if -1 not in sizes and known != total:
        return Clash(f"{_product(x)} is {total}, {written} has {known}", (), x.labels)
    if "stride" in failure.message or "contiguous" in failure.message:
        return Clash(f"`{x.text}` lies in memory in another order, as after a transpose")
    return None


def same_shape(failure: Failure) -> Clash | None:
    """`view_as`, `reshape_as`: as many elements as the other has."""
    x, other = failure.operand(0), failure.operand(1, "other")
    if x is None or other is None or math.prod(x.sizes) == math.prod(other.sizes):
        return None
    return Clash(f"{_product(x)} is {math.prod(x.sizes)}, {_product(other)} is {math.prod(other.sizes)}")


def unflatten(failure: Failure) -> Clash | None:
    """`unflatten(dim, sizes)`: the sizes multiply to the axis."""
    x, dim, sizes = failure.operand(0, "input"), failure.arg(1, "dim"), failure.ints(2, "sizes")
    if x is None or not isinstance(dim, int) or sizes is None or not -x.rank <= dim < x.rank:
        return None
    label, known = x.labels[dim], math.prod(size for size in sizes if size >= 0)
    word = f"no multiple of {known}" if -1 in sizes else f"and {' * '.join(map(str, sizes))} is {known}"
    mark = Mark(x, dim % x.rank, f"must be {'a multiple of ' if -1 in sizes else ''}{known}")
    return Clash(f"{phrase(label)} is {word}" if -1 in sizes else f"{phrase(label)}, {word}", (mark,), (label,))


def expand(failure: Failure) -> Clash | None:
    """`expand`, `broadcast_to`: only an axis of size 1 can grow."""
    x, sizes = failure.operand(0, "input"), failure.ints(1, "size", "sizes", "shape")
    other = failure.operand(1, "other")
    wanted = other.labels if other is not None else tuple(Label(size) for size in sizes or ())
    if x is None or not wanted:
        return None
    if len(wanted) < x.rank:
        return Clash(f"{ranks(x)}, {count(len(wanted), 'size is', 'sizes are')} wanted")
    for axis in range(-1, -x.rank - 1, -1):
        if x.sizes[axis] not in (1, wanted[axis].size) and wanted[axis].size != -1:
            mark = Mark(x, axis % x.rank, f"must be {wanted[axis].size} or 1")
            return Clash(f"{phrase(x.labels[axis])} cannot become {wanted[axis].size}", (mark,), (x.labels[axis],))
    return None


def permute(failure: Failure) -> Clash | None:
    """`permute`: each axis once."""
    x, dims = failure.operand(0, "input"), failure.ints(1, "dims")
    if x is None or dims is None or len(dims) == x.rank:
        return None
    return Clash(f"{ranks(x)}, {len(dims)} are given", (), x.labels)


def split(failure: Failure) -> Clash | None:
    """`split(sizes)`: the sizes add up to the axis."""
    x, sizes, dim = (
        failure.operand(0, "tensor"),
        failure.arg(1, "split_size_or_sections", "split_size"),
        failure.arg(2, "dim", default=0),
    )
    if x is None or not isinstance(sizes, list | tuple) or not isinstance(dim, int) or not -x.rank <= dim < x.rank:
        return None
    total = sum(size for size in sizes if isinstance(size, int))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # a user's list
    if total == x.sizes[dim]:
        return None
    mark = Mark(x, dim % x.rank, f"must be {total}")
    return Clash(f"{phrase(x.labels[dim])}, the parts add up to {total}", (mark,), (x.labels[dim],))


def axis_out_of_range(failure: Failure) -> Clash | None:
    """Torch's message says which axis was asked for; the operand says which ones there are."""
    asked = re.search(
        r"Dimension out of range \(expected to be in range of \[(-?\d+), (-?\d+)\], but got (-?\d+)\)", failure.message
    )
    if asked is None:
        return None
    rank = int(asked[2]) + 1
    x = next((operand for operand in failure.operands if max(operand.rank, 1) == rank), None)
    if x is None:
        x = next(
            (operand for operand in failure.operands if operand.rank + 1 == rank), None
        )  # for a function that adds an axis
    if x is None:
        return None
    return Clash(f"there is no axis {asked[3]}: {ranks(x)}", (), x.labels)


def repeat(failure: Failure) -> Clash | None:
    """`repeat`, `tile`: a number for each axis."""
    x, sizes = failure.operand(0, "input"), failure.ints(1, "repeats", "sizes")
    if x is None or sizes is None or len(sizes) >= x.rank:
        return None
    return Clash(f"{ranks(x)}, {count(len(sizes), 'number is', 'numbers are')} given", (), x.labels)


def _product(x: Operand) -> str:
    return f"{' * '.join(label.name or str(label.size) for label in x.labels) or '1'} of `{x.text}`"
