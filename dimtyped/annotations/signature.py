"""A function's signature as data: what each parameter and the result must be.

It is read once for each function, at its first call: annotations may be strings that name things defined later.
"""

from __future__ import annotations

import ast
import builtins
import enum
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jaxtyping

from dimtyped.annotations.axes import Kind
from dimtyped.annotations.expressions import linear, unknown_names
from dimtyped.annotations.hints import (
    AnythingHint,
    ArrayHint,
    Hint,
    Inexpressible,
    RecordHint,
    TupleHint,
    UnionHint,
    arrays_in,
    mentions_tensors,
    read_hint,
)
from dimtyped.annotations.torchtyping import translated
from dimtyped.errors import DeclarationError, with_fields
from dimtyped.names import names_in
from dimtyped.runtime import locals_of

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_DRIVEN = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_PLACEHOLDER = re.compile(r"\{(.*?)\}")
_WORD = re.compile(r"[^\W\d]\w*")
_GLUED = re.compile(r"[\w.]\{|\}[\w.({\[]")  # `2{n}` puts digits side by side: text, not arithmetic
_ARITHMETIC = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.Call,
    ast.Tuple,
    ast.Name,
    ast.Attribute,
    ast.Constant,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
    ast.expr_context,
)
_ARRAY_TEXT = re.compile(r"""(\w+)\[[^\[\]]+,\s*["']""")  # Float[Tensor, "batch seq"], in a string
_YIELDS = {"Iterator", "Iterable", "Generator", "AsyncIterator", "AsyncIterable", "AsyncGenerator"}


class FunctionKind(enum.Enum):
    """The kind of function, which decides when its result can be checked."""

    PLAIN = "plain"
    COROUTINE = "coroutine"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async generator"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter and its hint."""

    name: str
    kind: inspect._ParameterKind  # pyright: ignore[reportPrivateUsage]  # inspect gives this enum no public name
    default: Any
    annotation: Any
    hint: Hint

    @property
    def has_default(self) -> bool:
        """True if a call may leave it out."""
        return self.default is not inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature of a typed function, with its annotations resolved.

    `result` is checked when the function returns, `item` for each value that a generator yields.
    `expressible` is False if only the reference engine can decide. `fixed` are the sizes of
    `typed(dims=...)`; `attributes` maps names to attributes of the first argument that hold their size,
    or to paths from it: `normalized_shape[-1]`.
    """

    function: Callable[..., Any]
    where: str
    function_kind: FunctionKind
    parameters: tuple[Parameter, ...]
    result: Hint
    result_annotation: Any
    expressible: bool
    fixed: Mapping[str, int] = field(default_factory=dict[str, int])
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def hints(self) -> tuple[Hint, ...]:
        """All hints in the order of checking, the result's last."""
        return (*(parameter.hint for parameter in self.parameters), self.result)

    @property
    def checks_result(self) -> bool:
        """True if the result is annotated."""
        return not isinstance(self.result, AnythingHint)


def read_signature(
    function: Callable[..., Any],
    *,
    names: Mapping[str, Any] | None = None,
    fixed: Mapping[str, int] | None = None,
    attributes: Mapping[str, str] | None = None,
    annotations: Mapping[str, Any] | None = None,
    only_tensors_must_resolve: bool = False,
) -> Signature:
    """The signature of `function`, its string annotations resolved.

    `names` are the names a string annotation may use beside the function's globals; `annotations` stand in place
    of the function's own. With `only_tensors_must_resolve` another annotation that cannot be resolved stands for anything.

    Raises:
        DeclarationError: an annotation cannot be resolved.
    """
    where = display_name(function)
    if annotations is not None:
        hints = dict(annotations)
    else:
        read_hints = resolve_tensors if only_tensors_must_resolve else resolve_annotations
        hints = read_hints(function, names or {}, where)
    hints = {name: translated(hint) for name, hint in hints.items()}
    function_kind = function_kind_of(function)
    result_annotation = hints.get("return", Any)
    known = inspect.signature(function).parameters
    read = {name: _read(hints.get(name, Any), known, where) for name in known}
    result = _read(_checked_at_the_end(result_annotation, function, where), known, where)
    parameters = tuple(
        Parameter(name, p.kind, p.default, hints.get(name, Any), read[name].hint) for name, p in known.items()
    )
    expressible = all(part.expressible for part in (*read.values(), result))
    return Signature(
        function,
        where,
        function_kind,
        parameters,
        result.hint,
        result_annotation,
        expressible,
        fixed or {},
        attributes or {},
    )


def size_at(owner: Any, path: str) -> int:
    """The size that an attribute of a layer holds; the path may go on from it: `normalized_shape[-1]`."""
    if path.isidentifier():
        return int(getattr(owner, path))
    return int(
        eval(f"owner.{path}", {"__builtins__": {}}, {"owner": owner})
    )  # the text of a declaration in this package


def display_name(function: Callable[..., Any]) -> str:
    """The qualified name without the functions around it: `Decoder.forward`."""
    name: str = getattr(function, "__qualname__", repr(function))
    return name.rpartition("<locals>.")[2]


def function_kind_of(function: Callable[..., Any]) -> FunctionKind:
    """The kind of a function."""
    if type(function) is types.FunctionType and not (function.__code__.co_flags & _DRIVEN or function.__dict__):
        return FunctionKind.PLAIN  # the usual case; Python marks other kinds in one of these two places
    if inspect.iscoroutinefunction(function):
        return FunctionKind.COROUTINE
    if inspect.isasyncgenfunction(function):
        return FunctionKind.ASYNC_GENERATOR
    return FunctionKind.GENERATOR if inspect.isgeneratorfunction(function) else FunctionKind.PLAIN


def outer_names(annotations: Mapping[str, Any], function: Callable[..., Any], frame: types.FrameType) -> dict[str, Any]:
    """The names in string annotations that only the functions and classes around the decorated function know."""
    texts = [text for text in annotations.values() if isinstance(text, str)]
    words = {word for text in texts for word in _WORD.findall(text)}
    around = [locals_of(frame) for frame in _frames_around(function, frame)] if words else []
    if not any(
        word in here for here in around for word in words
    ):  # string annotations are resolved where they are needed
        return {}
    known: Mapping[str, Any] = getattr(function, "__globals__", {})
    missing = {name for text in texts for name in _names_in(text) if name not in known and not hasattr(builtins, name)}
    quoted = {name for text in texts for inner in _strings_in(text) for name in _names_in(inner)} - known.keys()
    found: dict[str, Any] = {}
    for here in around:
        found.update((name, here[name]) for name in missing - found.keys() if name in here)
        found.update((name, here[name]) for name in quoted - found.keys() if _is_hint(here.get(name)))
    return found


def _frames_around(function: Callable[..., Any], frame: types.FrameType) -> Iterator[types.FrameType]:
    """The frames of the functions and class bodies that the function is written in, innermost first."""
    place: str = getattr(function, "__qualname__", "")
    current: types.FrameType | None = frame if "." in place else None  # no dot: a module's own function
    while current is not None:
        if place.startswith(f"{current.f_code.co_qualname}.") and current.f_globals is function.__globals__:
            yield current
        current = current.f_back


def _names_in(text: str) -> set[str]:
    return {node.id for node in _parsed(text) if isinstance(node, ast.Name)}


def _strings_in(text: str) -> set[str]:
    """The names in nested strings, `"Pair"` in `Optional["Pair"]`. Axes are strings too, so a name must refer to a type."""
    return {node.value for node in _parsed(text) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _parsed(text: str) -> list[ast.AST]:
    try:
        return list(ast.walk(ast.parse(text.strip(), mode="eval")))
    except (SyntaxError, ValueError):
        return []


def _is_hint(value: object) -> bool:
    return isinstance(value, type) or type(value).__module__ in ("typing", "types")


def names_tensors(function: Callable[..., Any], names: Mapping[str, Any]) -> bool:
    """True if the function has a jaxtyping annotation; a string that cannot be resolved is judged by how it looks."""
    try:
        hints = typing.get_type_hints(function, localns={**_closure(function), **names} or None, include_extras=True)
    except Exception:  # noqa: BLE001  # a user's string may raise anything; then its look decides
        texts = map(str, getattr(function, "__annotations__", {}).values())
        return any(_is_dtype(word, function) for text in texts for word in _ARRAY_TEXT.findall(text))
    return any(mentions_tensors(hint) for hint in hints.values())


def _is_dtype(word: str, function: Callable[..., Any]) -> bool:
    """True for a dtype class of jaxtyping's, such as `Float`; `dict[str, "Tensor"]` looks alike."""
    known: Any = getattr(inspect.unwrap(function), "__globals__", {}).get(word, getattr(jaxtyping, word, None))
    return isinstance(known, type) and issubclass(known, jaxtyping.AbstractDtype)


def may_name_tensors(function: Callable[..., Any], names: Mapping[str, Any]) -> bool:
    """True unless every annotation of the function can be resolved and none is jaxtyping's."""
    hints: list[Any] = list(function.__annotations__.values())
    if any(mentions_tensors(hint) for hint in hints):
        return True
    if not any(_holds_text(hint) for hint in hints):
        return False
    try:
        hints = list(typing.get_type_hints(function, localns={**_closure(function), **names} or None).values())
    except Exception:  # noqa: BLE001  # a user's string may raise anything; what it names may be defined later
        return True
    return any(mentions_tensors(hint) for hint in hints)


def _holds_text(hint: Any) -> bool:
    """True if a string in the annotation is still unresolved."""
    return isinstance(hint, str | typing.ForwardRef) or any(_holds_text(part) for part in typing.get_args(hint))


def resolve_annotations(function: Callable[..., Any], names: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The annotations of a function with every string replaced by what it means.

    Raises:
        DeclarationError: a string names something undefined, or jaxtyping rejects it.
    """
    try:
        return typing.get_type_hints(function, localns={**_closure(function), **names} or None, include_extras=True)
    except Exception as error:
        texts = _annotation_texts(function)
        raise with_fields(
            DeclarationError(
                f"{where}: an annotation cannot be resolved: {type(error).__name__}: {error}\n"
                f"  annotations: {texts}\n"
                "  Import or define every name that it uses before the first call."
            ),
            where=where,
            expected="annotations that can be resolved",
            actual=texts,
            hint="import or define every name that it uses before the first call",
        ) from error


def resolve_tensors(function: Callable[..., Any], names: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The same, and of the annotations that cannot be resolved those that do not look like jaxtyping's stand for anything.

    Raises:
        DeclarationError: an annotation of jaxtyping's cannot be resolved.
    """
    try:
        return resolve_annotations(function, names, where)
    except DeclarationError as error:
        known = {**getattr(inspect.unwrap(function), "__globals__", {}), **_closure(function), **names}
        each = {name: _resolved_alone(annotation, known) for name, annotation in _written(function).items()}
        if not each or any(hint is None and _looks_like_array(function, name) for name, hint in each.items()):
            raise error from error.__cause__
    return {name: hint for name, hint in each.items() if hint is not None}


def _written(function: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return function.__annotations__
    except NameError:  # from Python 3.14 on they are evaluated here
        return {}


def _resolved_alone(annotation: Any, known: Mapping[str, Any]) -> Any:
    """One annotation, resolved; None if it cannot be."""
    holder: Any = types.SimpleNamespace(__annotations__={"hint": annotation})
    try:
        return typing.get_type_hints(holder, dict(known), include_extras=True)["hint"]
    except Exception:  # noqa: BLE001  # a user's string may raise anything
        return None


def _looks_like_array(function: Callable[..., Any], parameter: str) -> bool:
    text = str(_written(function)[parameter])
    return any(_is_dtype(word, function) for word in _ARRAY_TEXT.findall(text))


def _annotation_texts(function: Callable[..., Any]) -> str:
    try:
        return ", ".join(f"{name}: {text}" for name, text in function.__annotations__.items())
    except NameError as error:  # evaluated lazily from Python 3.14 on
        return str(error)


def _closure(function: Callable[..., Any]) -> dict[str, Any]:
    cells: Any = getattr(function, "__closure__", None) or ()
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    found: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # the variable has no value yet
            continue
    return found


@dataclass(frozen=True, slots=True)
class _Read:
    """A hint, and True if it is complete; if not, it checks nothing and the reference engine decides."""

    hint: Hint
    expressible: bool


def _read(annotation: Any, parameters: Collection[str], where: str) -> _Read:
    try:
        hint = read_hint(annotation)
        for axis in (axis for array in arrays_in(hint) for axis in array.axes if axis.kind is Kind.EXPRESSION):
            if starred := re.search(r"\{\s*\*([^}]*)\}", axis.name):
                raise _declaration_error(
                    where,
                    f"the axis `{axis.name}` has several sizes, and an axis has one size",
                    f"write one axis for each, `{{{starred[1]}[0]}} {{{starred[1]}[1]}}`, or bind several to a name, `*shape`",
                )
            split_placeholders(axis.name, parameters)
    except Inexpressible:
        return _Read(AnythingHint(annotation), expressible=False)
    except SyntaxError as error:
        raise _declaration_error(where, f"an axis is not an expression: {error.text or error}: {error.msg}") from None
    return _Read(hint, expressible=True)


def _checked_at_the_end(annotation: Any, function: Callable[..., Any], where: str) -> Any:
    """The hint of each checked result: for a generator, of each item that it yields."""
    function_kind = function_kind_of(function)
    if function_kind is not function_kind_of(inspect.unwrap(function)):
        return Any  # a decorator below replaced the function, and the annotation describes the one below that
    if function_kind in (FunctionKind.PLAIN, FunctionKind.COROUTINE):
        return annotation
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is not None and origin.__name__ in _YIELDS:
        return arguments[0] if arguments and mentions_tensors(arguments[0]) else Any
    if mentions_tensors(annotation):
        raise with_fields(
            _declaration_error(where, f"it yields, so its result must be annotated Iterator[...], not {annotation}"),
            argument="return",
            expected="Iterator[...]",
            actual=str(annotation),
            hint="annotate the values that it yields, as in Iterator[Float[Tensor, ...]]",
        )
    return Any


def _declaration_error(where: str, problem: str, hint: str = "") -> DeclarationError:
    error = DeclarationError(f"{where}: {problem}" + (f"\n  {hint[0].upper()}{hint[1:]}." if hint else ""))
    error.where, error.hint = where, hint
    return error


def split_placeholders(expression: str, parameters: Collection[str]) -> list[str]:
    """The paths in an expression's `{...}` parts: `{self.width}-1` gives `["self.width"]`.

    Raises:
        Inexpressible: a part is more than a path from a parameter, so only the reference engine can check it.
        SyntaxError: it cannot be an expression, whatever the values of its parts.
    """
    paths = [path.strip() for path in _PLACEHOLDER.findall(expression)]
    for path in paths:
        words = path.split(".")
        if not all(word.isidentifier() for word in words) or words[0] not in parameters:
            raise Inexpressible(f"{{{path}}} is evaluated by jaxtyping")
    rest = _PLACEHOLDER.sub("0", expression)
    if _GLUED.search(expression) or (paths and "**" in rest) or "{" in rest or not _is_arithmetic(rest):
        raise Inexpressible(f"{expression} is evaluated by jaxtyping")
    return paths


def _is_arithmetic(expression: str) -> bool:
    """True if an expression is made of sums, products, comparisons and calls: these can go into generated source."""
    return all(isinstance(node, _ARITHMETIC) for node in ast.walk(ast.parse(expression, mode="eval")))


def in_order(parameters: Collection[Parameter], known: Collection[str]) -> list[Parameter]:
    """The parameters as they are checked: one whose expressions have two unknown names waits for those that bind them.

    A parameter that may be None, empty or left out may bind nothing, so one that always binds the name comes before.
    """
    pending, found = list(parameters), list[Parameter]()
    if not any(axis.kind is Kind.EXPRESSION for p in pending for a in arrays_in(p.hint) for axis in a.axes):
        return pending
    bound, possible = set(known), set(known)
    while pending:
        decidable = (p for names in (bound, possible) for p in pending if _is_decidable(p.hint, names))
        chosen = next(decidable, pending[0])
        pending.remove(chosen)
        found.append(chosen)
        possible.update(name for array in arrays_in(chosen.hint) for name in _single_names(array))
        if not chosen.has_default and chosen.kind not in _VARIADIC:
            bound |= _always_bound(chosen.hint)
    return found


def _always_bound(hint: Hint) -> set[str]:
    """The names that any value that fits a hint binds."""
    match hint:
        case ArrayHint():
            return _single_names(hint)
        case TupleHint(items=items):
            return set[str]().union(*map(_always_bound, items))
        case RecordHint(fields=fields):
            return set[str]().union(*(_always_bound(inner) for _, inner in fields))
        case UnionHint(options=options):
            return set.intersection(*map(_always_bound, options))
        case _:
            return set()


def _single_names(array: ArrayHint) -> set[str]:
    """The names of one axis; jaxtyping keeps `n` and `*n` apart."""
    many = {axis.name for axis in array.axes if axis.many}
    single = {axis.name for axis in array.axes if axis.kind is Kind.NAME and not axis.many}
    return single | (set(free_names(array)) - many)


def _is_decidable(hint: Hint, known: Collection[str]) -> bool:
    for array in arrays_in(hint):
        inside = {axis.name for axis in array.axes if axis.kind is Kind.NAME and not axis.many}
        for axis in (axis for axis in array.axes if axis.kind is Kind.EXPRESSION):
            unknown = unknown_names(axis.name, {*known, *inside})
            if len(unknown) > 1 or (unknown and linear(_PLACEHOLDER.sub("0", axis.name), unknown[0]) is None):
                return False
    return True


def free_names(array: ArrayHint) -> tuple[str, ...]:
    """The names that a tensor annotation uses, including `*name` and names in expressions."""
    names: list[str] = []
    for axis in array.axes:
        if axis.kind is Kind.NAME:
            names.append(axis.name)
        elif axis.kind is Kind.EXPRESSION:
            names.extend(names_in(axis.name))
    return tuple(dict.fromkeys(names))
