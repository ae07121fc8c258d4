"""What the source of a function says of the shapes it takes: annotations, names of sizes, comments."""

from __future__ import annotations

import ast
import io
import linecache
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType

from dimtyped.annotations import FunctionNode
from dimtyped.flow.annotating.shape_comments import Words, bare_shapes, shape_in, shapes_by_name
from dimtyped.flow.annotating.unpacking import unpacked

_PLAIN = {"Tensor", "torch", "Optional", "Union", "typing", "None", "FloatTensor", "LongTensor", "BoolTensor"}
"""Words of annotations that say of a tensor that it is one, and no more."""
_SKIPPED_DECORATORS = {
    "script",
    "ignore",
    "export",
    "unused",
    "script_method",
    "overload",
    "no_type_check",
    "custom_op",
}


@dataclass(frozen=True, slots=True)
class ParameterSource:
    """A parameter.

    Attributes:
        name: Its name.
        annotation: Its annotation as it is written; empty if it has none, or one that says only that it is a tensor.
        axes: The names of its axes in its annotation.
        is_none: True if its default is None.
        is_packed: True of `*args` and `**kwargs`.
    """

    name: str
    annotation: str
    axes: tuple[str, ...]
    is_none: bool
    is_packed: bool


@dataclass(frozen=True, slots=True)
class FunctionReading:
    """The source of a function, read for its shapes.

    Attributes:
        name: Its name, with the classes around it.
        line: The line of its `def`.
        parameters: Its parameters, without `self` and `cls`.
        result: The annotation of its result; empty as for a parameter.
        result_axes: The names of the axes of its result in its annotation.
        owner: The name of its first parameter, `self` or `cls`; empty of a function.
        skipped: True if it is left as it is: a function in a function, one that runs later, one for TorchScript, and one that
            takes anything, such as `def exists(x): return x is not None`.
        returns: The lines of its `return` statements that give a value.
        unpacked: The variables that are sizes of tensors, in the order in which they are assigned, with the parameter and its axis
            where it is one's.
        written: The shapes that comments and the docstring give parameters and the result, whose name is empty.
        commented: The shape in the comment of each statement, by its first line.
        numbers: The numbers in its body.
        arguments: The names that are given to calls, of variables and attributes, in order.
        attributes: The attributes of variables that it reads: `config.width` is `("config", "width")`.
    """

    name: str
    line: int
    parameters: tuple[ParameterSource, ...]
    result: str
    result_axes: tuple[str, ...]
    owner: str
    skipped: bool
    returns: frozenset[int]
    unpacked: Mapping[str, tuple[str, int] | None]
    written: Mapping[str, tuple[Words, ...]]
    commented: Mapping[int, Words]
    numbers: frozenset[int]
    arguments: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]

    @property
    def open(self) -> list[str]:
        """The parameters that an annotation can be proposed for."""
        return [each.name for each in self.parameters if not each.annotation and not each.is_packed]


class Readings:
    """Reads the functions of files, each file once."""

    def __init__(self) -> None:
        self._files: dict[str, dict[tuple[int, str], FunctionReading]] = {}

    def of(self, code: CodeType) -> FunctionReading | None:
        """The reading of a function's code; None if it cannot be read."""
        file = code.co_filename
        if file not in self._files:
            self._files[file] = dict(_read("".join(linecache.getlines(file))))
        return self._files[file].get((code.co_firstlineno, code.co_name))


def _read(source: str) -> Iterator[tuple[tuple[int, str], FunctionReading]]:
    try:
        tree, comments = ast.parse(source), _comments(source)
    except (SyntaxError, ValueError, tokenize.TokenError):
        return
    yield from _read_below(tree, (), comments, in_class=False, in_function=False)


def _read_below(
    node: ast.AST, around: tuple[str, ...], comments: Mapping[int, str], *, in_class: bool, in_function: bool
) -> Iterator[tuple[tuple[int, str], FunctionReading]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode):
            name = (*around, child.name)
            begin = min(each.lineno for each in (child, *child.decorator_list))
            reading = _reading(child, ".".join(name), comments, in_class=in_class, in_function=in_function)
            yield (begin, child.name), reading
            yield from _read_below(child, name, comments, in_class=False, in_function=True)
        elif isinstance(child, ast.ClassDef):
            name = (*around, child.name)
            yield from _read_below(child, name, comments, in_class=True, in_function=in_function)
        else:
            yield from _read_below(child, around, comments, in_class=in_class, in_function=in_function)


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


def _reading(
    node: ast.FunctionDef | ast.AsyncFunctionDef,
    name: str,
    comments: Mapping[int, str],
    *,
    in_class: bool,
    in_function: bool,
) -> FunctionReading:
    decorators = {_last_name(each) for each in node.decorator_list}
    own = list(_own(node))
    given = [*node.args.posonlyargs, *node.args.args]
    owner = given[0].arg if in_class and given and "staticmethod" not in decorators else ""
    runs_later = isinstance(node, ast.AsyncFunctionDef) or any(isinstance(n, ast.Yield | ast.YieldFrom) for n in own)
    is_special = node.name.startswith("__") and node.name != "__call__"
    parameters = tuple(each for each in _parameters(node) if each.name != owner)
    takes_anything = bool(parameters) and not owner and {each.name for each in parameters} <= _never_used(node)
    return FunctionReading(
        name,
        node.lineno,
        parameters,
        _annotation(node.returns),
        _axes(node.returns),
        owner,
        in_function or runs_later or is_special or takes_anything or not decorators.isdisjoint(_SKIPPED_DECORATORS),
        frozenset(n.lineno for n in own if isinstance(n, ast.Return) and n.value is not None),
        dict(unpacked(own, {each.name for each in parameters})),
        _written(node, comments),
        {n.lineno: words for n in own if isinstance(n, ast.stmt) and (words := _comment_of(n, comments))},
        frozenset(n.value for n in own if isinstance(n, ast.Constant) and type(n.value) is int),
        tuple(dict.fromkeys(_arguments(own))),
        tuple(
            dict.fromkeys(
                (n.value.id, n.attr) for n in own if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)
            )
        ),
    )


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function's body in the order of the source, without those of functions in it."""
    for child in getattr(node, "body", []):
        yield from _inside(child)


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    if isinstance(node, FunctionNode | ast.Lambda | ast.ClassDef):
        return
    for child in ast.iter_child_nodes(node):
        yield from _inside(child)


def _last_name(node: ast.expr) -> str:
    inner = node.func if isinstance(node, ast.Call) else node
    return inner.attr if isinstance(inner, ast.Attribute) else inner.id if isinstance(inner, ast.Name) else ""


# Annotations ----------------------------------------------------------------------------------------------------------


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ParameterSource]:
    args = node.args
    given = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [*[None] * (len(given) - len(args.defaults)), *args.defaults]
    for each, default in zip([*given, *args.kwonlyargs], [*defaults, *args.kw_defaults], strict=True):
        is_none = isinstance(default, ast.Constant) and default.value is None
        yield ParameterSource(each.arg, _annotation(each.annotation), _axes(each.annotation), is_none, is_packed=False)
    for each in (args.vararg, args.kwarg):
        if each is not None:
            yield ParameterSource(each.arg, "packed", (), is_none=False, is_packed=True)


def _annotation(node: ast.expr | None) -> str:
    """An annotation as it is written; empty for one that names no axes."""
    if node is None or (names := _words_of(node)) == {"Tensor"} or ("Tensor" in names and names <= _PLAIN):
        return ""
    return ast.unparse(node)


def _words_of(node: ast.expr) -> set[str]:
    """The words of an annotation; those of a text too, but not the axes of jaxtyping's."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return _words_of(ast.parse(node.value, mode="eval").body)
        except SyntaxError:
            return {node.value}
    found: set[str] = set()
    for inner in ast.walk(node):
        match inner:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                found.add(name)
            case ast.Constant(value=value) if value is not None:
                found.add(str(value))
            case ast.Constant():
                found.add("None")
            case _:
                pass
    return found


def _axes(node: ast.expr | None) -> tuple[str, ...]:
    """The names of the axes in the only jaxtyping annotation of an expression; empty texts for other axes."""
    texts = [
        inner.slice.elts[1].value
        for inner in ast.walk(node or ast.Constant(None))
        if isinstance(inner, ast.Subscript)
        and isinstance(inner.slice, ast.Tuple)
        and len(inner.slice.elts) > 1
        and isinstance(inner.slice.elts[1], ast.Constant)
        and isinstance(inner.slice.elts[1].value, str)
    ]
    if len(texts) != 1 or any(word.startswith(("*", "...")) for word in texts[0].split()):
        return ()
    return tuple(word if word.isidentifier() and word != "_" else "" for word in texts[0].split())


# Uses -----------------------------------------------------------------------------------------------------------------


def _never_used(node: ast.AST) -> set[str]:
    """The variables that are only compared with None, asked for their class, or given back: `x if x is not None else y`."""
    asked: set[str] = set()
    used: set[str] = set()
    for parent in ast.walk(node):
        is_question = isinstance(parent, ast.Compare) and all(isinstance(op, ast.Is | ast.IsNot) for op in parent.ops)
        is_question |= isinstance(parent, ast.Call) and _last_name(parent) in ("isinstance", "callable", "type")
        is_neutral = isinstance(parent, ast.Return) or (
            isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name)
        )
        for child in ast.iter_child_nodes(parent):
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load):
                if is_question or isinstance(parent, ast.IfExp):
                    asked.add(child.id)
                elif not is_neutral:
                    used.add(child.id)
    return asked - used


def _arguments(own: list[ast.AST]) -> Iterator[str]:
    for node in own:
        if isinstance(node, ast.Call):
            for each in (*node.args, *(keyword.value for keyword in node.keywords)):
                if isinstance(each, ast.Name):
                    yield each.id
                elif isinstance(each, ast.Attribute):
                    yield each.attr


# Comments -------------------------------------------------------------------------------------------------------------


def _comment_of(node: ast.stmt, comments: Mapping[int, str]) -> Words | None:
    """The shape in the comment at the end of a simple statement."""
    is_simple = isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Return)
    comment = comments.get(node.end_lineno or node.lineno) if is_simple else None
    return shape_in(comment) if comment else None


def _written(node: ast.FunctionDef | ast.AsyncFunctionDef, comments: Mapping[int, str]) -> dict[str, tuple[Words, ...]]:
    """The shapes that the docstring, and the comments in and around the head of a function, give its variables."""
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    names = {each.arg for each in arguments}
    found: dict[str, list[Words]] = {}
    docstring = ast.get_docstring(node) or ""
    first = node.body[1] if docstring and len(node.body) > 1 else node.body[0]
    head = range(node.lineno, first.lineno)
    above = [comments[line] for line in range(node.lineno - 3, node.lineno) if line in comments]
    texts = [docstring, *above, *(comments[line] for line in head if line in comments)]
    for text in texts:
        for name, words in shapes_by_name(text):
            if not name or name in names:
                found.setdefault(name, []).append(words)
    for line in head:
        here = [each.arg for each in arguments if each.lineno == line and each.arg not in ("self", "cls")]
        if line in comments and len(here) == 1 and here[0] not in found:
            given, result = bare_shapes(comments[line])
            for name, words in ((here[0], given), ("", result)):
                if words is not None and words not in found.get(name, []):
                    found.setdefault(name, []).append(words)
    return {name: tuple(shapes) for name, shapes in found.items()}
