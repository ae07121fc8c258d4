"""The axis along which an operator works, written another way."""

import ast
from typing import Any

from dimtyped.diagnosis import parsed
from dimtyped.flow.calls import Call
from dimtyped.flow.fixes.code import spliced, with_argument
from dimtyped.flow.fixes.operands import is_method
from dimtyped.flow.fixes.trials import JOINS, Trials

_PLACES = {
    "softmax": 1,
    "log_softmax": 1,
    "softmin": 1,
    "cumsum": 1,
    "cumprod": 1,
    "cummax": 1,
    "cummin": 1,
    "logcumsumexp": 1,
    "sort": 1,
    "argsort": 1,
    "cat": 1,
    "concat": 1,
    "concatenate": 1,
    "normalize": 2,
    "gumbel_softmax": 4,
}
"""The place of `dim` among the arguments of an operator."""


def with_another_dim(source: str, expression: ast.expr, trials: Trials) -> str:
    """The expression with another `dim`; empty unless exactly one fits."""
    call = trials.call
    place = _PLACES.get(call.name)
    if (
        place is None
        or not isinstance(expression, ast.Call)
        or any(isinstance(a, ast.Starred) for a in expression.args)
    ):
        return ""
    rank = len(call.axes(call.tensors[0]))
    fitting = [dim for dim in range(rank) if _fits(trials, place, dim)]
    if len(fitting) != 1:
        return ""
    return _written(source, expression, call, place, fitting[0] - rank if fitting[0] == rank - 1 else fitting[0])


def _fits(trials: Trials, place: int, dim: int) -> bool:
    args, kwargs = list(trials.call.args), dict(trials.call.kwargs)
    if place < len(args):
        args[place] = dim
    else:
        kwargs["axis" if "axis" in kwargs else "dim"] = dim
    again = trials.run(args, kwargs)
    if again is None or not again.keeps_apart or again.unequal:
        return False
    if trials.call.name in JOINS:
        return again.is_right
    axis = trials.call.axes(trials.call.tensors[0])[dim]
    return axis.size > 1


def _written(source: str, expression: ast.Call, call: Call, place: int, dim: int) -> str:
    at = place - is_method(expression, call)
    keyword: Any = next((each for each in expression.keywords if each.arg in ("dim", "axis")), None)
    if keyword is not None:
        return spliced(source, keyword.value, str(dim))
    if at < len(expression.args):
        return spliced(source, expression.args[at], str(dim))
    return with_argument(source, expression, f"dim={dim}")


def squeezed_at(source: str, dims: tuple[int, ...]) -> str:
    """`x.squeeze(-1)` for `x.squeeze()`, where just one axis is always 1."""
    expression = parsed(source)
    if not isinstance(expression, ast.Call) or len(dims) != 1 or expression.keywords:
        return ""
    is_function = isinstance(expression.func, ast.Attribute) and ast.unparse(expression.func) == "torch.squeeze"
    if len(expression.args) != is_function:
        return ""
    return with_argument(source, expression, str(dims[0]))
