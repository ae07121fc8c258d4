"""Operators that multiply and sum along axes that two operands share."""

import string
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from dimtyped.flow.axes import Axes, Axis, product
from dimtyped.flow.calls import Call, NoRule, Outcome, dims_of, without
from dimtyped.flow.rules.table import rule


def matrix_product(call: Call, first: Axes, second: Axes) -> Axes:
    """The axes of `first @ second`."""
    if not first or not second:
        raise NoRule
    rows, inner = first[:-1], first[-1]
    if len(second) == 1:
        return call.contract(rows, (inner, second[0]))
    other, column = second[-2], second[-1]
    if len(first) == 1:
        return call.contract((*second[:-2], column), (inner, other))
    batch = call.broadcast(first[:-2], second[:-2])
    return call.contract((*batch, rows[-1], column), (inner, other))


@rule("matmul", "mm", "bmm", "mv", "dot", "vdot", "linalg_matmul", "_int_mm")
def matmul(call: Call) -> Outcome:
    """The last axis of the first with the last but one of the second."""
    return matrix_product(call, call.first(), call.axes(call.tensor(1, "other", "mat2", "vec", "tensor", "vec2")))


@rule("rmatmul")
def rmatmul(call: Call) -> Outcome:
    """`other @ self`."""
    return matrix_product(call, call.axes(call.tensor(1, "other")), call.first())


@rule("linalg_vecdot")
def vecdot(call: Call) -> Outcome:
    """Item by item, summed along one axis."""
    both = call.broadcast(*map(call.axes, call.tensors))
    dims = dims_of(call.arg(2, "dim", default=-1), len(both))
    call.mixes(*(both[dim] for dim in dims))
    return without(both, dims)


@rule("inner")
def inner(call: Call) -> Outcome:
    """The last axes."""
    first, second = call.first(), call.axes(call.tensor(1, "other"))
    if not first or not second:
        return first or second
    return call.contract((*first[:-1], *second[:-1]), (first[-1], second[-1]))


@rule("addmm", "addbmm", "baddbmm", "addmv")
def added_product(call: Call) -> Outcome:
    """A product, added to the first argument."""
    second = call.axes(call.tensor(2, "mat2", "batch2", "vec"))
    made = matrix_product(call, call.axes(call.tensor(1, "mat1", "batch1", "mat")), second)
    if call.name == "addbmm":
        call.mixes(made[0])
        made = made[1:]
    return call.broadcast(made, call.first())


@rule("outer", "ger")
def outer(call: Call) -> Outcome:
    """Every row with every row."""
    return (*call.first(), *call.axes(call.tensor(1, "vec2")))


@rule("addr")
def addr(call: Call) -> Outcome:
    """Every item with every item, added to the first argument."""
    made = (*call.axes(call.tensor(1, "vec1")), *call.axes(call.tensor(2, "vec2")))
    return call.broadcast(made, call.first())


@rule("kron")
def kron(call: Call) -> Outcome:
    """Each axis is the product of two."""
    first, second = call.first(), call.axes(call.tensor(1, "other"))
    rank = max(len(first), len(second))
    one, other = ((*(Axis() for _ in range(rank - len(axes))), *axes) for axes in (first, second))
    return tuple(map(lambda a, b: product([a, b]), one, other))


@rule("linear")
def linear(call: Call) -> Outcome:
    """The last axis of the input with the last of the weight."""
    axes, weight = call.first(), call.axes(call.tensor(1, "weight"))
    out = weight[:-1]
    bias = call.arg(2, "bias")
    if isinstance(bias, Tensor):
        out = call.broadcast(out, call.axes(bias))
    return call.contract((*axes[:-1], *out), (axes[-1], weight[-1]))


@rule("bilinear")
def bilinear(call: Call) -> Outcome:
    """Two inputs, a weight of (out, first, second)."""
    first, second = call.axes(call.tensor(0, "input1")), call.axes(call.tensor(1, "input2"))
    weight = call.axes(call.tensor(2, "weight"))
    batch = call.broadcast(first[:-1], second[:-1])
    bias = call.arg(3, "bias")
    out = call.meet(weight[0], call.axes(bias)[0]) if isinstance(bias, Tensor) else weight[0]
    return call.contract((*batch, out), (first[-1], weight[1]), (second[-1], weight[2]))


@rule("tensordot")
def tensordot(call: Call) -> Outcome:
    """Pairs of axes that the call names."""
    first, second = call.axes(call.tensor(0, "a")), call.axes(call.tensor(1, "b"))
    dims: Any = call.arg(2, "dims", default=2)
    if isinstance(dims, Tensor):
        raise NoRule
    if isinstance(dims, int):
        dims = (tuple(range(len(first) - dims, len(first))), tuple(range(dims)))
    mine, theirs = (_listed(each, len(axes)) for each, axes in zip(dims, (first, second), strict=True))
    pairs = [(first[one], second[other]) for one, other in zip(mine, theirs, strict=True)]
    call.mixes(*(axis for pair in pairs for axis in pair))
    pairs = [(one, other) for one, other in pairs if one.size == other.size]
    return call.contract((*without(first, mine), *without(second, theirs)), *pairs)


def _listed(dims: Sequence[int], rank: int) -> tuple[int, ...]:
    return tuple(dim % rank for dim in dims)


@rule("einsum")
def einsum(call: Call) -> Outcome:
    """Each letter is one axis."""
    equation, operands = _einsum_arguments(call)
    inputs, _, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    axes = [_with_ellipsis(term, call.axes(tensor)) for term, tensor in zip(terms, operands, strict=True)]
    found: dict[str, Axis] = {}
    for letters in axes:
        for letter, axis in letters:
            found[letter] = call.meet_if_sizes_agree(found[letter], axis) if letter in found else axis
    if "->" not in equation:
        output = _implied(terms)
    dots = sorted((letter for letter in found if letter.startswith(".")), key=lambda dot: -int(dot[1:]))
    letters = [each for letter in output.replace("...", ".") for each in (dots if letter == "." else [letter])]
    call.mixes(*(axis for letter, axis in found.items() if letter not in letters))
    return tuple(found[letter] for letter in letters)


def _with_ellipsis(term: str, axes: Axes) -> list[tuple[str, Axis]]:
    """Pairs of letters and axes; those of an ellipsis are called .1, .2 and so on, counted from the last."""
    before, dots, after = term.partition("...")
    count = len(axes) - len(before) - len(after)
    letters = [*before, *(f".{count - index}" for index in range(count if dots else 0)), *after]
    return list(zip(letters, axes, strict=True))


def _implied(terms: Sequence[str]) -> str:
    joined = "".join(terms).replace("...", "")
    once = "".join(sorted(letter for letter in joined if joined.count(letter) == 1))
    return ("..." if any("..." in term for term in terms) else "") + once


def _einsum_arguments(call: Call) -> tuple[str, Sequence[Tensor]]:
    first, *rest = call.args
    if isinstance(first, str):
        return first, rest[0] if len(rest) == 1 and isinstance(rest[0], (list, tuple)) else rest
    operands, lists = call.args[: len(call.args) // 2 * 2 : 2], call.args[1::2]
    terms = ["".join("..." if item is ... else string.ascii_letters[item] for item in each) for each in lists]
    output = call.args[-1] if len(call.args) % 2 else None
    equation = ",".join(terms)
    if output is not None:
        equation += "->" + "".join("..." if item is ... else string.ascii_letters[item] for item in output)
    return equation, operands


@rule("_grouped_mm", "grouped_mm")
def grouped_mm(call: Call) -> Outcome:
    """Each group of rows with the matrix of its group."""
    rows, matrices = call.first(), call.axes(call.tensor(1, "mat_b", "mat2"))
    if (len(rows), len(matrices)) != (2, 3):
        raise NoRule
    call.moves(matrices[0], *(axis for tensor in call.tensors[2:] for axis in call.axes(tensor)))
    return call.contract((rows[0], matrices[2]), (rows[1], matrices[1]))


@rule("chain_matmul", "linalg_multi_dot")
def chain(call: Call) -> Outcome:
    """A product of several matrices."""
    made, *others = map(call.axes, call.tensors)
    for other in others:
        made = matrix_product(call, made, other)
    return made


@rule("matrix_power", "linalg_matrix_power", "matrix_exp", "linalg_matrix_exp")
def power(call: Call) -> Outcome:
    """A square matrix with itself."""
    axes = call.first()
    call.mixes(*axes[-2:])
    return axes


@rule("cdist")
def cdist(call: Call) -> Outcome:
    """Each row with each row."""
    first, second = call.axes(call.tensor(0, "x1")), call.axes(call.tensor(1, "x2"))
    batch = call.broadcast(first[:-2], second[:-2])
    return call.contract((*batch, first[-2], second[-2]), (first[-1], second[-1]))
