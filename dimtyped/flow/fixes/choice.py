"""Which suggestion a mistake has."""

import ast
from types import FrameType

from torch import Tensor

from dimtyped.diagnosis import code_of, parsed
from dimtyped.flow.axes import Axis
from dimtyped.flow.calls import Problem
from dimtyped.flow.fixes.broadcasts import without_outer
from dimtyped.flow.fixes.dims import with_another_dim
from dimtyped.flow.fixes.layers import batch_first
from dimtyped.flow.fixes.operands import with_operand_changed
from dimtyped.flow.fixes.reshapes import without_scramble
from dimtyped.flow.fixes.trials import Trials

_RESHAPES = ("view", "reshape", "flatten", "unflatten")


def fix_of(problem: Problem, trials: Trials, source: str, frame: FrameType | None = None) -> str:
    """The expression made right, where that is known; empty where it is not.

    Args:
        problem: The mistake.
        trials: Makes its call again.
        source: The expression.
        frame: Where the operator was called.
    """
    expression, call = parsed(source), trials.call
    if expression is None:
        return ""
    match problem.kind:
        case "scramble" if call.name in _RESHAPES and isinstance(call.result, Tensor):
            return without_scramble(expression, call)
        case "outer" if len(call.tensors) == 2:
            return without_outer(expression, call)
        case "mixing":
            return with_another_dim(source, expression, trials) or batch_first(expression, call, frame)
        case "degenerate":
            return with_another_dim(source, expression, trials) or _without_padding(expression)
        case "coincidence" | "refused":
            return with_another_dim(source, expression, trials) or with_operand_changed(source, expression, trials)
        case _:
            return ""


def met_in(trials: Trials) -> list[tuple[Axis, Axis]]:
    """The axes of two sizes that meet in a call that failed."""
    return trials.without_result().unequal


def _without_padding(expression: ast.expr) -> str:
    """`F.embedding(tokens, table)` for one with `padding_idx=-1`."""
    if not isinstance(expression, ast.Call) or all(keyword.arg != "padding_idx" for keyword in expression.keywords):
        return ""
    kept = [keyword for keyword in expression.keywords if keyword.arg != "padding_idx"]
    return code_of(ast.Call(expression.func, expression.args, kept))
