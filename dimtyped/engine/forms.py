"""Call forms: the check that holds for a call in one of several forms, and the time when it runs.

A predicate on the call selects the form; it writes itself into the compiled check.
Everything about forms in the engine is here: their declaration, `CallForms`, and the checks made for them, `FormChecks`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

from dimtyped.engine.predicates import ALWAYS, Predicate

_C = TypeVar("_C")


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a call.

    Args:
        inputs: The annotations of its arguments. None: the call is not checked.
        output: The annotation of its result, for documentation and tests; it is not checked. Default: none.
        when: The condition under which a call is of this form. None: every call is.
        rare: True if the form is tried only after the check of the usual form has failed, so it costs a call of the usual
            form nothing. Default: False.
    """

    inputs: Mapping[str, Any] | None
    output: Any = None
    when: Predicate | None = None
    rare: bool = False


@dataclass(frozen=True, slots=True)
class Deferral:
    """A deferred check: it runs only after the function itself has raised.

    Args:
        condition: If it is true, the function raises for every call that the annotations reject.
        traces_too: True if a trace has no check either then: the function raises on fake tensors too, or the condition is
            `ALWAYS`. Default: False.
    """

    condition: Predicate
    traces_too: bool = False


@dataclass(frozen=True, slots=True)
class CallForms:
    """The forms of a function's calls.

    Args:
        calls: The forms, in order. The first usual form whose condition is true is checked; if that fails, the first rare
            form whose condition is true decides. Default: the function has one form.
        after_error: When the check is deferred. Default: never.
    """

    calls: tuple[Form, ...] = ()
    after_error: Deferral | None = None

    @property
    def usual(self) -> tuple[Form, ...]:
        """The forms to choose from before the check; empty if there is only one."""
        found = tuple(form for form in self.calls if not form.rare)
        return found if len(found) > 1 else ()

    @property
    def fallback(self) -> tuple[Form, ...]:
        """The rare forms."""
        return tuple(form for form in self.calls if form.rare)


class FormChecks(Generic[_C]):
    """The checks of a function's forms.

    Args:
        function: The function, whose parameters the conditions name.
        forms: The forms.
        check_of: Makes the check of a usual form, given its annotations and the fallback checks.
        fallback: The check for each of the fallback forms, None where the call is not checked.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        forms: CallForms,
        check_of: Callable[[Mapping[str, Any], tuple[_C | None, ...]], _C],
        fallback: tuple[_C | None, ...],
    ) -> None:
        self.after_error = forms.after_error
        self.usual: tuple[tuple[Predicate | None, _C | None], ...] = tuple(
            (form.when, None if form.inputs is None else check_of(form.inputs, fallback)) for form in forms.usual
        )
        self.fallback = fallback
        self.fallback_cases: tuple[tuple[Callable[..., bool], _C | None], ...] = ()
        self._function = function
        self._fallback_conditions = tuple(form.when for form in forms.fallback)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "fallback_cases": ()}

    @property
    def checks(self) -> Iterator[_C]:
        """The checks of the usual forms."""
        return (check for _, check in self.usual if check is not None)

    def compile_conditions(self) -> None:
        """Compiles the conditions of the fallback forms. Traces cannot, and at import every layer would pay for it."""
        conditions = (_compiled(self._function, when) for when in self._fallback_conditions)
        self.fallback_cases = tuple(zip(conditions, self.fallback, strict=True))

    def select_form(self, values: tuple[Any, ...], otherwise: _C) -> _C | None:
        """Returns the check for this form of the call, or None if it is not checked.

        `otherwise` is the check of a function without several forms.
        """
        chosen = (check for when, check in self.usual if when is None or _compiled(self._function, when)(*values))
        return next(chosen, otherwise)

    def select_fallback(self, values: tuple[Any, ...], otherwise: _C) -> _C | None:
        """Returns the check that decides after `otherwise` has failed, or None if the call is not checked."""
        return next((check for holds, check in self.fallback_cases if holds(*values)), otherwise)

    def waits_for_error(self, values: tuple[Any, ...]) -> bool:
        """Returns True if the check of this call waits until the function has raised."""
        return self.after_error is not None and _compiled(self._function, self.after_error.condition)(*values)


@functools.lru_cache(maxsize=512)
def _compiled(function: Callable[..., Any], when: Predicate | None) -> Callable[..., bool]:
    """The condition of a form as a function of the parameters."""
    parameters = ", ".join(inspect.signature(function).parameters)
    known = {"torch": torch, "Tensor": torch.Tensor, **inspect.unwrap(function).__globals__}
    return eval(f"lambda {parameters}: {(when or ALWAYS).source()}", known)  # as the compiled check has it


def is_of_form(function: Callable[..., Any], form: Form, values: tuple[Any, ...]) -> bool:
    """Returns True if a call with these arguments is of the form."""
    return form.when is None or _compiled(function, form.when)(*values)
