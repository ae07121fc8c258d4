"""Edits of one operand, as code: axes swapped, added, removed, or shortened by one step."""

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
    return replaced_in(root, *edits)  # type: ignore[return-value, arg-type]  # a statement is copied alike


def each(operands: Iterable[Operand], change: Callable[[Operand], Iterator[ast.expr]], root: Root) -> Iterator[Root]:
    """The code with one operand changed."""
    for operand in operands:
        if operand.node is not None:
            for new in change(operand):
                yield edited(root, [(operand.node, new)])


# Operands -------------------------------------------------------------------------------------------------------------


def transposed(operand: Operand) -> Iterator[ast.expr]:
    """Swaps the last two axes, or removes a swap that the code has; then swaps any other two."""
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
    """The code that is transposed, if this is a transpose of it."""
    match node:
        case ast.Attribute(value=inner, attr="T" | "mT"):
            return inner
        case ast.Call(func=ast.Attribute(value=inner, attr="t" | "transpose" | "swapaxes")):
            return inner
        case _:
            return None


def with_axis(operand: Operand, most: int) -> Iterator[ast.expr]:
    """Adds axes of size 1, at most until there are `most` axes. A reduction keeps its axis instead."""
    node = operand.node
    if node is None or operand.rank >= min(most, _MOST_RANK):
        return
    yield from _with_keepdim(node)
    for place in _places_of_axis(operand.rank):
        yield method(node, "unsqueeze", -1 if place == operand.rank else place)
    for index in _INDICES.get((operand.rank, most), ()):
        parts: list[ast.expr] = [ast.Slice() if part == ":" else ast.Constant(None) for part in index.split()]
        yield ast.Subscript(node, ast.Tuple(parts, ast.Load()), ast.Load())


_INDICES = {
    (1, 3): (": None None", "None : None", "None None :"),
    (2, 4): (": None None :", ": None : None", ": : None None", "None : : None"),
    (1, 4): ("None None None :", ": None None None"),
}
"""Indices that add several axes, by the rank before and after."""


def _places_of_axis(rank: int) -> list[int]:
    """The places for a new axis, the likeliest first: after a single axis, before the last of several."""
    return [1, 0] if rank == 1 else [max(rank - 1, 0), rank, *range(rank - 2, -1, -1)]


def _with_keepdim(node: ast.expr | None) -> Iterator[ast.expr]:
    node = _reduction(node)
    if node is None:
        return
    has_dim = bool(node.args) or any(keyword.arg == "dim" for keyword in node.keywords)
    if has_dim and not any(keyword.arg == "keepdim" for keyword in node.keywords):
        yield ast.Call(node.func, node.args, [*node.keywords, ast.keyword("keepdim", ast.Constant(value=True))])


def along_other_axis(operand: Operand) -> Iterator[ast.expr]:
    """A reduction over another axis: `logits.argmax(-1)`."""
    node = _reduction(operand.node)
    if node is None:
        return
    for dim in (-1, *range(operand.rank + 1)):
        if node.args:
            yield ast.Call(node.func, [number(dim), *node.args[1:]], node.keywords)
        elif any(keyword.arg == "dim" for keyword in node.keywords):
            keywords = [ast.keyword("dim", number(dim)) if k.arg == "dim" else k for k in node.keywords]
            yield ast.Call(node.func, [], keywords)


def _reduction(node: ast.expr | None) -> ast.Call | None:
    """The code, if it is the call of a reduction's method."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _REDUCTIONS:
        return node
    return None


def expanded_like(operand: Operand, other: Operand) -> Iterator[ast.expr]:
    """A new axis, expanded to another operand's size: `h.unsqueeze(1).expand(-1, x.shape[1], -1)`."""
    if operand.node is None or other.node is None or other.rank != operand.rank + 1:
        return
    for place in _places_of_axis(operand.rank):
        size = ast.Subscript(ast.Attribute(other.node, "shape", ast.Load()), number(place), ast.Load())
        sizes: list[ast.expr] = [size if axis == place else number(-1) for axis in range(other.rank)]
        wide = method(operand.node, "unsqueeze", place)
        yield ast.Call(ast.Attribute(wide, "expand", ast.Load()), sizes, [])


def without_axis(operand: Operand) -> Iterator[ast.expr]:
    """An axis of size 1 removed, the last one first."""
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
    """The last axis moved to axis 1."""
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
