"""The variables of the functions that ran, each where its name stands in the text."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dimtyped.annotations import FunctionNode
from dimtyped.cli.lsp.data import Function, Variable, lines_of
from dimtyped.flow.shapes import Margin


@dataclass(frozen=True)
class _Target:
    """The place where a name gets its value."""

    line: int
    column: int
    end: int
    is_annotated: bool


def functions_of(text: str, margins: Iterable[Margin]) -> list[Function]:
    """The functions of a file, with the shapes of their variables.

    Args:
        text: The text of the file.
        margins: The functions that ran.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError:  # it was saved anew meanwhile
        return []
    targets = dict(_targets(tree, lines_of(text)))
    return [_function(margin, targets) for margin in margins]


def _function(margin: Margin, targets: dict[tuple[int, str], _Target]) -> Function:
    function = margin.function
    found = list[Variable]()
    for (line, name), shape in margin.variables.items():
        target = targets.get((line, name))
        is_own = line == function.first or line in function.lines  # a function inside has its own
        if target is not None and is_own and name != "_":
            found.append(Variable(name, target.line, target.column, target.end, shape, target.is_annotated))
    found.sort(key=lambda each: (each.line, each.column))
    return Function(function.name, function.first - 1, function.last - 1, tuple(found))


def _targets(tree: ast.AST, lines: list[str]) -> Iterator[tuple[tuple[int, str], _Target]]:
    """The place of each name in each line of statements, the last of several, and of each parameter, by the line and the name."""
    for function in (node for node in ast.walk(tree) if isinstance(node, FunctionNode)):
        for line, name, target in (*_statements(function, lines), *_parameters(function, lines)):
            yield (line, name), target


def _parameters(
    function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]
) -> Iterator[tuple[int, str, _Target]]:
    arguments = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    end = max(function.lineno, function.body[0].lineno - 1) - 1
    for each in arguments:
        column = _character(lines, each.lineno, each.col_offset) + len(each.arg)
        target = _Target(each.lineno - 1, column, end, each.annotation is not None)
        yield function.lineno, each.arg, target


def _statements(
    function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]
) -> Iterator[tuple[int, str, _Target]]:
    for node in ast.walk(function):
        if not isinstance(node, ast.stmt) or isinstance(node, FunctionNode):
            continue
        names = list(_stored(node))
        end = max([node.lineno, *(each.end_lineno or 0 for each in _own_parts(node))]) - 1
        for name in names:
            column = _character(lines, name.lineno, name.col_offset) + len(name.id)
            yield node.lineno, name.id, _Target(name.lineno - 1, column, end, isinstance(node, ast.AnnAssign))
        if isinstance(node, ast.Return) and node.end_lineno is not None:
            column = _character(lines, node.end_lineno, node.end_col_offset or 0)
            yield node.lineno, "", _Target(node.end_lineno - 1, column, end, function.returns is not None)


def _stored(node: ast.stmt) -> Iterator[ast.Name]:
    """The names that a statement itself gives a value, not the statements in it."""
    for part in _own_parts(node):
        for inner in ast.walk(part):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                yield inner


def _own_parts(node: ast.stmt) -> Iterator[ast.expr]:
    return (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))


def _character(lines: list[str], line: int, column: int) -> int:
    return len(lines[line - 1].encode()[:column].decode(errors="replace"))
