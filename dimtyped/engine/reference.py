"""The reference engine: jaxtyping and beartype check the signature. Its answer defines what an annotation means.

Declared names are filled in as sizes, containers and records of tensors are checked item by item, and the rest is
`jaxtyped(typechecker=beartype)` on a stand-in with the function's signature.
"""

from __future__ import annotations

import collections.abc
import inspect
import itertools
import re
import traceback
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Union

import jaxtyping
import torch
from beartype import beartype
from beartype.door import is_bearable
from beartype.vale import Is
from jaxtyping import AnnotationError, jaxtyped

from dimtyped.annotations import (
    Axis,
    Kind,
    Packed,
    Signature,
    arrays_in,
    container_kind,
    holds_unpacked,
    is_array_annotation,
    is_known,
    is_packed,
    mentions_tensors,
    modern,
    parse_axes,
    record_fields,
    underlying,
    unknown_names,
)
from dimtyped.diagnosis import Binding, find_mismatches, snapshot
from dimtyped.engine.missing import MISSING, Missing
from dimtyped.errors import DeclarationError, with_fields
from dimtyped.runtime import PREFIX

_SYMBOLIC: dict[Any, Any] = {int: int | torch.SymInt, float: float | torch.SymFloat}
"""The hints of plain numbers, widened to the symbols that some tracers pass in their place."""
_RESULT = f"{PREFIX}result"
_numbers = itertools.count()
_BLAMED = re.compile(r"typechecking parameter '(\w+)'")
_WORD_OR_PLACEHOLDER = re.compile(r"\{.*?\}|(?<![\w.])[^\W\d]\w*")


class ReferenceCheck:
    """A signature's two checks, with the declared names at the sizes given.

    jaxtyping does not solve expressions, so names that only expressions use get their sizes before it checks.
    """

    def __init__(self, signature: Signature, sizes: Mapping[str, int]) -> None:
        self._signature = signature
        self._sizes = dict(sizes)
        self._is_mismatch = False
        self._made: dict[tuple[Any, ...], _StandIns] = {}
        axes = [axis for hint in signature.hints for array in arrays_in(hint) for axis in array.axes]
        expressions = [axis.name for axis in axes if axis.kind is Kind.EXPRESSION] if signature.expressible else []
        self._open = [name for expression in expressions for name in unknown_names(expression, sizes)]

    def accepts(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> bool:
        """Returns True if jaxtyping and beartype accept these arguments.

        Raises:
            DeclarationError: they do not understand an annotation.
        """
        made = self._stand_ins(arguments, keywords)
        return made is not None and self._accepts(made.arguments, arguments, keywords)

    def blamed(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> str:
        """The parameter whose argument they reject, or an empty string if they do not say."""
        made = self._stand_ins(arguments, keywords)
        try:
            if made is not None:
                made.arguments(*arguments, **keywords)
        except jaxtyping.TypeCheckError as error:
            found = _BLAMED.search(str(error))
            return found[1] if found is not None else ""
        return ""

    def accepts_result(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any], result: Any) -> bool:
        """Returns True if they accept this result of these arguments."""
        made = self._stand_ins(arguments, keywords, result)
        return made is not None and self._accepts(made.whole, arguments, {**keywords, _RESULT: result})

    def _stand_ins(
        self, arguments: tuple[Any, ...], keywords: Mapping[str, Any], result: Any = MISSING
    ) -> _StandIns | None:
        """The stand-in functions that check these values; None if no size solves an expression."""
        solved = self._solved(arguments, keywords, result) if self._open else {}
        if solved is None:
            return None
        key = tuple(sorted(solved.items()))
        if key not in self._made:
            self._made[key] = _StandIns(self._signature, {**solved, **self._sizes})
        return self._made[key]

    def _solved(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any], result: Any) -> dict[str, int] | None:
        parameters = self._signature.parameters
        shape = inspect.Signature([inspect.Parameter(p.name, p.kind, default=p.default) for p in parameters])
        try:
            values = shape.bind(*arguments, **keywords).arguments
        except TypeError:  # the call of the function raises Python's own error
            return {}
        given = {name: snapshot(value) for name, value in values.items() if not isinstance(value, Missing)}
        paths = {p.name: values.get(p.name, p.default) for p in parameters}
        declared = {name: Binding(size) for name, size in self._sizes.items()}
        shown = None if isinstance(result, Missing) else snapshot(result)
        found = find_mismatches(self._signature, declared, given, shown, paths, arguments[0] if arguments else None)
        self._is_mismatch = bool(found.mismatches) and not found.undecided
        if any(mismatch.kind == "extent" for mismatch in found.mismatches):
            return None
        sizes = {name: found.bindings[name].size for name in self._open if name in found.bindings}
        is_free = not found.mismatches and not found.undecided  # a name multiplied by a size of 0 may have any size
        return {**dict.fromkeys(self._open if is_free else (), 0), **sizes}

    def _accepts(self, check: Callable[..., Any], arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> bool:
        where = self._signature.where
        try:
            check(*arguments, **keywords)
        except AnnotationError as error:
            if self._is_mismatch:  # it met an unsolved expression in a call that does not fit anyway
                return False
            raise with_fields(
                DeclarationError(f"{where}: {error}"),
                where=where,
                expected="names that are bound before it, or declared",
                actual=str(error),
                hint="write an expression over names that a parameter before it binds or a module declares",
            ) from error
        except jaxtyping.TypeCheckError as error:
            _release(error)
            return False
        return True


class _StandIns:
    """Functions that do nothing, checked by jaxtyping and beartype: one for the arguments, one for the result with them."""

    def __init__(self, signature: Signature, sizes: Mapping[str, int]) -> None:
        parameters = [
            inspect.Parameter(
                parameter.name,
                parameter.kind,
                default=parameter.default,
                annotation=filled(parameter.annotation, sizes),
            )
            for parameter in signature.parameters
        ]
        result = inspect.Parameter(_RESULT, inspect.Parameter.KEYWORD_ONLY)
        has_more = bool(parameters) and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
        with_result = [*parameters[:-1], result, parameters[-1]] if has_more else [*parameters, result]
        wanted = filled(signature.result.annotation, sizes)
        self.arguments = _stand_in(signature, inspect.Signature(parameters))
        self.whole = _stand_in(signature, inspect.Signature(with_result, return_annotation=wanted))


def _release(error: BaseException | None) -> None:
    """Clears the frames of a caught error: errors of jaxtyping and beartype and their frames hold each other."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def filled(annotation: Any, sizes: Mapping[str, int], within: tuple[Any, ...] = ()) -> Any:
    """The annotation with each declared name replaced by its size; `within` are the records around it."""
    annotation = underlying(annotation)
    if is_array_annotation(annotation):
        return _filled_array(annotation, sizes)
    if is_packed(annotation):
        return Packed[_filled_array(annotation.array, sizes)]
    if not mentions_tensors(annotation):
        return _SYMBOLIC.get(annotation) or modern(annotation) if is_known(annotation) else Any
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return Annotated[(filled(arguments[0], sizes, within), *arguments[1:])]
    if holds_unpacked(arguments):
        return annotation
    parts = tuple(part if part is Ellipsis else filled(part, sizes, within) for part in arguments)
    if origin in (Union, types.UnionType):
        return Union[parts]  # noqa: UP007  # of a tuple
    if origin is tuple and Ellipsis not in parts:
        return tuple[parts]
    match container_kind(origin, len(parts) - parts.count(Ellipsis)):
        case "items":
            return Annotated[origin, _validator(lambda items: _all(items, parts[0]))]
        case "mapping":
            fits = _validator(lambda table: _all(table.keys(), parts[0]) and _all(table.values(), parts[1]))
            return Annotated[origin, fits]
        case "opaque":
            return origin
        case _:
            return _filled_record(annotation, sizes, within)


def _filled_record(annotation: Any, sizes: Mapping[str, int], within: tuple[Any, ...]) -> Any:
    if annotation in within:  # a record that contains its own class: the inner one is checked by its class alone
        return annotation
    around = (*within, annotation)
    fields = {name: filled(hint, sizes, around) for name, hint in record_fields(annotation).items()}
    if not fields:
        return annotation
    has_keys = typing.is_typeddict(annotation)
    part: Any = collections.abc.Mapping.get if has_keys else getattr
    fits = _validator(lambda record: all(is_bearable(part(record, name), hint) for name, hint in fields.items()))
    return Annotated[collections.abc.Mapping[Any, Any] if has_keys else annotation, fits]


def _validator(fits: Callable[[Any], bool]) -> Any:
    """A function as a validator for beartype, with a name of its own: beartype takes hints with equal reprs for the same."""
    fits.__name__ = fits.__qualname__ = f"fits_{next(_numbers)}"
    return Is[fits]


def _all(items: Any, hint: Any) -> bool:
    """Returns True if each item fits. Items of an iterator are not read, since that would use them up."""
    is_collection = isinstance(items, collections.abc.Collection)
    return not is_collection or all(is_bearable(item, hint) for item in items)


def _filled_array(annotation: Any, sizes: Mapping[str, int]) -> Any:
    text = " ".join(_filled_axis(axis, sizes) for axis in parse_axes(annotation.dim_str))
    if text == annotation.dim_str:
        return annotation
    dtype: Any = annotation.dtype
    if dtype.dtypes != annotation.dtypes:  # an annotation extended by another: both limit the dtypes
        name = f"{dtype.__name__}_{next(_numbers)}"  # beartype takes hints with equal reprs for the same
        dtype = type(name, (jaxtyping.AbstractDtype,), {"dtypes": annotation.dtypes})
    return dtype[annotation.array_type, text]


def _filled_axis(axis: Axis, sizes: Mapping[str, int]) -> str:
    if axis.kind is Kind.NAME and not axis.many and not axis.by_path and axis.name in sizes:
        return f"{'#' if axis.broadcast else ''}{axis.name}={sizes[axis.name]}"
    if axis.kind is Kind.EXPRESSION:

        def fill(match: re.Match[str]) -> str:
            return str(sizes.get(match[0], match[0]))

        return f"{'#' if axis.broadcast else ''}{_WORD_OR_PLACEHOLDER.sub(fill, axis.name)}"
    return axis.text


def _stand_in(signature: Signature, shape: inspect.Signature) -> Callable[..., Any]:
    """A function that does nothing, with this signature, checked by jaxtyping and beartype."""

    def stand_in(*_arguments: Any, **keywords: Any) -> Any:
        return keywords.get(_RESULT)

    stand_in.__signature__ = shape  # type: ignore[attr-defined]  # what inspect.signature reads
    stand_in.__module__ = signature.function.__module__
    stand_in.__qualname__ = signature.where
    return jaxtyped(stand_in, typechecker=beartype)
