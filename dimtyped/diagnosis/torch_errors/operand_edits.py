"""Edits of one operand, as code: axes swapped, put in, taken away, one step less."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterable, Iterator

from dimtyped.diagnosis.code_edits import replaced_in
from dimtyped.diagnosis.torch_errors.failure import Operand

Root = ast.expr | ast.AugAssign | ast.Assign
"""The code of an operation."""
_REDUCTIONS = frozenset(str.split("sum mean norm amax amin std var prod logsumexp all any argmax argmin"))
_MOST_RANK = 5


# Code -----------------------------------------------------------------------------------------------------------------


def method(node: ast.expr, name: str, *args: int) -> ast.expr:
    """The code of a method's call."""
    return ast.Call(ast.Attribute(node, name, ast.Load()), [number(arg) for arg in args], [])


def number(value: int) -> ast.expr:
    """The code of an int."""
    return ast.UnaryOp(ast.USub(), ast.Constant(-value)) if value < 0 else ast.Constant(value)


def swapped(node: ast.expr, rank: int, first: int, second: int) -> ast.expr:
    """The code of a tensor with two axes swapped."""
    return ast.Attribute(node, "T", ast.Load()) if rank == 2 else method(node, "transpose", first, second)


def edited(root: Root, edits: Iterable[tuple[ast.expr, ast.expr]]) -> Root:
    """The code of an operation with other code in place of some of its parts."""
    for old, new in edits:
        root = replaced_in(root, old, new)  # type: ignore[assignment, arg-type]  # a statement is copied alike
    return root


def each(operands: Iterable[Operand], change: Callable[[Operand], Iterator[ast.expr]], root: Root) -> Iterator[Root]:
    """The code with one operand changed."""
    for operand in operands:
        if operand.node is not None:
            for new in change(operand):
                yield edited(root, [(operand.node, new)])


# Operands -------------------------------------------------------------------------------------------------------------


def transposed(operand: Operand) -> Iterator[ast.expr]:
    """The last two axes swapped, or a swap that is there taken away; then any other two."""
    if operand.node is None or operand.rank < 2 or operand.rank > _MOST_RANK:
        return
    inner = _untransposed(operand.node)
    if inner is not None:
        yield inner
        return
    pairs = sorted(itertools.combinations(range(operand.rank), 2), key=lambda pair: pair[0] + pair[1], reverse=True)
    for first, second in pairs:
        yield swapped(operand.node, operand.rank, first, second)


def _untransposed(node: ast.expr) -> ast.expr | None:
    """What a transpose is of, if the code is one."""
    match node:
        case ast.Attribute(value=inner, attr="T" | "mT"):
            return inner
        case ast.Call(func=ast.Attribute(value=inner, attr="t" | "transpose" | "swapaxes")):
            return inner
        case _:
            return None


def with_axis(operand: Operand) -> Iterator[ast.expr]:
    """An axis of size 1 put in; a reduction keeps its own."""
    node = operand.node
    if node is None or operand.rank >= _MOST_RANK:
        return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _REDUCTIONS:
        has_dim = bool(node.args) or any(keyword.arg == "dim" for keyword in node.keywords)
        if has_dim and not any(keyword.arg == "keepdim" for keyword in node.keywords):
            yield ast.Call(node.func, node.args, [*node.keywords, ast.keyword("keepdim", ast.Constant(value=True))])
    for place in range(operand.rank, -1, -1):
        yield method(node, "unsqueeze", -1 if place == operand.rank else place)
    if operand.rank in (1, 2):
        full, none = ast.Slice(), ast.Constant(None)
        for index in (
            ([full, none, none], [none, none, full])
            if operand.rank == 1
            else ([full, none, none, full], [full, full, none, none])
        ):
            yield ast.Subscript(node, ast.Tuple(list(index), ast.Load()), ast.Load())


def without_axis(operand: Operand) -> Iterator[ast.expr]:
    """An axis of size 1 taken away, the last one first."""
    for axis in range(operand.rank - 1, -1, -1):
        if operand.sizes[axis] == 1 and operand.node is not None:
            yield method(operand.node, "squeeze", -1 if axis == operand.rank - 1 else axis)


def shortened(operand: Operand) -> Iterator[ast.expr]:
    """One step less along an axis: predictions lose the last, targets the first."""
    if operand.node is None:
        return
    cuts = [ast.Slice(None, ast.UnaryOp(ast.USub(), ast.Constant(1))), ast.Slice(ast.Constant(1), None)]
    if not operand.dtype.is_floating_point:
        cuts.reverse()
    for axis in range(min(operand.rank, 3)):
        for cut in cuts:
            index: list[ast.expr] = [*(ast.Slice() for _ in range(axis)), cut]
            part = index[0] if axis == 0 else ast.Tuple(index, ast.Load())
            yield ast.Subscript(operand.node, part, ast.Load())


def classes_first(operand: Operand) -> Iterator[ast.expr]:
    """The last axis moved to place 1."""
    if operand.node is None or operand.rank < 3:
        return
    if operand.rank == 3:
        yield method(operand.node, "transpose", 1, 2)
    else:
        yield method(operand.node, "permute", 0, operand.rank - 1, *range(1, operand.rank - 1))


def with_axis_in_front(operand: Operand) -> Iterator[ast.expr]:
    """An axis of size 1 for the channels, or for the batch."""
    for place in (1, 0):
        if operand.node is not None:
            yield method(operand.node, "unsqueeze", place)
