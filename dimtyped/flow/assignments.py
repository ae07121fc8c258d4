"""The annotated assignments of the functions that run, read from their source: `scores: Float[Tensor, "batch seq"] = q @ k`.

An assignment is known by the place of its value in the source: the operator or the call at that place made what is assigned.
"""

import ast
import linecache
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from types import CodeType, FrameType

from dimtyped.annotations import FunctionNode, Hint, Inexpressible, assignments_in, read_hint, written_out
from dimtyped.engine import ASSERT_NAME
from dimtyped.runtime import locals_of

Span = tuple[int | None, int | None, int | None, int | None]
"""The first line of an expression, its last line, its first column and the column after its last."""
_ANNOTATED = re.compile(r"^\s+[\w.]+\s*:[^=\n]*\w.*=", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One annotated assignment of a function.

    Args:
        target: What is assigned to.
        annotation: The code of its annotation.
    """

    target: str
    annotation: CodeType

    def hint(self, frame: FrameType) -> Hint | None:
        """The annotation as data, in the frame of the function; None if it has no meaning here."""
        try:
            return read_hint(eval(self.annotation, frame.f_globals, locals_of(frame)))  # Python never evaluates it
        except Inexpressible:
            return None
        except Exception:  # noqa: BLE001 - a user's annotation may raise anything
            return None


class Assignments:
    """The assignments of each function, by the place of the value; a file is read once."""

    def __init__(self) -> None:
        self._files: dict[str, Mapping[tuple[int, str], FunctionNode]] = {}
        self._codes: dict[CodeType, Mapping[Span, Assignment]] = {}

    def of(self, code: CodeType) -> Mapping[Span, Assignment]:
        """The assignments in the code of a function; none where the import hook has put checks in their place."""
        found = self._codes.get(code)
        if found is None:
            found = self._codes[code] = dict(self._read(code))
        return found

    def at(self, frame: FrameType) -> Assignment | None:
        """The assignment whose value the running instruction of a frame makes."""
        known = self.of(frame.f_code)
        return known.get(next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))) if known else None

    def _read(self, code: CodeType) -> Iterator[tuple[Span, Assignment]]:
        if ASSERT_NAME in code.co_names:
            return
        node = self._functions(code.co_filename).get((code.co_firstlineno, code.co_name))
        for each in assignments_in(node) if node is not None else ():
            text = ast.unparse(written_out(each.annotation))
            made = Assignment(ast.unparse(each.target), compile(text, "<annotation>", "eval"))
            yield from ((span, made) for span in _spans(each.value))

    def _functions(self, file: str) -> Mapping[tuple[int, str], FunctionNode]:
        if file not in self._files:
            source = "".join(linecache.getlines(file))
            self._files[file] = _functions_in(source) if _ANNOTATED.search(source) else {}
        return self._files[file]


@lru_cache(maxsize=64)  # a check runs a model several times, and a training loop watches each of its steps
def _functions_in(source: str) -> Mapping[tuple[int, str], FunctionNode]:
    """The functions of a source with annotated assignments, by the line at which their code begins, and their name."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a notebook's cell with commands
        return {}
    functions = [node for node in ast.walk(tree) if isinstance(node, FunctionNode) and any(assignments_in(node))]
    return {(min(each.lineno for each in (node, *node.decorator_list)), node.name): node for node in functions}


def _spans(value: ast.expr | None) -> Iterator[Span]:
    """The places at which the value of an assignment is made: of a conditional expression, in either branch."""
    match value:
        case None:
            return
        case ast.IfExp(body=body, orelse=other):
            yield from (*_spans(body), *_spans(other))
        case ast.NamedExpr(value=inner):
            yield from _spans(inner)
        case ast.Call(func=ast.Attribute(value=owner, attr=name, end_lineno=int(line), end_col_offset=int(end))) if (
            owner.end_lineno != line
        ):  # Python places a call of a method on another line at the method's name
            yield line, value.end_lineno, end - len(name.encode()), value.end_col_offset
        case _:
            yield value.lineno, value.end_lineno, value.col_offset, value.end_col_offset
