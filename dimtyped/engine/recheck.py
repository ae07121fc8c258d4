"""The second check of a rejected call: it raises the error, or selects the function to call if the call is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from dimtyped import diagnosis
from dimtyped.annotations import names_of
from dimtyped.engine.checked_function import CheckedFunction
from dimtyped.engine.helpers import evaluation_error, is_shapeless
from dimtyped.engine.rules import Raised
from dimtyped.errors import DeclarationError, DimensionError, with_fields
from dimtyped.names import agreement_hint, resync, scope_of, sizes_text
from dimtyped.runtime import at_trace_time, eagerly, is_tracing, restart_trace


def is_violation(checked: CheckedFunction, values: tuple[Any, ...], stage: str, result: Any) -> bool:
    """Returns True if a rejected call is really wrong.

    It is not if the module has changed unnoticed, if torch.fx traces it, or if the check of another call form decides.
    """
    if is_tracing():
        if checked.reads_scope and isinstance(values[0], torch.nn.Module):
            _read_again(values[0])
        return checked.fallback_call(values) is None
    if any(isinstance(value, torch.fx.Proxy) for value in (*values, result)):
        return False
    if checked.fallback_call(values) is not None:
        return False
    if not eagerly(checked.explainer.is_stale)(values, stage, result):
        return True
    reject_ambiguous(checked, values[0])  # a name with two sizes fits no result either
    return False


def reject_ambiguous(checked: CheckedFunction, owner: torch.nn.Module) -> None:
    """Raises a DeclarationError if a name in the annotations could mean more than one size."""
    scope = scope_of(owner)
    if "!" in scope.scope_key:
        used = {name for hint in checked.signature.hints for name in names_of(hint)}
        for name in sorted(used):
            if scope.is_ambiguous(name) and is_ambiguous(owner, name):
                raise ambiguous(checked, owner, name)


def explain(checked: CheckedFunction, values: tuple[Any, ...], stage: str, result: Any) -> DimensionError:
    """The error for a rejected call; inside a trace its text is made at trace time."""
    if is_tracing():
        owner = values[0] if values and isinstance(values[0], torch.nn.Module) else None
        described = tuple([diagnosis.describe(value) for value in values])
        return checked.explainer.explain_traced(owner, described, stage, diagnosis.describe(result))
    return eagerly(checked.explainer.explain)(values, stage, result)


def retry_target(checked: CheckedFunction, values: tuple[Any, ...], _stage: str, result: Any) -> Callable[..., Any]:
    """The function to call if a rejected call is not wrong."""
    if any(isinstance(value, torch.fx.Proxy) for value in (*values, result)):
        return checked.declaration.call_unchecked
    return checked.fallback_call(values) or checked.wrapper


@at_trace_time
def _read_again(module: torch.nn.Module) -> None:
    """Rereads the names of a module; if they have changed unnoticed, the trace restarts."""
    if resync(module):
        restart_trace(f"the names that {type(module).__name__} declares have changed")


def is_ambiguous(owner: torch.nn.Module, name: str) -> bool:
    """Returns True if a name still has more than one size after the module is reread."""
    return is_tracing() or not resync(owner) or scope_of(owner).is_ambiguous(name)


def ambiguous(checked: CheckedFunction, owner: torch.nn.Module, name: str) -> DeclarationError:
    """The error for a name with different sizes in the module's children, used in the module's own annotation."""
    where, hint = checked.name(), agreement_hint(owner, name)
    error = DeclarationError(
        f"{where}: `{name}` in the annotations could mean more than one size: {sizes_text(owner, name)}\n"
        f"  {hint[0].upper()}{hint[1:]}."
    )
    error.where, error.dim = where, name
    error.hint = hint
    error.expected, error.actual = "one size", sizes_text(owner, name)
    return error


def translate_error(checked: CheckedFunction, values: tuple[Any, ...], error: Exception) -> Exception:
    """The exception to raise for one that the function raised: a DimensionError if an argument was wrong, else the same."""
    if any(is_shapeless(value) for value in values):
        return error
    found = eagerly(checked.error_after)(values)
    if found is not None:
        return found if isinstance(found, type(error)) else _of_kind(found, diagnosis.kind_of(error))
    rules = checked.declaration.rules
    if not isinstance(error, rules.translated):
        return error
    form = checked.forms.select_form(values, checked) or checked
    return rules.translate(Raised(rules, checked.signature, form.signature, values, error))


def _of_kind(error: DimensionError, kind: type[DimensionError]) -> DimensionError:
    """The error as one that `except` clauses for torch's error catch too."""
    return with_fields(kind(*error.args), **error.__dict__)


def unevaluable(checked: CheckedFunction, error: Exception) -> DeclarationError:
    """The DeclarationError for an exception that the expression of an axis raised."""
    where = checked.name()
    wrong = evaluation_error(where, error)
    if not wrong.dim:
        return wrong
    similar = checked.similar_name(wrong.dim)
    text = wrong.args[0].partition("\n")[0] + f"\n  Did you mean `{similar}`?" if similar else wrong.args[0]
    explained = DeclarationError(f"{where}: {text}")
    explained.where, explained.argument = where, checked.explainer.parameter_with(str(wrong.actual))
    explained.dim, explained.expected, explained.actual = wrong.dim, wrong.expected, wrong.actual
    explained.hint = f"did you mean `{similar}`?" if similar else wrong.hint
    return explained
