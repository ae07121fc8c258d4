"""The operands of a call in the user's expression, and the call with one of them changed."""

import ast
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import Parameter

from dimtyped.diagnosis import order_text, parsed
from dimtyped.flow.axes import INSERTED, Axes, permute
from dimtyped.flow.calls import Call
from dimtyped.flow.fixes.code import segment, spliced
from dimtyped.flow.fixes.trials import Operand, Trials

_LAYERS = ("linear", "conv1d", "conv2d", "conv3d", "batch_norm", "layer_norm", "rms_norm", "group_norm")
"""Operators of layers that hand on their input as it is: `self.conv(x)` is `conv1d(x, ...)`."""
_KEEP_THE_FIRST = ("masked_fill", "masked_scatter")
"""Operators whose result is their first operand, so that the other one is to be changed."""


@dataclass(frozen=True)
class Written:
    """An operand as it is written.

    Args:
        code: The expression.
        key: The position or the keyword of the argument in the call.
        tensor: The operand.
    """

    code: ast.expr
    key: int | str
    tensor: Tensor


def is_method(expression: ast.Call, call: Call) -> bool:
    """True for `x.softmax(0)`, whose first argument is `x`."""
    return isinstance(expression.func, ast.Attribute) and len(expression.args) == len(call.args) - 1


def written_operands(expression: ast.expr, call: Call) -> list[Written]:
    """The tensors of a call that its expression shows."""
    if isinstance(expression, ast.BinOp):
        pairs = [(0, expression.left), (1, expression.right)]
    elif isinstance(expression, ast.Call) and not any(isinstance(arg, ast.Starred) for arg in expression.args):
        if not _calls_it(expression, call):
            return []
        positional = list(expression.args)
        if is_method(expression, call) and isinstance(expression.func, ast.Attribute):
            positional.insert(0, expression.func.value)
        pairs = list(enumerate(positional))
        pairs += [(keyword.arg, keyword.value) for keyword in expression.keywords if keyword.arg]
    else:
        return []
    found = [(key, code, _given(call, key)) for key, code in pairs]
    return [Written(code, key, value) for key, code, value in found if isinstance(value, Tensor)]


def codes_of(tensors: Sequence[Tensor], call: Call, source: str) -> tuple[str, ...]:
    """The code of each operand; `parameter` or nothing for those that the expression does not show."""
    expression = parsed(source)
    written = written_operands(expression, call) if expression is not None else []
    codes = {id(operand.tensor): ast.unparse(operand.code) for operand in (*written, *_listed(expression, call))}
    return tuple(codes.get(id(each), "parameter" if isinstance(each, Parameter) else "") for each in tensors)


def _listed(expression: ast.expr | None, call: Call) -> list[Written]:
    """The tensors of `cat([a, b])`."""
    match expression:
        case ast.Call(args=[ast.List(elts=codes) | ast.Tuple(elts=codes), *_]):
            given: Any = call.args[0] if call.args else None
        case _:
            return []
    if not isinstance(given, list | tuple) or len(codes) != len(list[Any](given)):
        return []
    return [
        Written(code, 0, each) for code, each in zip(codes, list[Any](given), strict=True) if isinstance(each, Tensor)
    ]


def _calls_it(expression: ast.Call, call: Call) -> bool:
    """True if the expression calls the operator by its name, or a layer that only hands on its input."""
    name = expression.func.attr if isinstance(expression.func, ast.Attribute) else getattr(expression.func, "id", "")
    return name.removesuffix("_") == call.name or call.name in _LAYERS


def _given(call: Call, key: int | str) -> Any:
    if isinstance(key, int):
        return call.args[key] if key < len(call.args) else None
    return call.kwargs.get(key)


def with_operand_changed(source: str, expression: ast.expr, trials: Trials) -> str:
    """The expression with two axes of one operand swapped, or with a new axis of 1; empty unless exactly one change fits."""
    call, fitting = trials.call, list[str]()
    for operand in written_operands(expression, call):
        if call.name in _KEEP_THE_FIRST and operand.key == 0:
            continue
        for text, axes in _changes(call.axes(operand.tensor)):
            if _fits(trials, operand, axes):
                fitting.append(spliced(source, operand.code, segment(source, operand.code) + text))
    return fitting[0] if len(fitting) == 1 else ""


def _fits(trials: Trials, operand: Written, axes: Axes) -> bool:
    args, kwargs, made = list(trials.call.args), dict(trials.call.kwargs), Operand.of(operand.tensor, axes)
    if isinstance(operand.key, int):
        args[operand.key] = made
    else:
        kwargs[operand.key] = made
    again = trials.run(args, kwargs)
    return again is not None and again.is_right


def _changes(axes: Axes) -> Iterator[tuple[str, Axes]]:
    """Each call that swaps two axes or adds one, and what it gives; no two that give the same."""
    seen = [tuple(axis.factors for axis in axes)]
    for text, made in _all_changes(axes):
        key = tuple(axis.factors for axis in made)
        if key not in seen:
            seen.append(key)
            yield text, made


def _all_changes(axes: Axes) -> Iterator[tuple[str, Axes]]:
    rank = len(axes)
    for one, other in itertools.combinations(range(rank if rank <= 5 else 0), 2):
        order = [other if place == one else one if place == other else place for place in range(rank)]
        yield ".T" if rank == 2 else order_text(order), permute(axes, order)
    yield ".unsqueeze(-1)", (*axes, INSERTED)
    for place in range(rank):
        yield f".unsqueeze({place})", (*axes[:place], INSERTED, *axes[place:])
