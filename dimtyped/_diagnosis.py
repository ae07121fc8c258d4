"""A failed call as an explanation: which argument, every mismatch, each name with its size and origin, the mend."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from dimtyped._axes import Kind, annotation_text
from dimtyped._describe import Seen, shape_text
from dimtyped._errors import DimensionError
from dimtyped._hints import ArrayHint, Hint, arrays_in
from dimtyped._mends import mend
from dimtyped._mismatch import Binding, Findings, Mismatch, size_text
from dimtyped._scope import Scope, owner_text
from dimtyped._signature import Signature, free_names

_SHOWN = 4  # mismatches told in full


def find_mismatches(
    signature: Signature, declared: Mapping[str, Binding], values: Mapping[str, Seen], result: Seen | None, paths: Any
) -> Findings:
    """Checks a call again over descriptions of its values; `paths` gives what `{self.width}` reads."""
    findings = Findings(bindings=dict(declared), paths=paths)
    for parameter in signature.parameters:
        value = values.get(parameter.name)
        if value is None:
            continue
        if parameter.kind.name in ("VAR_POSITIONAL", "VAR_KEYWORD"):
            for key, item in value.items or ():
                findings.check(parameter.hint, item, f"{parameter.name}[{key!r}]")
        else:
            findings.check(parameter.hint, value, parameter.name)
    if result is not None:
        findings.check(signature.result, result, "return")
    return findings


def declared_names(signature: Signature, owner: Any, scope: Scope | None) -> dict[str, Binding]:
    """The names that have their size before the call, each with the words for who declares it."""
    found = {name: Binding(size, "fixed by typed(dims=...)") for name, size in signature.fixed.items()}
    for name, attribute in signature.attributes.items():
        if owner is not None:
            found[name] = Binding(int(getattr(owner, attribute)), f"declared by {' '.join(repr(owner).split())}")
    if scope is not None and owner is not None:
        for name, size in scope.names.items():
            claims = scope.owners_of(name)
            best = next((claim for claim in claims if "=" not in claim.owner), claims[0])
            found.setdefault(name, Binding(size, f"declared by {owner_text(owner, best)}"))
    return found


def build_error(
    signature: Signature, findings: Findings, where: str, kind: type[DimensionError] = DimensionError
) -> DimensionError:
    """The error for a call's findings, its text and its data."""
    first = findings.mismatches[0]
    hint = mend(findings)
    error = kind(_text(findings, where, hint))
    error.where = where
    error.argument = first.place.partition("[")[0].partition(".")[0]
    error.dim = first.dim
    error.expected, error.actual = _plain(first.expected), _plain(first.actual)
    error.bindings = {name: binding.size for name, binding in findings.bindings.items()} | {
        f"*{name}": binding.size[1] for name, binding in findings.runs.items()
    }
    error.hint = hint
    return error


def unexplained(where: str, stage: str) -> DimensionError:
    """The error where the second check finds nothing: the values changed between the two, or hold no shapes."""
    error = DimensionError(
        f"{where}: {'the result' if stage == 'return' else 'an argument'} does not fit its annotation"
    )
    error.where, error.argument = where, "return" if stage == "return" else ""
    return error


# Text -----------------------------------------------------------------------------------------------------------------


def _text(findings: Findings, where: str, hint: str) -> str:
    mismatches = findings.mismatches
    places = list(dict.fromkeys(mismatch.place for mismatch in mismatches))
    lines = [f"{where}: {_subject(places[0])} does not fit: {_problems(mismatches, places[0])}", ""]
    for place in places[:_SHOWN]:
        lines += _place_lines(findings, place, is_first=place == places[0])
    if len(places) > _SHOWN:
        lines.append(f"    and {len(places) - _SHOWN} more")
    lines += _origin_lines(findings)
    if hint:
        lines += ["", f"  {hint}"]
    return "\n".join(lines)


def _subject(place: str) -> str:
    return "the result" if place == "return" else f"argument `{place}`"


def _problems(mismatches: list[Mismatch], place: str) -> str:
    return "; ".join(_problem(mismatch) for mismatch in mismatches if mismatch.place == place)


def _problem(mismatch: Mismatch) -> str:
    match mismatch.kind:
        case "type":
            return f"it is {_type_text(mismatch.value)}, must be {_must_be(mismatch)}"
        case "dtype":
            return f"its dtype is {_dtype_text(mismatch.actual)}, must be {_dtype_words(mismatch)}"
        case "rank":
            axes = "axis" if mismatch.actual == 1 else "axes"
            least = "at least " if isinstance(mismatch.hint, ArrayHint) and mismatch.hint.variadic is not None else ""
            return f"it has {mismatch.actual} {axes}, must have {least}{mismatch.expected}"
        case _:
            dim = mismatch.dim if not mismatch.dim.isdigit() else f"axis {mismatch.axis}"
            return f"{dim} is {size_text(mismatch.actual)}, must be {size_text(mismatch.expected)}"


def _type_text(value: Seen) -> str:
    if value.is_tensor:
        return f"a {value.cls.__name__}"
    return str(value) if value.text else f"a {value.cls.__name__}"


def _must_be(mismatch: Mismatch) -> str:
    return annotation_text(mismatch.expected)


def _dtype_text(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _dtype_words(mismatch: Mismatch) -> str:
    hint = mismatch.hint
    if isinstance(hint, ArrayHint) and hint.dtypes is not None and len(hint.dtypes) <= 3:
        return " or ".join(sorted(_dtype_text(dtype) for dtype in hint.dtypes))
    return f"one of {mismatch.expected}"


def _place_lines(findings: Findings, place: str, *, is_first: bool) -> Iterator[str]:
    mismatches = [mismatch for mismatch in findings.mismatches if mismatch.place == place]
    first = mismatches[0]
    width = max(8, len(place))
    if not is_first:
        yield f"    {place}: {_problems(findings.mismatches, place)}"
    yield f"    {place:<{width}} {annotation_text(first.hint.annotation)}"
    yield f"    {'got':<{width}} {first.value}"
    carets = _carets(mismatches)
    if carets:
        yield f"    {'':<{width}} {carets}"


def _carets(mismatches: list[Mismatch]) -> str:
    """Carets below the sizes that do not fit, and what they must be."""
    value = mismatches[0].value
    wrong = {m.axis: m for m in mismatches if m.kind == "size" and m.axis is not None}
    if not wrong or value.shape is None:
        return ""
    text = f"{_dtype_text(value.dtype)} ("
    line = " " * len(text)
    for index, size in enumerate(value.shape):
        line += ("^" if index in wrong else " ") * len(str(size)) + "  "
    wanted = ", ".join(f"{m.dim} = {size_text(m.expected)}" for m in wrong.values() if not m.dim.isdigit())
    return f"{line.rstrip()} {wanted}".rstrip()


def _origin_lines(findings: Findings) -> Iterator[str]:
    """Each name involved with its size and who gave it."""
    rows = [
        (name, size_text(binding.size), _origin(binding))
        for name, binding in findings.bindings.items()
        if name in _involved(findings)
    ]
    rows += [
        (f"*{name}", size_text(binding.size[1]), _origin(binding))
        for name, binding in findings.runs.items()
        if f"*{name}" in _involved(findings)
    ]
    if not rows:
        return
    name_width = max(len(name) for name, _, _ in rows)
    size_width = max(len(size) for _, size, _ in rows)
    for name, size, origin in rows:
        yield f"    {name:<{name_width}} = {size:<{size_width}}  {origin}"


def _involved(findings: Findings) -> set[str]:
    names: set[str] = set()
    for mismatch in findings.mismatches:
        for array in arrays_in(mismatch.hint):
            names.update(free_names(array))
            names.update(f"*{axis.name}" for axis in array.axes if axis.many and axis.kind is Kind.NAME)
    return names


def names_of(hint: Hint) -> tuple[str, ...]:
    """Every name that the tensor annotations of a hint use."""
    return tuple(name for array in arrays_in(hint) for name in free_names(array))


def _origin(binding: Binding) -> str:
    if binding.is_declared or binding.value is None:
        return binding.place
    return f"from {'the result' if binding.place == 'return' else f'`{binding.place}`'} {shape_text(binding.value.shape or ())}"


def _plain(value: Any) -> Any:
    """Data that pickles and prints: no class objects of jaxtyping's making."""
    if isinstance(value, bool | int | str | tuple) or value is None:
        return value
    if isinstance(value, torch.dtype):
        return _dtype_text(value)
    return annotation_text(value) if isinstance(value, type) else str(value)


# Where ----------------------------------------------------------------------------------------------------------------


def layer_path(layer: torch.nn.Module, method: str = "forward") -> str:
    """The layer's path from the outermost module that is running: `Seq2Seq.decoder.gru`."""
    for root in _running_modules():
        if root is layer:
            break
        for name, module in root.named_modules():
            if module is layer:
                return f"{type(root).__name__}.{name}"
    return f"{type(layer).__name__}.{method}"


def _running_modules() -> Iterator[torch.nn.Module]:
    """The modules whose methods are on the stack, outermost first."""
    found: list[torch.nn.Module] = []
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        first = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount and code.co_varnames else None
        if isinstance(first, torch.nn.Module):
            found.append(getattr(first, "_orig_mod", first))
        frame = frame.f_back
    return reversed(found)
