"""The statements of a function that give a variable or a result its value, read from its source."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType

from dimtyped.annotations import FunctionNode


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, or several that begin in one line.

    Attributes:
        line: Its first line.
        end: Its last line.
        targets: The variables that it assigns.
        is_return: True for a `return`.
    """

    line: int
    end: int
    targets: tuple[str, ...] = ()
    is_return: bool = False


@dataclass(frozen=True, slots=True)
class FunctionSource:
    """The source of one function.

    Attributes:
        name: Its name, with the classes around it.
        first: The line of its `def`.
        last: Its last line.
        parameters: The parameters without an annotation.
        annotated: The other ones.
        lines: The statement that each line of it belongs to.
    """

    name: str
    first: int
    last: int
    parameters: tuple[str, ...]
    annotated: tuple[str, ...]
    lines: Mapping[int, Statement]


class Sources:
    """Reads the functions of files, each file once."""

    def __init__(self) -> None:
        self._files: dict[str, dict[tuple[int, str], FunctionSource]] = {}

    def of(self, code: CodeType) -> FunctionSource | None:
        """The source of a function's code; None if it cannot be read, or for a lambda or a comprehension."""
        file = code.co_filename
        if file not in self._files:
            self._files[file] = dict(_functions_in("".join(linecache.getlines(file))))
        return self._files[file].get((code.co_firstlineno, code.co_name))


def _functions_in(source: str) -> Iterator[tuple[tuple[int, str], FunctionSource]]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a notebook's cell with commands
        return
    yield from _functions_below(tree, ())


def _functions_below(node: ast.AST, around: tuple[str, ...]) -> Iterator[tuple[tuple[int, str], FunctionSource]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode):
            name = (*around, child.name)
            begin = min(each.lineno for each in (child, *child.decorator_list))
            yield (begin, child.name), _function(child, ".".join(name))
            yield from _functions_below(child, name)
        else:
            yield from _functions_below(child, (*around, child.name) if isinstance(child, ast.ClassDef) else around)


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> FunctionSource:
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    given = [each for each in arguments if each.arg not in ("self", "cls")]
    bare, annotated = (tuple(each.arg for each in given if (each.annotation is None) is it) for it in (True, False))
    lines: dict[int, Statement] = {}
    for each in _statements(node.body):
        before = lines.get(each.line)
        together = _together(before, each) if before is not None and before.line == each.line else each
        lines.update(dict.fromkeys(range(each.line, each.end + 1), together))
    return FunctionSource(name, node.lineno, node.end_lineno or node.lineno, bare, annotated, lines)


def _together(first: Statement, second: Statement) -> Statement:
    """Two statements that begin in one line, which run as one: `q = f(x); k = g(x)`."""
    targets = tuple(dict.fromkeys((*first.targets, *second.targets)))
    return Statement(first.line, max(first.end, second.end), targets, second.is_return)


def _statements(body: list[ast.stmt]) -> Iterator[Statement]:
    """The statements of a body and of the blocks in it; a function inside has its own."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                continue
            case ast.For(target=target) | ast.AsyncFor(target=target):
                yield Statement(node.lineno, node.iter.end_lineno or node.lineno, tuple(_names(target)))
            case ast.If() | ast.While():
                yield Statement(node.lineno, node.test.end_lineno or node.lineno, tuple(_walrus(node.test)))
            case ast.With() | ast.AsyncWith() | ast.Try() | ast.Match():
                yield Statement(node.lineno, node.lineno)
            case _:
                yield _simple(node)
        for inner in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, inner, []))
        for clause in (*getattr(node, "handlers", []), *getattr(node, "cases", [])):
            yield from _statements(clause.body)


def _simple(node: ast.stmt) -> Statement:
    match node:
        case ast.Assign(targets=targets):
            names = tuple(name for target in targets for name in _names(target))
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            names = tuple(_names(target))
        case _:
            names = ()
    found = (*names, *_walrus(node))
    return Statement(node.lineno, node.end_lineno or node.lineno, found, isinstance(node, ast.Return))


def _names(target: ast.expr) -> Iterator[str]:
    match target:
        case ast.Name(id=name):
            yield name
        case ast.Tuple(elts=items) | ast.List(elts=items):
            for item in items:
                yield from _names(item)
        case ast.Starred(value=inner):
            yield from _names(inner)
        case _:
            return


def _walrus(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.NamedExpr):
            yield from _names(inner.target)
