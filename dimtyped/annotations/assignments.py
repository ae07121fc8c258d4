"""Annotated assignments in the source of functions: `scores: Float[Tensor, "batch seq seq"] = q @ k`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import jaxtyping

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def names_array(annotation: ast.expr) -> bool:
    """True if an annotation has the form of a jaxtyping annotation, or holds one: `list[Float[Tensor, "batch"]]`."""
    return any(_is_array(node) for node in ast.walk(written_out(annotation)))


def written_out(annotation: ast.expr) -> ast.expr:
    """An annotation that is written as a string, as the expression in it; any other itself."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            inner = ast.parse(annotation.value.strip(), mode="eval").body
        except (SyntaxError, ValueError):
            return annotation
        for node in ast.walk(inner):
            ast.copy_location(node, annotation)
        return inner
    return annotation


def assignments_in(function: FunctionNode) -> Iterator[ast.AnnAssign]:
    """The annotated assignments of a function's own body, without those of functions and classes inside."""
    return (node for node in nodes_of(function) if isinstance(node, ast.AnnAssign) and node.value is not None)


def nodes_of(function: FunctionNode) -> Iterator[ast.AST]:
    """The nodes of a function's own body; functions and classes inside are given, and what they hold is not."""
    pending: list[ast.AST] = list(reversed(function.body))
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, _SCOPES):
            pending += reversed(list(ast.iter_child_nodes(node)))


def _is_array(node: ast.AST) -> bool:
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple) or len(node.slice.elts) != 2:
        return False
    axes = node.slice.elts[1]
    is_text = isinstance(axes, ast.JoinedStr) or (isinstance(axes, ast.Constant) and isinstance(axes.value, str))
    return is_text or _is_dtype(node.value)


def _is_dtype(node: ast.expr) -> bool:
    """True for `Float` and its like, whatever they are imported from."""
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    found = getattr(jaxtyping, name, None)
    return isinstance(found, type) and issubclass(found, jaxtyping.AbstractDtype)
