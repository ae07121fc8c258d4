"""What a compiled check calls when it has refused a call: whether that is really wrong, and the error for it."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dimtyped.diagnosis import describe
from dimtyped.engine.compiler import evaluation_error, is_shapeless
from dimtyped.errors import DeclarationError, DimensionError
from dimtyped.names import resync, scope_of, sizes_text
from dimtyped.runtime import at_trace_time, eagerly, is_tracing, restart_trace

if TYPE_CHECKING:
    from dimtyped.engine.checked_function import CheckedFunction

_OUR_FILES = (str(Path(__file__).parent.parent), "<dimtyped ")


def is_violation(entry: CheckedFunction, values: tuple[Any, ...], stage: str, result: Any) -> bool:
    """Whether a refused call is really wrong: not one whose module changed unseen, nor one being traced by torch.fx."""
    if is_tracing():
        if entry.reads_scope and isinstance(values[0], torch.nn.Module):
            _read_again(values[0])
        return entry.other_form(values) is None
    if any(isinstance(value, torch.fx.Proxy) for value in (*values, result)):
        return False
    return entry.other_form(values) is None and not eagerly(entry.is_stale)(values, stage, result)


def explain(entry: CheckedFunction, values: tuple[Any, ...], stage: str, result: Any) -> DimensionError:
    """The error for a refused call; inside a trace its text is made at trace time."""
    if is_tracing():
        owner = values[0] if values and isinstance(values[0], torch.nn.Module) else None
        described = tuple([describe(value) for value in values])
        return entry.explain_traced(owner, described, stage, describe(result))
    return eagerly(entry.explain)(values, stage, result)


def retry_target(entry: CheckedFunction, values: tuple[Any, ...], _stage: str, result: Any) -> Callable[..., Any]:
    """What to call instead where a refused call is not wrong."""
    if any(isinstance(value, torch.fx.Proxy) for value in (*values, result)):
        return entry.call_unchecked
    return entry.other_form(values) or entry.wrapper


@at_trace_time
def _read_again(module: torch.nn.Module) -> None:
    """Reads the names of a module that may have changed unseen; where they have, the trace begins anew."""
    if resync(module):
        restart_trace(f"the names that {type(module).__name__} declares have changed")


def is_ambiguous(owner: torch.nn.Module, name: str) -> bool:
    """Whether a name that could mean more than one size still could, when everything is read anew."""
    return is_tracing() or not resync(owner) or scope_of(owner).is_ambiguous(name)


def ambiguous(entry: CheckedFunction, owner: torch.nn.Module, name: str) -> DeclarationError:
    """The error for a name with different sizes in the module's children, used in the module's own annotation."""
    error = DeclarationError(
        f"{entry.signature.where}: `{name}` in the annotations could mean more than one size: {sizes_text(owner, name)}\n"
        f"  Use another name, or declare `{name}` on {type(owner).__name__} itself (a DimSize parameter, or a Dim stored on it)."
    )
    error.where, error.dim = entry.signature.where, name
    error.hint = f"use another name, or declare `{name}` on {type(owner).__name__} itself"
    error.expected, error.actual = "one size", sizes_text(owner, name)
    return error


def translate_error(entry: CheckedFunction, values: tuple[Any, ...], error: Exception) -> Exception:
    """What the layer makes of an exception of torch's."""
    if any(is_shapeless(value) for value in values):
        return error
    misfit = eagerly(entry.mismatch_after_error)(values)
    if misfit is not None:
        return misfit
    if entry.translate_error is None or not isinstance(error, entry.translate_error[0]):
        return error
    return entry.translate_error[1](entry, values, error)


def unevaluable(entry: CheckedFunction, error: Exception) -> DeclarationError:
    """What an axis's expression raised, as a wrong declaration."""
    wrong = evaluation_error(entry.signature.where, error)
    if not wrong.dim:
        return wrong
    twin = entry.twin_of(wrong.dim)
    text = wrong.args[0].partition("\n")[0] + f"\n  Did you mean `{twin}`?" if twin else wrong.args[0]
    told = DeclarationError(f"{entry.signature.where}: {text}")
    told.where, told.argument = entry.signature.where, entry.place_of(str(wrong.actual))
    told.dim, told.expected, told.actual = wrong.dim, wrong.expected, wrong.actual
    told.hint = f"did you mean `{twin}`?" if twin else wrong.hint
    return told


def strip_internal_frames(error: BaseException) -> types.TracebackType | None:
    """An error's traceback from the first frame on that is not ours."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_OUR_FILES):
        found = found.tb_next
    return found
