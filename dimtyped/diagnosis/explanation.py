"""A failed call as an explanation: which argument, every mismatch, each name with its size and origin, the fix."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from dimtyped.annotations import Signature, annotation_text, names_of, size_at
from dimtyped.diagnosis import fixes  # its names are imported when a call has failed
from dimtyped.diagnosis.enclosing_calls import EnclosingCall, calls_around
from dimtyped.diagnosis.mismatch import Binding, Call, Findings
from dimtyped.diagnosis.snapshots import Snapshot, array_text
from dimtyped.diagnosis.text import Report, dtype_text
from dimtyped.errors import (
    DimensionAssertionError,
    DimensionError,
    DimensionIndexError,
    DimensionNotImplementedError,
    DimensionValueError,
)
from dimtyped.names import Claim, Scope, is_scope, labels_of, owner_text, scope_of, short_text
from dimtyped.runtime import is_run_by_trace, parent_of, path_of, root_of, user_line

if TYPE_CHECKING:
    from dimtyped.diagnosis.fixes import Fix

_T = TypeVar("_T")
_SMALL = 16  # a size below it may equal another one by chance
_SHOWN = 5  # values shown if the annotations alone do not say what is wrong
_CALLS = 3  # enclosing typed calls that are examined
_KINDS = (
    DimensionError,
    DimensionValueError,
    DimensionIndexError,
    DimensionAssertionError,
    DimensionNotImplementedError,
)


def find_mismatches(
    signature: Signature,
    declared: Mapping[str, Binding],
    values: Mapping[str, Snapshot],
    result: Snapshot | None,
    paths: Mapping[str, Any],
    owner: Any = None,
    shared: Mapping[str, Any] | None = None,
) -> Findings:
    """Checks a call again over descriptions of its values; `paths` gives the values that `{self.width}` reads."""
    return Call(signature, declared, values, result, paths, owner, shared or {}).check()


def declared_names(signature: Signature, owner: Any, where: str, scope: Scope | None) -> dict[str, Binding]:
    """The names that have a size before the call, each with the text that says who declares it."""
    layer = "" if where.endswith(".forward") else f"{where}: "
    found = {name: Binding(size, "fixed by typed(dims=...)") for name, size in signature.fixed.items()}
    for name, path in signature.attributes.items():
        if owner is not None:
            found[name] = Binding(size_at(owner, path), f"declared by {layer}{short_text(owner)}")
    if scope is not None and owner is not None:
        for name, size in scope.names.items():
            claims = scope.owners_of(name)
            best = next((claim for claim in claims if "=" not in claim.owner), claims[0])
            found.setdefault(name, Binding(size, f"declared by {owner_text(owner, best)}"))
    return found


def build_error(
    findings: Findings,
    where: str,
    labels: Mapping[str, str],
    kind: type[DimensionError] = DimensionError,
    notes: tuple[str, ...] = (),
) -> DimensionError:
    """The error for the findings of a call, with its text and its data.

    `labels` are the user's words for a layer's names, `notes` are further lines about the wrong values.
    """
    first = findings.mismatches[0]
    around = _unless_it_fails(lambda: _around(findings), [])
    fix = _unless_it_fails(lambda: find_fix(findings, labels, around), None)
    hint = fix.text if fix is not None else ""
    surroundings = _unless_it_fails(lambda: _surroundings(findings, where, fix, around), {"notes": ()})
    surroundings["notes"] = (*notes, *surroundings["notes"])
    report = Report(where, findings, labels, hint, **surroundings)
    error = kind(str(report))
    error.where = where
    error.argument = first.place.partition("[")[0].partition(".")[0]
    dim = first.dim if first.dim.startswith("*") else labels.get(first.dim, first.dim)
    error.dim = report.axes(first.hint) if first.kind == "rank" else dim
    error.expected = report.wanted(first) if first.kind in ("type", "dtype") else _plain(first.expected)
    error.actual = _plain(first.actual)
    sizes = {labels.get(name, name): binding.size for name, binding in findings.bindings.items()}
    error.bindings = sizes | {f"*{name}": tuple(binding.size[1]) for name, binding in findings.runs.items()}
    error.hint = hint
    return error


def kind_of(error: Exception) -> type[DimensionError]:
    """The DimensionError subclass that `except` clauses for torch's error still catch."""
    return next((kind for kind in _KINDS if issubclass(kind, type(error))), DimensionError)


def find_fix(findings: Findings, labels: Mapping[str, str], around: Sequence[EnclosingCall] = ()) -> Fix | None:
    """The fix for a failed call, or None if the pattern is not known."""
    call = findings.call
    if call is None:
        return None
    outer = {name: size for call_around in reversed(around) for name, size in call_around.sizes.items()}
    meaning = next((claim.name for _, claim in _meanings(findings, around)), "") or next(
        (name for name, _ in _both_directions(findings, around)), ""
    )
    return fixes.fix_of(fixes.FixContext(call, findings, labels, root_of(call.owner), outer, meaning))


def _unless_it_fails(explain: Callable[[], _T], otherwise: _T) -> _T:
    """The result of `explain`, or `otherwise` if it raises: a failing explanation must not hide the error itself."""
    try:
        return explain()
    except Exception:  # noqa: BLE001  # it reads a user's own objects
        return otherwise


# The surroundings of the call -----------------------------------------------------------------------------------------


def _around(findings: Findings) -> list[EnclosingCall]:
    """The typed calls around the failed one, nearest first."""
    call = findings.call
    return list(itertools.islice(calls_around(call.signature), _CALLS)) if call is not None else []


def _surroundings(findings: Findings, where: str, fix: Fix | None, around: list[EnclosingCall]) -> dict[str, Any]:
    """The fields of the report that describe the surroundings of the call: path, notes, calls around, calling line."""
    owner = findings.call.owner if findings.call is not None else None
    path = path_of(owner) if isinstance(owner, torch.nn.Module) else ""
    notes = [*_identity(findings, around), *_likeness(findings, around)]
    if fix is None or fix.is_general:  # other fixes already say what the value is
        notes += _other_meanings(findings, around)
    outer = tuple(str(call) for call in around if call.sizes)
    line = None if is_run_by_trace() else user_line()
    called = str(line) if line is not None and line.source and not line.is_last else ""
    return {"path": path if path != where else "", "notes": tuple(notes), "around": outer, "called": called}


def _identity(findings: Findings, around: list[EnclosingCall]) -> Iterator[str]:
    """Notes the parameter of an enclosing call that was given the very same object as the wrong value."""
    wrong = findings.mismatches[0]
    for outer in around:
        parameter = outer.name_of(wrong.value.value)
        if parameter is not None and wrong.value.is_tensor:
            yield f"it is `{parameter.name}` of {outer.where}: {annotation_text(parameter.annotation)}"
            return


def _likeness(findings: Findings, around: list[EnclosingCall]) -> Iterator[str]:
    """Notes the names whose sizes a tensor of a wrong dtype has, if its annotation names no axes."""
    wrong = findings.mismatches[0]
    shape = wrong.value.shape or ()
    if wrong.kind != "dtype" or names_of(wrong.hint) or not shape or not around:
        return
    names: dict[Any, set[str]] = {}
    module = root_of(findings.call.owner if findings.call is not None else None)
    sizes = (
        [(claim.name, claim.size) for claim in (*scope_of(module).deciding, *scope_of(module).inherited)]
        if module
        else []
    )
    for name, size in (*sizes, *(item for call in around for item in call.sizes.items())):
        names.setdefault(size, set()).add(name)
    words = [min(names[size]) if size != 1 and len(names.get(size, ())) == 1 else str(size) for size in shape]
    if any(not word.isdigit() for word in words):
        yield f"its sizes are those of ({', '.join(words)})"


def _other_meanings(findings: Findings, around: Sequence[EnclosingCall]) -> Iterator[str]:
    """Notes other meanings of the wrong size: a product of two names, or the only name in the module around with this size."""
    yield from _products_but_one(findings, around)
    if (
        findings.call is not None and not findings.call.signature.attributes
    ):  # the names of a layer's own contract say little
        yield from _products(findings)
    for holder, claim in _meanings(findings, around):
        yield f"{claim.size} is {claim.name}, declared by {owner_text(holder, claim)}"
    for name, path in _both_directions(findings, around):
        yield f"{findings.mismatches[0].actual} is {name}: {path} is bidirectional"


def _products(findings: Findings) -> Iterator[str]:
    """Notes the product of two names of the call that equals the wrong size, if there is exactly one."""
    wrong = findings.mismatches[0]
    sizes = {name: binding.size for name, binding in findings.bindings.items() if isinstance(binding.size, int)}
    found = [
        f"{left}*{right}"
        for (left, a), (right, b) in itertools.combinations(sizes.items(), 2)
        if a > 1 and b > 1 and a * b == wrong.actual
    ]
    if wrong.kind == "size" and len(found) == 1 and found[0] != wrong.dim:
        yield f"{wrong.actual} is {found[0]}"


def _products_but_one(findings: Findings, around: Sequence[EnclosingCall]) -> Iterator[str]:
    """Notes that of the two sizes one is a product of two names, and the other lacks a step of it: `batch*(seq-1)`."""
    wrong = findings.mismatches[0]
    sizes = _sizes_of_calls(findings, around)
    if wrong.kind != "size" or not isinstance(wrong.actual, int) or not isinstance(wrong.expected, int):
        return
    larger, smaller = max(wrong.actual, wrong.expected), min(wrong.actual, wrong.expected)
    found = [
        f"{larger} is {left}*{right}, {smaller} is {left}*({right}-1)"
        for left, right in itertools.permutations(sizes, 2)
        if sizes[left] > 1 and sizes[left] * sizes[right] == larger and sizes[left] * (sizes[right] - 1) == smaller
    ]
    if len(found) == 1:
        yield found[0]


def _sizes_of_calls(findings: Findings, around: Sequence[EnclosingCall]) -> dict[str, int]:
    """The sizes of the names that the calls around and this one have bound; of a layer's own contract, none."""
    call = findings.call
    is_layers = call is not None and isinstance(call.owner, torch.nn.Module) and not is_scope(call.owner)
    own = {} if is_layers else {name: binding.size for name, binding in findings.bindings.items()}
    sizes = {name: size for outer in reversed(around) for name, size in outer.sizes.items()} | own
    return {name: size for name, size in sizes.items() if isinstance(size, int)}


def _both_directions(findings: Findings, around: Sequence[EnclosingCall]) -> Iterator[tuple[str, str]]:
    """The name of both directions' width and the layer's path, if exactly one bidirectional layer has the wrong size."""
    owner = findings.call.owner if findings.call is not None else None
    wrong = findings.mismatches[0]
    root = root_of(owner)
    if (
        not isinstance(owner, torch.nn.Module)
        or wrong.kind != "size"
        or root is None
        or any(_meanings(findings, around))
    ):
        return
    found = [
        (name, layer)
        for name, layer in root.named_modules()
        if isinstance(layer, torch.nn.RNNBase) and layer.bidirectional and layer is not owner
        if 2 * (layer.proj_size or layer.hidden_size) == wrong.actual
    ]
    if len(found) == 1:
        ((name, layer),) = found
        role = "proj" if layer.proj_size else "hidden"
        yield f"2*{labels_of(layer).get(role, role)}", f"{type(root).__name__}.{name}"


def _meanings(findings: Findings, around: Sequence[EnclosingCall]) -> Iterator[tuple[torch.nn.Module, Claim]]:
    """The owner of the only name that the wrong size can be: a size that a call has bound to a name is none of the module's."""
    owner = findings.call.owner if findings.call is not None else None
    wrong = findings.mismatches[0]
    if not isinstance(owner, torch.nn.Module) or wrong.kind != "size" or not isinstance(wrong.actual, int):
        return
    expected = findings.bindings.get(wrong.dim)
    if expected is not None and not expected.is_declared:  # two arguments disagree, whatever the module declares
        return
    holder = owner if is_scope(owner) else parent_of(owner)
    scope = scope_of(holder) if holder is not None else None
    claims = [claim for claim in scope.deciding if claim.size == wrong.actual] if scope is not None else []
    bound = _sizes_of_calls(findings, around).items()
    if not bound and wrong.actual < _SMALL:
        return
    if any(size == wrong.actual and name not in scope.names for name, size in bound if scope is not None):
        return
    if wrong.actual > 1 and len({claim.name for claim in claims}) == 1 and holder is not None:
        yield holder, next((claim for claim in claims if not claim.is_parameter), claims[0])


def unexplained(
    where: str, argument: str, annotation: Any = None, given: Mapping[str, tuple[Any, Any]] = MappingProxyType({})
) -> DimensionError:
    """The error if the second check finds nothing: only jaxtyping can decide, or the values have changed since.

    `argument` may be `"return"`, or empty if it is not known. `given` holds annotations and values by place.
    """
    subject = {"return": "the result", "": "an argument"}.get(argument, f"argument `{argument}`")
    wanted = "its annotation" if annotation is None else annotation_text(annotation)
    rows = [
        f"    {place:<8} {annotation_text(hint)}\n    {'got':<{max(8, len(place))}} {array_text(value)}"
        for place, (hint, value) in itertools.islice(given.items(), _SHOWN)
    ]
    error = DimensionError("\n".join((f"{where}: {subject} does not fit {wanted}", *([""] if rows else []), *rows)))
    error.where, error.argument = where, argument
    return error


def _plain(value: Any) -> Any:
    """A value as data that can be pickled and printed: text in place of jaxtyping's classes."""
    if isinstance(value, bool | int | str | tuple) or value is None:
        return value
    if isinstance(value, torch.dtype):
        return dtype_text(value)
    return annotation_text(value) if isinstance(value, type) else str(value)
