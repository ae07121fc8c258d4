"""Edits of an expression in the user's code: another operand, axes in another order."""

from __future__ import annotations

import ast
import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

_WRITTEN = "_dim_written"


def parsed(source: str) -> ast.expr | None:
    """The expression in a line of code, with or without `return`; None if there is none."""
    try:
        return ast.parse(source.strip().removeprefix("return "), mode="eval").body
    except SyntaxError:
        return None


def code_of(expression: ast.expr) -> str:
    """The source code of an expression; its literals as the user wrote them, where that is known."""
    written = _as_written(expression)
    return ast.unparse(ast.fix_missing_locations(written))


def keep_literals(expression: ast.AST, text_of: Callable[[ast.Constant], str]) -> None:
    """Remembers how each number and string of an expression is written: `-1e9`, not `-1000000000.0`."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float | complex | str):
            text = text_of(node)
            if _is_literal(text, node.value):
                setattr(node, _WRITTEN, text)


def _is_literal(text: str, value: object) -> bool:
    """True if this text alone means the value; a part of an f-string does not."""
    try:
        return bool(ast.literal_eval(text) == value)
    except (ValueError, SyntaxError):
        return False


def _as_written(node: ast.expr) -> ast.expr:
    """A copy in which a literal is the name that its text would be: that is how `ast.unparse` keeps a text."""
    text = getattr(node, _WRITTEN, None)
    return ast.Name(text, ast.Load()) if text else _with_parts(node, _as_written)


def replaced_in(expression: ast.expr, *edits: tuple[ast.expr, ast.expr]) -> ast.expr:
    """A copy of an expression with another one in place of some of its parts; each edit is the old one and the new one."""
    made = next((new for old, new in edits if old is expression), None)
    return made if made is not None else _with_parts(expression, lambda part: replaced_in(part, *edits))


def _with_parts(node: ast.expr, change: Callable[[ast.expr], ast.expr]) -> ast.expr:
    """A copy of a node, with each of its parts changed."""
    made = copy.copy(node)
    for name, value in ast.iter_fields(node):
        if isinstance(value, ast.AST):
            setattr(made, name, change(cast("ast.expr", value)))  # any node is copied alike
        elif isinstance(value, list):
            parts = cast("list[Any]", value)
            setattr(
                made, name, [change(cast("ast.expr", part)) if isinstance(part, ast.AST) else part for part in parts]
            )
    return made


def orders(rank: int) -> Iterator[tuple[int, ...]]:
    """Every order of axes but the present one; those that swap two axes come first."""
    plain = tuple(range(rank))
    found = [order for order in itertools.permutations(plain) if order != plain]
    return iter(sorted(found, key=lambda order: sum(i != j for i, j in zip(order, plain, strict=True)) > 2))


def order_text(order: Sequence[int]) -> str:
    """The call that puts axes into an order: `.transpose(0, 1)`."""
    moved = [place for place, index in enumerate(order) if place != index]
    if len(moved) == 2:
        return f".transpose({moved[0]}, {moved[1]})"
    return f".permute({', '.join(map(str, order))})"
