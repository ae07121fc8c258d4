"""Edits of an expression in the user's code: another operand, axes in another order."""

from __future__ import annotations

import ast
import copy
import itertools
from collections.abc import Iterator, Sequence


def parsed(source: str) -> ast.expr | None:
    """The expression in a line of code, with or without `return`; None if there is none."""
    try:
        return ast.parse(source.strip().removeprefix("return "), mode="eval").body
    except SyntaxError:
        return None


def code_of(expression: ast.expr) -> str:
    """The source code of an expression."""
    return ast.unparse(ast.fix_missing_locations(expression))


def replaced_in(expression: ast.expr, old: ast.expr, new: ast.expr) -> ast.expr:
    """A copy of an expression with another one in place of the part `old`."""
    return copy.copy(new) if expression is old else _Replaced(old, new).generic_copy(expression)


class _Replaced:
    """Copies an expression, with one part replaced."""

    def __init__(self, old: ast.AST, new: ast.AST):
        self._old = old
        self._new = new

    def generic_copy(self, node: ast.expr) -> ast.expr:
        """A copy of the node; its parts are copied too."""
        made = copy.copy(node)
        for name, value in ast.iter_fields(node):
            if isinstance(value, ast.AST):
                setattr(made, name, self._copied(value))
            elif isinstance(value, list):
                setattr(made, name, [self._copied(item) for item in value])  # pyright: ignore[reportUnknownVariableType]  # ast is untyped here
        return made

    def _copied(self, value: object) -> object:
        if value is self._old:
            return self._new
        return self.generic_copy(value) if isinstance(value, ast.AST) else value  # type: ignore[arg-type]  # any node copies alike


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
