"""The checks of `assert_dims`: one annotation as a function, by either engine.

It takes the value, the names of the enclosing call (see `call_names`) and the frame of the wrapper. It returns True if
the value fits, and then stores the names that it has bound.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, cast

import torch
from jaxtyping import Shaped

from dimtyped import diagnosis
from dimtyped.annotations import (
    AnythingHint,
    ArrayHint,
    Axis,
    FunctionKind,
    Hint,
    Inexpressible,
    ItemsHint,
    Kind,
    MappingHint,
    Parameter,
    RecordHint,
    Signature,
    TupleHint,
    UnionHint,
    arrays_in,
    free_names,
    is_array_annotation,
    is_known,
    read_hint,
    unknown_names,
)
from dimtyped.engine.call_names import AMBIGUOUS, CHECKED, sizes_in, values_in
from dimtyped.engine.checked_function import CheckedFunction
from dimtyped.engine.codegen import CheckCodegen
from dimtyped.engine.compiler import run_source
from dimtyped.engine.helpers import HELPERS, evaluation_error
from dimtyped.engine.known_names import Known
from dimtyped.engine.name_uses import count_uses
from dimtyped.errors import DeclarationError
from dimtyped.names import names_in
from dimtyped.runtime import GENERATED, PREFIX, eagerly

Names: TypeAlias = dict[str, Any]
Check: TypeAlias = Callable[[Any, Names, types.FrameType | None], bool]
_LONGEST = 40  # characters shown of an object that is not an annotation
_numbers = itertools.count()


def key_of(annotation: Any) -> Any:
    """A key that is equal for equal annotations, for which jaxtyping makes a new class each time."""
    if is_array_annotation(annotation):
        return (annotation.dtype, annotation.array_type, annotation.dim_str, _hashable(annotation.dtypes))
    origin = typing.get_origin(annotation)
    if origin is None or origin is typing.Literal:
        return (type(annotation), annotation)
    parts = typing.get_args(annotation)
    return (origin, *(_hashable(part, key_of) for part in parts))


def _hashable(part: Any, key: Callable[[Any], Any] = lambda part: part) -> Any:
    return tuple(key(inner) for inner in cast("list[Any]", part)) if isinstance(part, list) else key(part)


def read(annotation: Any) -> Hint | None:
    """The annotation as data, or None if only jaxtyping and beartype can decide.

    Raises:
        DeclarationError: it is not an annotation.
    """
    if isinstance(annotation, str | torch.Tensor | torch.dtype) or not _is_hint(annotation):
        raise DeclarationError(
            f"assert_dims takes a value and its annotation, not {_short(annotation)} as the annotation\n"
            '  Write assert_dims(x, Float[Tensor, "batch seq"]).'
        )
    try:
        return read_hint(annotation)
    except Inexpressible:
        return None


def _is_hint(annotation: Any) -> bool:
    if annotation in (None, Any) or isinstance(annotation, type) or typing.get_origin(annotation) is not None:
        return True
    return is_known(annotation)


def _short(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def write(hint: Hint) -> Check:
    """The check of one hint as code: a function of the value, the names known, and the wrapper's frame."""
    arrays = arrays_in(hint)
    variadic = {axis.name for array in arrays for axis in array.axes if axis.many and axis.name}
    codegen = CheckCodegen(count_uses((hint,))[0], frozenset(variadic), keep_all=True)
    source, known = codegen.source, codegen.known
    names = [name for name in dict.fromkeys(n for a in arrays for n in free_names(a)) if name not in variadic]
    for name in names:
        known.current.sizes[name] = _found(codegen, name)
    for name in sorted(variadic):
        known.current.variadic[name] = _found(codegen, f"*{name}")
    for head in {path.partition(".")[0].strip() for array in arrays for axis in array.axes for path in _paths(axis)}:
        codegen.conditions.filled[head] = f"{PREFIX}parameter({PREFIX}names, {PREFIX}frame, {head!r})"
    codegen.check(hint, f"{PREFIX}value", ("return False",))
    bound = known.current
    for name, size in (*bound.sizes.items(), *((f"*{name}", sizes) for name, sizes in bound.variadic.items())):
        is_new = "" if size.source == known.variable(name) else f"if {known.variable(name)} is None: "
        source.write(f"{is_new if name in names else ''}{PREFIX}names[{name!r}] = {size.source}")
    source.write("return True")
    text = "\n".join((f"def {PREFIX}fits({PREFIX}value, {PREFIX}names, {PREFIX}frame):", *source.lines, ""))
    namespace = {**HELPERS, **_HELPERS, **source.constants}
    file = f"{GENERATED}assert_dims {next(_numbers)}>"
    return run_source(text, file, namespace, source.literals)[f"{PREFIX}fits"]


def _found(codegen: CheckCodegen, name: str) -> Known:
    variable = codegen.known.variable(name)
    codegen.source.write(f"{variable} = {PREFIX}names.get({name!r})")
    return Known(variable, optional=True)


def _paths(axis: Axis) -> list[str]:
    return re.findall(r"\{(.*?)\}", axis.name) if axis.kind is Kind.EXPRESSION else []


def parameter(names: Names, frame: types.FrameType | None, name: str) -> Any:
    """The value that `{name}` reads: the argument of that name in the enclosing typed call."""
    try:
        return _parameters(names, frame)[name]
    except KeyError:
        raise DeclarationError(f"`{{{name}}}` is not a parameter of a typed function around assert_dims") from None


def _parameters(names: Names, frame: types.FrameType | None) -> dict[str, Any]:
    """The arguments of the enclosing typed call."""
    checked: CheckedFunction | None = names.get(CHECKED)
    return checked.declaration.paths(tuple(values_in(names, frame).values())) if checked is not None else {}


def unevaluable(_: None, error: Exception) -> DeclarationError:
    """The DeclarationError for an exception that the expression of an axis raised."""
    return evaluation_error("assert_dims", error)


_HELPERS: dict[str, Any] = {
    f"{PREFIX}parameter": parameter,
    f"{PREFIX}unevaluable": unevaluable,
    f"{PREFIX}checked": None,
}


# The reference engine -------------------------------------------------------------------------------------------------


class ByReference:
    """The check of one annotation by jaxtyping and beartype, with each known name replaced by its size."""

    def __init__(self, annotation: Any, hint: Hint | None) -> None:
        self._annotation = annotation
        self._hint = hint
        self._arrays = arrays_in(hint) if hint is not None else ()

    def __call__(self, value: Any, names: Names, frame: types.FrameType | None) -> bool:
        """Returns True if the value fits; binds the names that it is the first to use."""
        return eagerly(self._fits)(value, names, frame)

    def _fits(self, value: Any, names: Names, frame: types.FrameType | None) -> bool:
        if any(names.get(name) is AMBIGUOUS for name in self._names):
            return False
        known = {name: size for name, size in sizes_in(names).items() if size is not None}
        parameters = _parameters(names, frame)
        findings = diagnosis.Findings(paths=parameters)
        findings.learn(known, "")
        if self._hint is not None:
            findings.check(self._hint, diagnosis.snapshot(value), "value")
        if any(mismatch.kind == "extent" for mismatch in findings.mismatches):  # an expression that no size solves
            return False
        axes = [axis for array in self._arrays for axis in array.axes if axis.kind is Kind.EXPRESSION]
        open_names = [name for axis in axes for name in unknown_names(axis.name, known)]
        solved = {name: size for name, size in findings.names.items() if name in open_names}
        if not self._accepts(value, {**known, **solved}, parameters):
            return False
        names.update(findings.names if self._hint is not None else {})
        return True

    def _accepts(self, value: Any, known: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
        from dimtyped.engine.reference import ReferenceCheck  # noqa: PLC0415  # it imports beartype: see `beartype_compat`

        variadic = [_carrier(name, size) for name, size in known.items() if name.startswith("*")]
        hints = {f"variadic_{index}": hint for index, (hint, _) in enumerate(variadic)} | {"value": self._annotation}
        sizes = {name: size for name, size in known.items() if not name.startswith("*")}
        sizes |= {f"{{{path}}}": _read_path(parameters, path) for path in self._placeholders}
        check = ReferenceCheck(_signature_of(hints), sizes)
        return check.accepts((*(tensor for _, tensor in variadic), value), {})

    @property
    def _placeholders(self) -> set[str]:
        return {path for array in self._arrays for axis in array.axes for path in _paths(axis)}

    @property
    def _names(self) -> set[str]:
        return {name for array in self._arrays for name in free_names(array)}


def _carrier(name: str, size: tuple[bool, Any]) -> tuple[Any, torch.Tensor]:
    """An annotation of several axes and a tensor that fits it, from which jaxtyping learns their sizes."""
    is_broadcast, shape = size
    annotation = Shaped[torch.Tensor, f"*{'#' if is_broadcast else ''}{name[1:]}"]
    return annotation, torch.empty(tuple(shape), device="meta")


def _signature_of(hints: Mapping[str, Any]) -> Signature:
    kind, empty, nothing = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty, AnythingHint(Any)
    parameters = tuple(Parameter(name, kind, empty, hint, nothing) for name, hint in hints.items())
    return Signature(_signature_of, "assert_dims", FunctionKind.PLAIN, parameters, nothing, Any, expressible=False)


def _read_path(parameters: Mapping[str, Any], path: str) -> Any:
    head, *rest = path.strip().split(".")
    if head not in parameters:
        raise DeclarationError(f"`{{{path}}}` is not a parameter of a typed function around assert_dims")
    return functools.reduce(getattr, rest, parameters[head])


def alone(hint: Hint) -> Hint:
    """The hint without the expressions that need names of the enclosing call."""
    match hint:
        case ArrayHint(axes=axes):
            return dataclasses.replace(hint, axes=tuple(_alone_axes(axes)))
        case UnionHint(options=options):
            return dataclasses.replace(hint, options=tuple(map(alone, options)))
        case TupleHint(items=items):
            return dataclasses.replace(hint, items=tuple(map(alone, items)))
        case ItemsHint(item=item):
            return dataclasses.replace(hint, item=alone(item))
        case MappingHint(key=key, value=value):
            return dataclasses.replace(hint, key=alone(key), value=alone(value))
        case RecordHint(fields=fields):
            return dataclasses.replace(hint, fields=tuple((name, alone(field)) for name, field in fields))
        case _:
            return hint


def _alone_axes(axes: tuple[Axis, ...]) -> Iterator[Axis]:
    known: set[str] = set()
    for axis in axes:
        if axis.kind is Kind.EXPRESSION and (_paths(axis) or not known.issuperset(names_in(axis.name))):
            yield Axis(Kind.ANY, axis.text)
            continue
        if axis.kind is Kind.NAME and not axis.many and not axis.broadcast:
            known.add(axis.name)
        yield axis
