"""A failed call as an explanation: which argument, every mismatch, each name with its size and origin, the mend."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from dimtyped._axes import annotation_text
from dimtyped._describe import Seen
from dimtyped._errors import DimensionError
from dimtyped._hints import Hint, arrays_in
from dimtyped._mends import mend
from dimtyped._mismatch import Binding, Findings
from dimtyped._report import Report, dtype_text
from dimtyped._scope import Scope, owner_text, short_text
from dimtyped._signature import Signature, free_names


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


def declared_names(signature: Signature, owner: Any, where: str, scope: Scope | None) -> dict[str, Binding]:
    """The names that have their size before the call, each with the words for who declares it."""
    layer = "" if where.endswith(".forward") else f"{where}: "
    found = {name: Binding(size, "fixed by typed(dims=...)") for name, size in signature.fixed.items()}
    for name, attribute in signature.attributes.items():
        if owner is not None:
            found[name] = Binding(int(getattr(owner, attribute)), f"declared by {layer}{short_text(owner)}")
    if scope is not None and owner is not None:
        for name, size in scope.names.items():
            claims = scope.owners_of(name)
            best = next((claim for claim in claims if "=" not in claim.owner), claims[0])
            found.setdefault(name, Binding(size, f"declared by {owner_text(owner, best)}"))
    return found


def build_error(
    findings: Findings, where: str, labels: Mapping[str, str], kind: type[DimensionError] = DimensionError
) -> DimensionError:
    """The error for a call's findings, its text and its data; `labels` are the user's words for a layer's names."""
    first = findings.mismatches[0]
    hint = mend(findings)
    error = kind(str(Report(where, findings, labels, hint)))
    error.where = where
    error.argument = first.place.partition("[")[0].partition(".")[0]
    error.dim = labels.get(first.dim, first.dim)
    error.expected, error.actual = _plain(first.expected), _plain(first.actual)
    sizes = {labels.get(name, name): binding.size for name, binding in findings.bindings.items()}
    error.bindings = sizes | {f"*{name}": tuple(binding.size[1]) for name, binding in findings.runs.items()}
    error.hint = hint
    return error


def unexplained(where: str, stage: str) -> DimensionError:
    """The error where the second check finds nothing: the values changed between the two, or hold no shapes."""
    error = DimensionError(
        f"{where}: {'the result' if stage == 'return' else 'an argument'} does not fit its annotation"
    )
    error.where, error.argument = where, "return" if stage == "return" else ""
    return error


def names_of(hint: Hint) -> tuple[str, ...]:
    """Every name that the tensor annotations of a hint use."""
    return tuple(name for array in arrays_in(hint) for name in free_names(array))


def _plain(value: Any) -> Any:
    """Data that pickles and prints: no class objects of jaxtyping's making."""
    if isinstance(value, bool | int | str | tuple) or value is None:
        return value
    if isinstance(value, torch.dtype):
        return dtype_text(value)
    return annotation_text(value) if isinstance(value, type) else str(value)


# Where ----------------------------------------------------------------------------------------------------------------


def layer_path(layer: torch.nn.Module, method: str = "forward") -> str:
    """The layer's path from the outermost module that is running: `Seq2Seq.decoder.gru`."""
    for root in running_modules():
        if root is layer:
            break
        for name, module in root.named_modules():
            if module is layer:
                return f"{type(root).__name__}.{name}"
    return f"{type(layer).__name__}.{method}"


def running_modules() -> Iterator[torch.nn.Module]:
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
