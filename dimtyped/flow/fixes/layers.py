"""Layers that are made or used in another order of axes."""

import ast
from types import FrameType
from typing import Any

from torch import nn

from dimtyped.diagnosis import parsed
from dimtyped.flow.calls import Call
from dimtyped.flow.fixes.code import function_at
from dimtyped.runtime import Place

_RECURRENT = ("gru", "lstm", "rnn_tanh", "rnn_relu")
_ATTENTION = "multi_head_attention_forward"
_DEPTH = 12


def batch_first(expression: ast.expr, call: Call, frame: FrameType | None) -> str:
    """`batch_first` where a layer is made that carries values along the batch; empty if another order does not help."""
    if call.name not in (*_RECURRENT, _ATTENTION) or not isinstance(expression, ast.Call):
        return ""
    layer, axes = _layer_around(frame), call.axes(call.args[0])
    if layer is None or len(axes) != 3 or not isinstance(expression.func, ast.Name | ast.Attribute):
        return ""
    is_first = bool(layer.batch_first)
    time, other = (1, 0) if is_first and call.name in _RECURRENT else (0, 1)
    if not _is_independent(call, axes, time) or _is_independent(call, axes, other):
        return ""
    return f"batch_first={not is_first} where `{ast.unparse(expression.func)}` is made"


def _is_independent(call: Call, axes: Any, place: int) -> bool:
    return any(not call.independent.isdisjoint(dimension.names) for dimension in axes[place].dimensions)


def _layer_around(frame: FrameType | None) -> Any:
    """The recurrent or attention layer in whose forward an operator was called."""
    for _ in range(_DEPTH):
        if frame is None:
            return None
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.RNNBase | nn.MultiheadAttention):
            return owner
        frame = frame.f_back
    return None


def recurrent_fix(place: Place) -> str:
    """The final states of both directions in place of `output[:, -1]`, if the code keeps them under a name."""
    expression, function = parsed(place.source), function_at(place.file, place.line)
    if function is None or not isinstance(expression, ast.Subscript) or not isinstance(expression.value, ast.Name):
        return ""
    output = expression.value.id
    states = [
        state
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.lineno <= place.line
        for state in [_state_beside(node.targets[0], output)]
        if state is not None
    ]
    if len(states) != 1 or states[0] == "_":
        return ""
    return f"torch.cat([{states[0]}[-2], {states[0]}[-1]], dim=-1)"


def _state_beside(target: ast.expr, output: str) -> str | None:
    """The name of the first state where the output of a layer gets its name: `output, (state, _) = self.lstm(x)`."""
    match target:
        case ast.Tuple(elts=[ast.Name(id=first), ast.Name(id=state)]) if first == output:
            return state
        case ast.Tuple(elts=[ast.Name(id=first), ast.Tuple(elts=[ast.Name(id=state), *_])]) if first == output:
            return state
        case _:
            return None
