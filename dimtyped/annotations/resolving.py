"""String annotations: the names that they use, and what they mean."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jaxtyping

from dimtyped.annotations.hints import mentions_tensors
from dimtyped.errors import DeclarationError, with_fields
from dimtyped.runtime import locals_of

_WORD = re.compile(r"[^\W\d]\w*")
_ARRAY_TEXT = re.compile(r"""(\w+)\[[^\[\]]+,\s*["']""")  # Float[Tensor, "batch seq"], in a string


@functools.lru_cache(maxsize=4096)
def words_in(text: str) -> tuple[str, ...]:
    """The words of an annotation's text, each once: the names that it may use."""
    return tuple(dict.fromkeys(_WORD.findall(text)))


def outer_names(annotations: Mapping[str, Any], function: Callable[..., Any], frame: types.FrameType) -> dict[str, Any]:
    """The names in string annotations that only the functions and classes around the decorated function know."""
    texts = [text for text in annotations.values() if isinstance(text, str)]
    if not texts:
        return {}
    words = {word for text in texts for word in words_in(text)}
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
    except Exception as error:  # noqa: BLE001  # a user's string may raise anything, and the text says what
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
        ) from None


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
            raise error from None
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
