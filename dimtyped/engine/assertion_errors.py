"""The errors of `assert_dims`."""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
import types
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import torch

from dimtyped import diagnosis
from dimtyped.annotations import Hint, arrays_in, free_names
from dimtyped.engine.assertion_checks import Check, Names, read
from dimtyped.engine.assigned import resolved, target_of
from dimtyped.engine.call_names import AMBIGUOUS, CHECKED, sizes_in, values_in
from dimtyped.engine.checked_function import CheckedFunction
from dimtyped.engine.recheck import ambiguous
from dimtyped.errors import DimensionError

_T = TypeVar("_T")
_LONGEST = 40  # characters of an expression


def refuse(
    x: _T, annotation: Any, check: Check, names: Names, frame: types.FrameType, outer: types.FrameType | None
) -> _T:
    """Raises the error for a value that does not fit.

    Returns the value if torch.fx traces it, if the checks of the call around are switched off, or if it fits after the
    names of a changed module are read again.
    """
    if _holds_proxy(x):
        return x
    target, annotation = target_of(annotation), resolved(annotation)
    hint = read(annotation)
    checked: CheckedFunction | None = names.get(CHECKED)
    findings = diagnosis.Findings()
    if checked is not None:
        values = values_in(names, outer)
        if checked.is_off_for(tuple(values.values())):
            return x
        _reject_ambiguous(checked, hint, names, values)
        if checked.explainer.read_again(values, names) and check(x, names, outer):
            return x
        findings = checked.explainer.findings_of(values)
    earlier = "bound by an assert_dims before" if target is None else "bound by an earlier assignment"
    findings.learn(sizes_in(names), earlier)
    where = checked.signature.where if checked is not None else frame.f_code.co_qualname
    place = target or _expression(frame)
    raise error_of(hint, annotation, diagnosis.snapshot(x), findings, where, place, is_assigned=target is not None)


def error_of(
    hint: Hint | None,
    annotation: Any,
    value: diagnosis.Snapshot,
    findings: diagnosis.Findings,
    where: str,
    place: str,
    *,
    is_assigned: bool = False,
) -> DimensionError:
    """The error for a value at a place; `findings` holds the sizes of the known names."""
    where = where.rpartition("<locals>.")[2].removesuffix("<module>")
    title = where if is_assigned else f"assert_dims in {where}" if where else "assert_dims"
    if hint is not None:
        findings.check(hint, value, place)
    if findings.mismatches:  # noqa: SIM108
        error = diagnosis.build_error(findings, title, {})
    else:
        error = diagnosis.unexplained(title, place, annotation)
    error.where, error.argument = where, place
    if is_assigned:
        error.args = (str(error).replace("argument `", "variable `", 1),)
    return error


def _reject_ambiguous(checked: CheckedFunction, hint: Hint | None, names: Names, values: Mapping[str, Any]) -> None:
    used = [name for array in (arrays_in(hint) if hint is not None else ()) for name in free_names(array)]
    name = next((name for name in used if names.get(name) is AMBIGUOUS), None)
    if name is not None:
        raise ambiguous(checked, next(iter(values.values())), name)


def _holds_proxy(value: Any) -> bool:
    inner = cast("Sequence[Any]", value) if isinstance(value, list | tuple) else (value,)
    return any(isinstance(item, torch.fx.Proxy) for item in inner)


def _expression(frame: types.FrameType) -> str:
    """The source of the call's first argument: `scores`."""
    positions = inspect.getframeinfo(frame).positions
    if positions is None or positions.lineno is None or positions.end_lineno is None:
        return "x"
    lines = [linecache.getline(frame.f_code.co_filename, n) for n in range(positions.lineno, positions.end_lineno + 1)]
    whole = "".join(lines).encode()
    last = len("".join(lines[:-1]).encode()) + (positions.end_col_offset or 0)
    try:
        call: Any = ast.parse(textwrap.dedent(whole[positions.col_offset : last].decode()), mode="eval").body
        text = ast.unparse(call.args[0])
    except (SyntaxError, AttributeError, IndexError):  # no source, or it has changed
        return "x"
    return text if len(text) <= _LONGEST else "x"
