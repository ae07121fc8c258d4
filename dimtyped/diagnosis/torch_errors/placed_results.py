"""The placement of a computed operand: of a view, that of the DTensor; of any other result, known to torch alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import torch
from torch import Tensor

from dimtyped.diagnosis.placements import Placement, placement_of
from dimtyped.diagnosis.torch_errors.evaluation import Evaluator
from dimtyped.diagnosis.torch_errors.stand_ins import Unknown

_KEEPING = frozenset(str.split("transpose swapaxes permute t unsqueeze contiguous float half bfloat16 double detach"))
"""Methods that only change the order of axes: each stays split as it is."""
_TURNS = frozenset(("T", "mT"))
_OF_SHAPE = frozenset(str.split("shape ndim dtype device size dim numel stride"))
"""What a tensor gives that is no tensor: it makes no DTensor of a result."""


def placement_of_result(node: ast.expr | None, tensor: Tensor, evaluator: Evaluator) -> Placement | None:
    """How a computed tensor lies on its devices; None for one that is made of no DTensor.

    Args:
        node: Its code.
        tensor: What stands for it.
        evaluator: Evaluates the code around it.
    """
    if node is None:
        return None
    found = next((each for each in map(placement_of, _tensors_in(node, evaluator)) if each is not None), None)
    if found is None:
        return None
    try:
        view = _view(node, evaluator)
    except (Unknown, RuntimeError, IndexError, TypeError, ValueError):  # torch's, of an argument that does not fit
        return found.unknown()
    if view is None or view[1].dim() != tensor.dim():
        return found.unknown()
    placement = placement_of(view[0])
    order = [size - 2 if size > 1 else None for size in view[1].shape]
    return placement.moved(order) if placement is not None else None


def _tensors_in(node: ast.AST, evaluator: Evaluator) -> Iterator[Tensor]:
    """The user's tensors that a piece of code computes with."""
    if isinstance(node, ast.Attribute) and node.attr in _OF_SHAPE:
        return
    if isinstance(node, ast.Name | ast.Attribute):
        original = _original(node, evaluator)
        if original is not None:
            yield original
            return
    for inner in ast.iter_child_nodes(node):
        yield from _tensors_in(inner, evaluator)


def _view(node: ast.expr, evaluator: Evaluator) -> tuple[Tensor, Tensor] | None:
    """The user's tensor that is viewed, and a tensor in which each size is the number of its axis there, plus 2."""
    match node:
        case ast.Call(func=ast.Attribute(value=inner, attr=name), keywords=[]) if name in _KEEPING:
            view = _view(inner, evaluator)
            args = [part.value for part in evaluator.arguments(node)]
            return None if view is None else (view[0], getattr(view[1], name)(*args))
        case ast.Attribute(value=inner, attr=name) if name in _TURNS:
            view = _view(inner, evaluator)
            order = range(view[1].dim()) if view is not None else ()
            if view is None or not order:
                return view
            turned = (*reversed(order),) if name == "T" else (*order[:-2], *reversed(order[-2:]))
            return view[0], view[1].permute(turned)
        case ast.Name() | ast.Attribute():
            original = _original(node, evaluator)
            if original is None:
                return None
            return original, torch.empty(tuple(range(2, 2 + original.dim())), device="meta")
        case _:
            return None


def _original(node: ast.expr, evaluator: Evaluator) -> Tensor | None:
    """The user's tensor that a name or an attribute is."""
    try:
        value = evaluator.value(node)
    except Unknown:
        return None
    return evaluator.world.originals.get(id(value)) if isinstance(value, Tensor) else None
