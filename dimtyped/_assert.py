"""`assert_dims`: a check in a function's body that shares the names of the typed call around it.

A check is written once for each annotation, as a parameter's is. It reads the names that the call has bound from the
dictionary that `_sharing` tells of, and writes those that it binds itself there.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import linecache
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

import torch
from jaxtyping import Shaped

from dimtyped import _config, _diagnosis, _fast, _running, _sharing
from dimtyped._axes import Axis, Kind, annotation_text, is_array_annotation, names_in
from dimtyped._bearable import is_known
from dimtyped._conditions import Known, Writer, count_uses
from dimtyped._describe import Seen, describe, look, seen
from dimtyped._entry import Entry, ambiguous
from dimtyped._errors import DeclarationError, DimensionError
from dimtyped._fast import HELPERS, PREFIX
from dimtyped._hints import (
    AnythingHint,
    ArrayHint,
    Hint,
    Inexpressible,
    ItemsHint,
    MappingHint,
    RecordHint,
    TupleHint,
    UnionHint,
    arrays_in,
    read_hint,
)
from dimtyped._mismatch import Findings
from dimtyped._signature import Flavour, Parameter, Signature, free_names
from dimtyped._tracing import at_trace_time, end_trace, is_tracing, untraced

_getframe, _VARIABLE, _LENDER, _bodies = sys._getframe, _sharing.VARIABLE, _sharing.LENDER, _sharing.bodies  # hot
_T = TypeVar("_T")
_Names: TypeAlias = dict[str, Any]
_Check: TypeAlias = Callable[[Any, _Names, types.FrameType | None], bool]
_KEPT = 512  # annotations known by identity: those written inside a function are new objects at each call
_LONGEST = 40  # characters of an expression in an error
_numbers = itertools.count()
_known: dict[Any, _Check] = {}
_checks: dict[Any, _Check] = {}
_traced = types.SimpleNamespace()
_names: dict[Any, str] = {}
_is_off = False
_by_reference = False


def assert_dims(x: _T, annotation: Any, /) -> _T:
    """Checks a value in a function's body, as a parameter with this annotation would be, and returns it.

    In the body of a function that `typed` checks, the names mean what they mean in that call, those that a module
    declares included; a name that nothing has bound yet is bound here, and holds for later checks of the call and for
    its result. Anywhere else the annotation stands alone, and so it does in compiled code, where names of the call
    around are not compared. With checks off, `x` comes back at once.

    jaxtyping takes 6 us to make an annotation: where a body runs often, give it a name outside.

    Args:
        x: What to check.
        annotation: What it must be: any annotation that `typed` takes for a parameter.

    Raises:
        DimensionError: `x` does not fit.
        DeclarationError: `annotation` is none, or uses a name in an expression that has no size.

    Example:
        >>> import torch
        >>> from dimtyped import typed
        >>> from jaxtyping import Float, Int
        >>> from torch import Tensor
        >>> @typed
        ... def best(q: Float[Tensor, "query head"], k: Float[Tensor, "key head"]) -> Int[Tensor, "query"]:
        ...     scores = assert_dims(q @ k.mT, Float[Tensor, "query key"])
        ...     return scores.argmax(1)
        >>> best(torch.ones(3, 4), torch.ones(5, 4)).shape
        torch.Size([3])
    """
    if _is_off:
        return x
    if is_tracing():
        return _assert_traced(x, annotation)
    try:
        outer: types.FrameType | None = _getframe(2)
        names = outer.f_locals[_VARIABLE] if outer.f_code.co_name == _LENDER else None
    except ValueError:  # called from no function
        names = None
    if names is None:
        frame = _getframe(1)
        outer = _sharing.wrapper_around(frame) if id(frame.f_code) in _bodies else None
        names = {} if outer is None else outer.f_locals[_VARIABLE]
    try:
        check = _known[annotation]
    except (KeyError, TypeError):  # one that has no hash is refused there
        check = _check_of(annotation)
    if check(x, names, outer):
        return x
    return _refuse(x, annotation, names, _getframe(1), outer)


_CODE = assert_dims.__code__


def _follow_mode() -> None:
    global _is_off, _by_reference
    _is_off = _config.mode() == "off"
    _by_reference = _config.mode() == "reference"
    _known.clear()


_follow_mode()
_config.on_change(_follow_mode)


# Checks ---------------------------------------------------------------------------------------------------------------


def _check_of(annotation: Any) -> _Check:
    """The check of an annotation, the same for all annotations that say the same."""
    if not isinstance(annotation, Hashable):
        _read(annotation)
    key = (_by_reference, _key(annotation))
    if key not in _checks:
        hint = _read(annotation)
        _checks[key] = _ReferenceCheck(annotation, hint) if _by_reference or hint is None else _write(hint)
    if len(_known) >= _KEPT:
        _known.clear()
    _known[annotation] = _checks[key]
    return _checks[key]


def _key(annotation: Any) -> Any:
    """What an annotation says: jaxtyping makes a new class each time, equal to no other."""
    if is_array_annotation(annotation):
        return (annotation.dtype, annotation.array_type, annotation.dim_str, tuple(annotation.dtypes))
    origin = typing.get_origin(annotation)
    if origin is None or origin is typing.Literal:
        return (type(annotation), annotation)
    parts = typing.get_args(annotation)
    return (origin, *(tuple(map(_key, part)) if isinstance(part, list) else _key(part) for part in parts))


def _read(annotation: Any) -> Hint | None:
    """The annotation as data, None where only jaxtyping and beartype can decide.

    Raises:
        DeclarationError: it is no annotation.
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


def _write(hint: Hint) -> _Check:
    """The check of one hint as code: a function of the value, the names known, and the wrapper's frame."""
    arrays = arrays_in(hint)
    runs = {axis.name for array in arrays for axis in array.axes if axis.many and axis.name}
    writer = Writer(PREFIX, count_uses((hint,))[0], frozenset(runs), keep_all=True)
    names = [name for name in dict.fromkeys(n for a in arrays for n in free_names(a)) if name not in runs]
    for name in names:
        writer.names.sizes[name] = _found(writer, name)
    for name in sorted(runs):
        writer.names.runs[name] = _found(writer, f"*{name}")
    for head in {path.partition(".")[0].strip() for array in arrays for axis in array.axes for path in _paths(axis)}:
        writer.filled[head] = f"{PREFIX}parameter({PREFIX}names, {PREFIX}frame, {head!r})"
    writer.check(hint, f"{PREFIX}value", ("return False",))
    for name, known in (*writer.names.sizes.items(), *((f"*{run}", k) for run, k in writer.names.runs.items())):
        is_new = "" if known.source == writer.variable(name) else f"if {writer.variable(name)} is None: "
        writer.write(f"{is_new if name in names else ''}{PREFIX}names[{name!r}] = {known.source}")
    writer.write("return True")
    return _compiled(writer)


def _found(writer: Writer, name: str) -> Known:
    variable = writer.variable(name)
    writer.write(f"{variable} = {PREFIX}names.get({name!r})")
    return Known(variable, maybe=True)


def _compiled(writer: Writer) -> _Check:
    source = "\n".join((f"def {PREFIX}fits({PREFIX}value, {PREFIX}names, {PREFIX}frame):", *writer.lines, ""))
    name = f"<dimtyped assert_dims {next(_numbers)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {**HELPERS, **_HELPERS, **writer.constants}
    exec(compile(source, name, "exec"), namespace)
    return namespace[f"{PREFIX}fits"]


def _paths(axis: Axis) -> list[str]:
    return re.findall(r"\{(.*?)\}", axis.name) if axis.kind is Kind.EXPRESSION else []


def parameter(names: _Names, frame: types.FrameType | None, name: str) -> Any:
    """What `{name}` reads: a parameter of the typed call around."""
    try:
        return _parameters(names, frame)[name]
    except KeyError:
        raise DeclarationError(f"`{{{name}}}` names no parameter of a typed function around assert_dims") from None


def _parameters(names: _Names, frame: types.FrameType | None) -> dict[str, Any]:
    """What the typed call around was given."""
    entry: Entry | None = names.get(_sharing.ENTRY)
    return entry.given(_sharing.values_in(names, frame)) if entry is not None else {}


def unevaluable(_: None, error: Exception) -> DeclarationError:
    """What an axis's expression raised, as a wrong declaration."""
    return _fast.unevaluable("assert_dims", error)


_HELPERS: dict[str, Any] = {
    f"{PREFIX}parameter": parameter,
    f"{PREFIX}unevaluable": unevaluable,
    f"{PREFIX}entry": None,
}


# The reference engine -------------------------------------------------------------------------------------------------


class _ReferenceCheck:
    """The same check by jaxtyping and beartype, with the sizes known in the annotation's place of their names."""

    def __init__(self, annotation: Any, hint: Hint | None) -> None:
        self._annotation = annotation
        self._hint = hint

    def __call__(self, value: Any, names: _Names, frame: types.FrameType | None) -> bool:
        known = {name: size for name, size in _sharing.sizes_in(names).items() if size is not None}
        parameters = _parameters(names, frame)
        if not self._accepts(value, known, parameters):
            return False
        if self._hint is not None:
            findings = Findings(paths=parameters)
            findings.learn(known, "")
            findings.check(self._hint, look(value), "value")
            names.update(findings.names)
        return True

    def _accepts(self, value: Any, known: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
        from dimtyped._reference import ReferenceCheck  # noqa: PLC0415  # beartype: see _bearable

        runs = [_carrier(name, size) for name, size in known.items() if name.startswith("*")]
        hints = {f"run_{index}": hint for index, (hint, _) in enumerate(runs)} | {"value": self._annotation}
        sizes = {name: size for name, size in known.items() if not name.startswith("*")}
        sizes |= {f"{{{path}}}": _read_path(parameters, path) for path in self._placeholders}
        check = ReferenceCheck(_signature_of(hints), sizes)
        return check.accepts((*(tensor for _, tensor in runs), value), {})

    @property
    def _placeholders(self) -> set[str]:
        arrays = arrays_in(self._hint) if self._hint is not None else ()
        return {path for array in arrays for axis in array.axes for path in _paths(axis)}


def _carrier(name: str, size: tuple[bool, Any]) -> tuple[Any, torch.Tensor]:
    """What tells jaxtyping of a run of axes: an annotation, and a tensor that has it."""
    is_broadcast, shape = size
    annotation = Shaped[torch.Tensor, f"*{'#' if is_broadcast else ''}{name[1:]}"]
    return annotation, torch.empty(tuple(shape), device="meta")


def _signature_of(hints: Mapping[str, Any]) -> Signature:
    kind, empty, nothing = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty, AnythingHint(Any)
    parameters = tuple(Parameter(name, kind, empty, hint, nothing) for name, hint in hints.items())
    return Signature(assert_dims, "assert_dims", Flavour.PLAIN, parameters, nothing, Any, expressible=False)


def _read_path(parameters: Mapping[str, Any], path: str) -> Any:
    head, *rest = path.strip().split(".")
    if head not in parameters:
        raise DeclarationError(f"`{{{path}}}` names no parameter of a typed function around assert_dims")
    return functools.reduce(getattr, rest, parameters[head])


# Inside a trace -------------------------------------------------------------------------------------------------------


def _assert_traced(x: _T, annotation: Any) -> _T:
    """The check alone: a trace has no frames in which the call around could be found."""
    if getattr(_traced, _prepare_traced(annotation))(x, {}, None):
        return x
    raise _explain_traced(annotation, describe(x))


@at_trace_time
def _prepare_traced(annotation: Any) -> str:
    """The attribute of `_traced` that holds the check."""
    key = _key(annotation)
    if key not in _names:
        hint = _read(annotation)
        if hint is None:
            reason = (
                f"assert_dims: jaxtyping and beartype check {annotation_text(annotation)}, which no trace can follow"
            )
            check: _Check = untraced(_ReferenceCheck(annotation, None).__call__, reason)
        else:
            check = _write(_alone(hint))
        _names[key] = f"check_{len(_names)}"
        setattr(_traced, _names[key], check)
    return _names[key]


@at_trace_time
def _explain_traced(annotation: Any, described: tuple[Any, ...]) -> DimensionError:
    where = next((code.co_qualname for code, _, _ in _running.traced_frames() if code is not _CODE), "")
    return end_trace(_error(_alone(read_hint(annotation)), annotation, seen(described), Findings(), where, "x"))


def _alone(hint: Hint) -> Hint:
    """The hint without what only the call around can tell: expressions over names that it does not bind itself."""
    match hint:
        case ArrayHint(axes=axes):
            return dataclasses.replace(hint, axes=tuple(_alone_axes(axes)))
        case UnionHint(options=options):
            return dataclasses.replace(hint, options=tuple(map(_alone, options)))
        case TupleHint(items=items):
            return dataclasses.replace(hint, items=tuple(map(_alone, items)))
        case ItemsHint(item=item):
            return dataclasses.replace(hint, item=_alone(item))
        case MappingHint(key=key, value=value):
            return dataclasses.replace(hint, key=_alone(key), value=_alone(value))
        case RecordHint(fields=fields):
            return dataclasses.replace(hint, fields=tuple((name, _alone(field)) for name, field in fields))
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


# Refusing -------------------------------------------------------------------------------------------------------------


def _refuse(x: _T, annotation: Any, names: _Names, frame: types.FrameType, outer: types.FrameType | None) -> _T:
    """Raises the error for a value that does not fit; gives back one that torch.fx traces."""
    if _holds_proxy(x):
        return x
    hint = _read(annotation)
    entry: Entry | None = names.get(_sharing.ENTRY)
    findings = Findings()
    if entry is not None:
        values = _sharing.values_in(names, outer)
        _reject_ambiguous(entry, hint, names, values)
        if entry.read_again(values, names) and _check_of(annotation)(x, names, outer):
            return x
        findings = entry.findings_of(values)
    findings.learn(_sharing.sizes_in(names), "bound by an assert_dims before")
    where = entry.signature.where if entry is not None else frame.f_code.co_qualname.rpartition("<locals>.")[2]
    raise _error(hint, annotation, look(x), findings, where, _expression(frame))


def _error(
    hint: Hint | None, annotation: Any, value: Seen, findings: Findings, where: str, place: str
) -> DimensionError:
    where = where.removesuffix("<module>")
    title = f"assert_dims in {where}" if where else "assert_dims"
    if hint is not None:
        findings.check(hint, value, place)
    if findings.mismatches:
        error = _diagnosis.build_error(findings, title, {})
    else:
        error = _diagnosis.unexplained(title, place, annotation)
    error.where, error.argument = where, place
    return error


def _reject_ambiguous(entry: Entry, hint: Hint | None, names: _Names, values: Mapping[str, Any]) -> None:
    used = [name for array in (arrays_in(hint) if hint is not None else ()) for name in free_names(array)]
    name = next((name for name in used if names.get(name) is _sharing.AMBIGUOUS), None)
    if name is not None:
        raise ambiguous(entry, next(iter(values.values())), name)


def _holds_proxy(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_holds_proxy, value))
    return isinstance(value, torch.fx.Proxy)


def _expression(frame: types.FrameType) -> str:
    """What the call's first argument reads in the source: `scores`."""
    positions = inspect.getframeinfo(frame).positions
    if positions is None or positions.lineno is None or positions.end_lineno is None:
        return "x"
    lines = [linecache.getline(frame.f_code.co_filename, n) for n in range(positions.lineno, positions.end_lineno + 1)]
    whole = "".join(lines).encode()
    last = len("".join(lines[:-1]).encode()) + (positions.end_col_offset or 0)
    try:
        call: Any = ast.parse(textwrap.dedent(whole[positions.col_offset : last].decode()), mode="eval").body
        text = ast.unparse(call.args[0])
    except (SyntaxError, AttributeError, IndexError):  # no source, or one that has changed
        return "x"
    return text if len(text) <= _LONGEST else "x"
