"""Broadcasts that make a name twice: the operand with more axes loses its last one."""

import ast

from dimtyped.diagnosis import code_of, replaced_in
from dimtyped.flow.calls import Call


def without_outer(expression: ast.expr, call: Call) -> str:
    """The operand with more axes loses its last one."""
    tall = max((0, 1), key=lambda place: call.tensors[place].dim())
    if call.tensors[tall].shape[-1] != 1:
        return ""
    match expression:
        case ast.BinOp(left=left, right=right):
            operands = (left, right)
        case ast.Call(args=[left, right, *_]):
            operands = (left, right)
        case _:
            return ""
    changed = ast.Call(ast.Attribute(operands[tall], "squeeze"), [ast.UnaryOp(ast.USub(), ast.Constant(1))], [])
    return code_of(replaced_in(expression, (operands[tall], changed)))
