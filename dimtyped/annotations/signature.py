"""A function's signature as data: what each parameter and the result must be.

It is read once for each function, at its first call: annotations may be strings that name things defined later.
"""

from __future__ import annotations

import ast
import enum
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dimtyped.annotations.axes import Kind
from dimtyped.annotations.hints import (
    AnythingHint,
    Hint,
    Inexpressible,
    arrays_in,
    mentions_tensors,
    read_hint,
)
from dimtyped.annotations.resolving import resolve_annotations, resolve_tensors
from dimtyped.annotations.torchtyping import translated
from dimtyped.errors import DeclarationError, with_fields

_DRIVEN = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_PLACEHOLDER = re.compile(r"\{(.*?)\}")
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
    or to paths from it: `normalized_shape[-1]`. `weights` are the parameters that a layer would hold: where they
    disagree with the others, an explanation takes their sizes for right. `violations` finds the sizes that the function
    itself rejects, and takes its arguments by name.
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
    weights: Collection[str] = ()
    violations: Callable[..., Iterable[Any]] | None = None

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
    weights: Collection[str] = (),
    violations: Callable[..., Iterable[Any]] | None = None,
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
        weights,
        violations,
    )


def path_source(path: str, owner: str) -> str:
    """The source that reads a size of an owner: an attribute, a path that goes on from it, or Python over `{self}`.

    The path may be `normalized_shape[-1]`, or `({self}.proj_size or {self}.hidden_size)`.
    """
    return path.format(self=owner) if "{self}" in path else f"{owner}.{path}"


def size_at(owner: Any, path: str) -> int:
    """The size that an attribute of a layer holds; see `path_source`."""
    if path.isidentifier():
        return int(getattr(owner, path))
    return int(
        eval(path_source(path, "owner"), {"__builtins__": {}}, {"owner": owner})
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
