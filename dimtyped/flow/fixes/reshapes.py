"""Reshapes that cut across axes: the axes in another order before, or the sizes in another order and the axes behind."""

import ast
import itertools
from collections.abc import Sequence

from dimtyped.diagnosis import order_text, orders
from dimtyped.flow.axes import Axes, Axis, reshape
from dimtyped.flow.calls import Call

_MOST_AXES = 5


def reordered(actual: Sequence[Axis], wanted: Sequence[Axis]) -> str:
    """The call that brings axes into another order: `.transpose(0, 1)`; empty where they are not the same ones."""
    for order in orders(len(actual)):
        if all(actual[place].factors == axis.factors for place, axis in zip(order, wanted, strict=True)):
            return order_text(order)
    return ""


def without_scramble(expression: ast.expr, call: Call) -> str:
    """Axes are brought into another order before the reshape, or the sizes before, and the axes after it."""
    if not isinstance(expression, ast.Call) or not isinstance(expression.func, ast.Attribute):
        return ""
    axes, sizes, value = call.axes(call.tensors[0]), call.shape, ast.unparse(expression.func.value)
    order = _order_before(axes, sizes)
    if order is not None:
        moved = value + order_text(order)
        if tuple(axes[place].size for place in order) == sizes:
            return moved
        name = "reshape" if expression.func.attr == "view" else expression.func.attr
        return f"{moved}.{name}({', '.join(ast.unparse(arg) for arg in expression.args)})"
    swap = _swap_after(axes, sizes)
    if swap is None or len(expression.args) != len(sizes):
        return ""
    first, second = swap
    arguments = [ast.unparse(arg) for arg in expression.args]
    arguments[first], arguments[second] = arguments[second], arguments[first]
    return f"{value}.{expression.func.attr}({', '.join(arguments)}).transpose({first}, {second})"


def _order_before(axes: Axes, sizes: Sequence[int]) -> tuple[int, ...] | None:
    if len(axes) > _MOST_AXES:
        return None
    return next((order for order in orders(len(axes)) if _is_clean([axes[i] for i in order], sizes)), None)


def _swap_after(axes: Axes, sizes: Sequence[int]) -> tuple[int, int] | None:
    for first, second in itertools.combinations(range(len(sizes)), 2):
        swapped = list(sizes)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        if swapped != list(sizes) and _is_clean(axes, swapped):
            return first, second
    return None


def _is_clean(axes: Sequence[Axis], sizes: Sequence[int]) -> bool:
    """True if a reshape keeps each dimension whole, or splits one whole axis, or merges whole ones."""
    made, cuts = reshape(axes, sizes)
    if cuts:
        return False
    before = [axis.factors for axis in axes]
    for axis in made:
        pieces = [factor for factor in axis.factors if factor.is_named and not factor.is_whole]
        split = any(factor not in factors for factor in pieces for factors in [sum(before, ())])
        if split and len(axis.factors) > 1:
            return False
    return True
