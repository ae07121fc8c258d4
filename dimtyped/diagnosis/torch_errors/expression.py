"""The user's expression that failed, as a syntax tree found by the columns of the instruction."""

from __future__ import annotations

import ast
import linecache
import types
from collections.abc import Iterator
from dataclasses import dataclass

from dimtyped.diagnosis.code_edits import keep_literals
from dimtyped.diagnosis.torch_errors.frames import Frame, Span

_MOST_LINES = 4000  # of a file that is parsed whole: more would take too long
_OPERATIONS = (ast.Call, ast.BinOp, ast.Subscript, ast.Compare, ast.UnaryOp, ast.Attribute, ast.AugAssign)


@dataclass(frozen=True)
class Expression:
    """The piece of the user's code whose evaluation raised.

    Args:
        node: Its syntax: an operation, or the statement `x += y` or `x[i] = y`; any other expression where its truth was
            asked for.
        text: Its code as the user wrote it, on one line.
        span: Its place in the file.
    """

    node: ast.expr | ast.AugAssign | ast.Assign
    text: str
    span: Span


def expression_at(frame: Frame) -> Expression | None:
    """The expression that failed in a frame; None if its code or its columns are not known, or it is no operation."""
    span, code = frame.span, frame.code
    if span is None:
        return None
    linecache.checkcache(code.co_filename) if code.co_filename.endswith(".py") else None
    lines = linecache.getlines(code.co_filename, dict(frame.names))
    if not lines or span.end_line > len(lines):
        return None
    for tree in _trees(code, lines):
        found = _node_at(tree, span)
        if found is not None:
            return _expression(found, tree, lines)
    return None


def _trees(code: types.CodeType, lines: list[str]) -> Iterator[ast.AST]:
    """The syntax tree of the function's own lines, which is quick, then that of the whole file."""
    first = code.co_firstlineno
    last = max((line for _, _, line in code.co_lines() if line is not None), default=first)
    last = max([last, *(end for _, end, *_ in code.co_positions() if end is not None)])
    if not code.co_name.startswith("<"):
        block = lines[first - 1 : last]
        indented = block[0][:1] in " \t"
        tree = _parsed("".join(["if 1:\n", *block] if indented else block))
        if tree is not None:
            yield ast.increment_lineno(tree, first - 1 - indented)
    if len(lines) <= _MOST_LINES:
        whole = _parsed("".join(lines))
        if whole is not None:
            yield whole


def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


def _node_at(tree: ast.AST, span: Span) -> ast.expr | ast.AugAssign | None:
    """The operation that ends where the instruction's span ends and begins where it begins.

    The span of a call in a chain of methods over several lines begins at the method's name: the call then only ends there.
    """
    ending = [node for node in _within(tree, span) if _span_of(node).end_line == span.end_line]
    ending = [node for node in ending if _span_of(node).end_column == span.end_column]
    exact = [node for node in ending if _start(_span_of(node)) == (span.line, span.column)]
    operations = [node for node in exact if isinstance(node, _OPERATIONS)]
    if operations:
        return operations[-1]
    if exact:
        return exact[-1]
    around = [n for n in ending if isinstance(n, ast.Call) and _start(_span_of(n)) < (span.line, span.column)]
    return around[-1] if around else None


def _within(tree: ast.AST, span: Span) -> Iterator[ast.expr | ast.AugAssign]:
    """The expressions that hold the end of the span, outermost first."""
    for node in ast.iter_child_nodes(tree):
        line = getattr(node, "lineno", None)
        end = getattr(node, "end_lineno", None)
        if line is not None and end is not None and not line <= span.end_line <= end:
            continue
        if isinstance(node, ast.expr | ast.AugAssign):
            yield node
        yield from _within(node, span)


def _span_of(node: ast.expr | ast.AugAssign | ast.Assign) -> Span:
    return Span(node.lineno, node.end_lineno or node.lineno, node.col_offset, node.end_col_offset or node.col_offset)


def _start(span: Span) -> tuple[int, int]:
    return span.line, span.column


def _expression(node: ast.expr | ast.AugAssign, tree: ast.AST, lines: list[str]) -> Expression:
    found: ast.expr | ast.AugAssign | ast.Assign = node
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
        found = _assignment_to(node, tree) or node
    span = _span_of(found)
    keep_literals(found, lambda literal: _text(_span_of(literal), lines))
    return Expression(found, _text(span, lines), span)


def _assignment_to(target: ast.Subscript, tree: ast.AST) -> ast.Assign | None:
    assignments = (node for node in ast.walk(tree) if isinstance(node, ast.Assign))
    return next((node for node in assignments if len(node.targets) == 1 and node.targets[0] is target), None)


def _text(span: Span, lines: list[str]) -> str:
    """The code of a span on one line."""
    encoded = [line.encode() for line in lines[span.line - 1 : span.end_line]]
    encoded[-1] = encoded[-1][: span.end_column]
    encoded[0] = encoded[0][span.column :]
    parts = [line.decode(errors="replace").strip() for line in encoded]
    text = parts[0]
    for part in parts[1:]:  # no space after an open bracket, or before a closing one
        if part[:1] in ")]":
            text = text.removesuffix(",")
        text += part if part[:1] in ".)]," or text[-1:] in "([" else f" {part}"
    return text
