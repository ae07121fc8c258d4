"""The variables of a function that are sizes of tensors: `B, T, C = x.shape`, `seq = x.size(1)`."""

from __future__ import annotations

import ast
from collections.abc import Iterator


def unpacked(own: list[ast.AST], parameters: set[str]) -> Iterator[tuple[str, tuple[str, int] | None]]:
    """The variables that hold sizes of a tensor; each that is assigned but once."""
    assigned = [name for node in own for name in _stored(node)]
    rebound: set[str] = set()
    for node in own:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                for name, place in _sizes(target, node.value):
                    if assigned.count(name) == 1 and name not in parameters and not name.startswith("_"):
                        yield name, place if place and place[0] in parameters - rebound else None
        rebound.update(_stored(node))


def _stored(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id


def _sizes(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, tuple[str, int] | None]]:
    """The names that an assignment gives to sizes, each with the tensor and its axis: `B, T, C = x.shape`."""
    if isinstance(target, ast.Tuple | ast.List):
        if isinstance(value, ast.Tuple):
            yield from _pairs(target.elts, value.elts)
        elif (tensor := _whole_shape(value)) is not None:
            yield from _of_shape(target.elts, tensor)
        elif isinstance(value, ast.Subscript) and (tensor := _whole_shape(value.value)) is not None:
            yield from _of_slice(target.elts, value.slice, tensor)
    elif isinstance(target, ast.Name) and (place := _one_size(value)) is not None:
        yield target.id, place


def _pairs(targets: list[ast.expr], values: list[ast.expr]) -> Iterator[tuple[str, tuple[str, int] | None]]:
    """`b, n, device = *x.shape, x.device`, and one size for each."""
    if values and isinstance(values[0], ast.Starred) and (tensor := _whole_shape(values[0].value)) is not None:
        yield from _of_shape(targets[: len(targets) - len(values) + 1], tensor)
    elif len(targets) == len(values):
        for target, value in zip(targets, values, strict=True):
            yield from _sizes(target, value)


def _of_shape(targets: list[ast.expr], tensor: str) -> Iterator[tuple[str, tuple[str, int]]]:
    star = next((place for place, each in enumerate(targets) if isinstance(each, ast.Starred)), len(targets))
    for place, each in enumerate(targets):
        if isinstance(each, ast.Name):
            yield each.id, (tensor, place if place < star else place - len(targets))


def _of_slice(targets: list[ast.expr], piece: ast.expr, tensor: str) -> Iterator[tuple[str, tuple[str, int]]]:
    """`h, w = x.shape[-2:]`, `b, t = x.shape[:2]`."""
    if isinstance(piece, ast.Slice) and piece.step is None:
        start = 0 if piece.lower is None else _number(piece.lower)
        if start is not None:
            for place, each in enumerate(targets):
                if isinstance(each, ast.Name):
                    yield each.id, (tensor, start + place)


def _whole_shape(node: ast.expr) -> str | None:
    """The variable of `x.shape` and `x.size()`; empty where it is another tensor's."""
    match node:
        case ast.Attribute(value=tensor, attr="shape"):
            return tensor.id if isinstance(tensor, ast.Name) else ""
        case ast.Call(func=ast.Attribute(value=tensor, attr="size"), args=[], keywords=[]):
            return tensor.id if isinstance(tensor, ast.Name) else ""
        case _:
            return None


def _one_size(node: ast.expr) -> tuple[str, int] | None:
    """The variable and the axis of `x.shape[0]`, `x.size(0)` and `len(x)`."""
    match node:
        case ast.Subscript(value=shape, slice=index) if (tensor := _whole_shape(shape)) is not None:
            axis = _number(index)
        case ast.Call(func=ast.Attribute(value=inner, attr="size"), args=[index]):
            tensor, axis = (inner.id if isinstance(inner, ast.Name) else ""), _number(index)
        case ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=tensor)]):
            axis = 0
        case _:
            return None
    return None if axis is None else (tensor, axis)


def _number(node: ast.expr) -> int | None:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return value if type(value) is int else None
