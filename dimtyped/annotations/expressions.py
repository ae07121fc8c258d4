"""Axes that are expressions, and names of several axes: their value in one call."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Collection, Mapping
from typing import Any

import torch

from dimtyped.errors import DeclarationError, with_fields
from dimtyped.names import names_in

_PLACEHOLDER = re.compile(r"\{.*?\}")


def broadcast_variadic(before: tuple[bool, Any] | None, broadcast: bool, shape: Any) -> tuple[bool, Any] | None:
    """The sizes of several axes broadcast with those that their `*name` holds, by jaxtyping's rules; None where they do not fit."""
    if before is None:
        return (broadcast, shape)
    was_broadcast, old = before
    if not was_broadcast and not broadcast:
        return before if shape == old else None
    both = _broadcast(shape, old)
    if both is None:
        return None
    if was_broadcast:
        return (broadcast, both) if broadcast or both == tuple(shape) else None
    return before if both == tuple(old) else None


def _broadcast(left: Any, right: Any) -> tuple[Any, ...] | None:
    longest = max(len(left), len(right))
    wide_left = (*[1] * (longest - len(left)), *left)
    wide_right = (*[1] * (longest - len(right)), *right)
    if any(a != b and a != 1 and b != 1 for a, b in zip(wide_left, wide_right, strict=True)):
        return None
    return tuple([b if a == 1 else a for a, b in zip(wide_left, wide_right, strict=True)])


def evaluate(expression: str, values: tuple[Any, ...], sizes: Mapping[str, Any]) -> Any:
    """The value of an axis whose `{...}` hold more than ints, by jaxtyping's rule: inserted as text, then evaluated."""
    texts = iter(values)
    parts = expression.split("{")
    text = parts[0] + "".join(f"{_plain(next(texts))}{part.partition('}')[2]}" for part in parts[1:])
    known = {name: size for name, size in sizes.items() if size is not None}
    size = eval(text, known)  # the annotation's own text, as jaxtyping evaluates it
    if isinstance(size, tuple | list):
        raise _several_sizes(expression, tuple(size))  # pyright: ignore[reportUnknownArgumentType]  # a user's own
    return size


def _several_sizes(axis: str, sizes: tuple[Any, ...]) -> DeclarationError:
    """The error for an axis that has several sizes, and so fits none."""
    path = axis.strip("{}")
    each = " ".join(f"{{{path}[{index}]}}" for index in range(len(sizes)))
    hint = f"write one axis for each, `{each}`, or bind several to a name, `*shape`"
    return with_fields(
        DeclarationError(f"the axis `{axis}` is {sizes}, and an axis has one size\n  {hint[0].upper()}{hint[1:]}."),
        expected="one size",
        actual=sizes,
        hint=hint,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Size):
        return tuple(value)
    return int(value) if isinstance(value, torch.SymInt) else value


# Solving --------------------------------------------------------------------------------------------------------------


def unknown_names(expression: str, known: Collection[str]) -> list[str]:
    """The names in an expression that have no size yet."""
    return [name for name in names_in(expression) if name not in known and not hasattr(builtins, name)]


def turn(expression: str, known: Collection[str]) -> int:
    """The place of an expression in the order of checking one tensor: first if known, then if solvable, else last."""
    unknown = unknown_names(expression, known)
    if not unknown:
        return 0
    return 1 if len(unknown) == 1 and linear(_PLACEHOLDER.sub("0", expression), unknown[0]) is not None else 2


def linear(expression: str, name: str) -> tuple[str, str] | None:
    """The factor and the rest of an expression that is linear in a name: `2*batch-1` is `2` and `-1`.

    Args:
        expression: A sum, difference or product over sizes, without `{...}`.
        name: The name to solve for.

    Returns:
        Two expressions over the other names; None if it is not linear in the name.

    Example:
        >>> linear("rows*(cols+1)", "cols")
        ('rows', 'rows')
    """
    try:
        return _linear(ast.parse(expression.strip(), mode="eval").body, name)
    except SyntaxError:
        return None


def _linear(node: ast.expr, name: str) -> tuple[str, str] | None:
    if not any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(node)):
        return "0", ast.unparse(node)
    match node:
        case ast.Name():
            return "1", "0"
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            found = _linear(operand, name)
            return found and (_times("-1", found[0]), _times("-1", found[1]))
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() as op, right=right):
            return _combined(op, _linear(left, name), _linear(right, name))
        case _:
            return None


def _combined(op: ast.operator, left: tuple[str, str] | None, right: tuple[str, str] | None) -> tuple[str, str] | None:
    if left is None or right is None:
        return None
    if isinstance(op, ast.Mult):
        if "0" not in (left[0], right[0]):
            return None
        (factor, rest), other = (left, right[1]) if right[0] == "0" else (right, left[1])
        return _times(other, factor), _times(other, rest)
    sign = "1" if isinstance(op, ast.Add) else "-1"
    return _plus(left[0], _times(sign, right[0])), _plus(left[1], _times(sign, right[1]))


def _times(left: str, right: str) -> str:
    if "0" in (left, right):
        return "0"
    if left == "1" or right == "1":
        return right if left == "1" else left
    return _folded(f"({left})*({right})")


def _plus(left: str, right: str) -> str:
    if "0" in (left, right):
        return right if left == "0" else left
    return _folded(f"({left})+({right})")


def _folded(expression: str) -> str:
    """The source of an expression; a number if only numbers are in it."""
    names = any(isinstance(node, ast.Name) for node in ast.walk(ast.parse(expression, mode="eval")))
    return expression if names else str(eval(expression, {"__builtins__": {}}))  # our own sum or product of numbers


def solve(expression: str, name: str, size: Any, known: Mapping[str, Any]) -> Any:
    """The size of a name for which an expression has a given size; None if there is none.

    Args:
        expression: A sum, difference or product over sizes, without `{...}`.
        name: The one name in it that has no size.
        size: The size of the expression.
        known: The sizes of the other names.

    Raises:
        NameError: the expression is not linear in the name.

    Example:
        >>> solve("2*batch", "batch", 6, {}), solve("2*batch", "batch", 5, {}), solve("size-1", "size", 3, {})
        (3, None, 4)
    """
    found = linear(expression, name)
    if found is None:
        raise NameError(name)
    factor, rest = (eval(part, dict(known)) for part in found)  # parts of the annotation's own text
    if factor == 0 or (size - rest) % factor != 0 or (size - rest) // factor < 0:
        return None
    return (size - rest) // factor
