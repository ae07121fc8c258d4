"""One decorated function: its declaration, the checks of its calls, and the explainer of failed calls.

The wrapper, the engines and the failure path share this object. It only holds the checks: `preparation` compiles them.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from dimtyped.annotations import Signature, names_of
from dimtyped.engine.declaration import Declaration
from dimtyped.engine.explainer import Explainer
from dimtyped.engine.forms import CallForms, FormChecks
from dimtyped.errors import DimensionError
from dimtyped.names import is_off_in, is_switched_off, scope_key_names, similar_name, switches_of
from dimtyped.runtime import at_trace_time

MARK = "__dimtyped__"
"""The attribute of a wrapper that holds its checked function."""


class Engine(Protocol):
    """Checks the calls of a function at run time, if no compiled check can."""

    def check_arguments(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
        """Raises a DimensionError unless the arguments fit."""
        ...

    def check_result(
        self,
        arguments: tuple[Any, ...],
        keywords: Mapping[str, Any],
        result: Any,
        shared: Mapping[str, Any] | None = None,
    ) -> None:
        """Raises a DimensionError unless the result fits. `shared` are the names that `assert_dims` may have bound."""
        ...


class CheckedFunction:
    """A decorated function with its checks.

    Attributes:
        declaration: The data of the function before the first call.
        explainer: The explainer of its failed calls.
        forms: The checks of the forms of its calls.
        wrapper: The function that users call.
        call: The check for the names of the first call; None before it.
        specializations: The checks for modules that declare other names than the first one did. They are
            attributes, because a trace reads a dictionary once and would not see later entries.
        scope_keys: The names that modules declare, and the attribute of `specializations` for each.
        engine: The reference engine, if it checks.
        traced: With the reference engine, which no trace can follow: the compiled check to trace in its place.
        is_untraced: True if there is no such check: the reference engine then checks behind a graph break.
        beside_trace: The check that runs beside a trace, if the trace does not follow it; None before it is needed.
    """

    def __init__(self, declaration: Declaration, fallback: tuple[CheckedFunction | None, ...] | None = None) -> None:
        self.declaration = declaration
        self.explainer = Explainer(declaration)
        self.reads_scope = declaration.reads_scope
        forms = declaration.rules.forms
        self.forms: FormChecks[CheckedFunction] = _ONE_FORM
        if forms != _ONLY_ONE:
            others = self._make_fallback(forms) if fallback is None else fallback
            self.forms = FormChecks(declaration.function, forms, self._check_of_form, others)
        self.wrapper: Callable[..., Any] = declaration.function
        self.call: Callable[..., Any] | None = None
        self.scope_keys: dict[str, str] = {}
        self.specializations = types.SimpleNamespace()
        self.engine: Engine | None = None
        self.traced: Callable[..., Any] | None = None
        self.is_untraced = False
        self.beside_trace: types.FunctionType | None = None

    def __getstate__(self) -> dict[str, Any]:
        unread = {"call": None, "scope_keys": {}, "specializations": types.SimpleNamespace()}
        return {**self.__dict__, **unread, "engine": None, "traced": None, "is_untraced": False, "beside_trace": None}

    @property
    def signature(self) -> Signature:
        """The signature of the function, read at the first call.

        Raises:
            DeclarationError: an annotation cannot be resolved.
        """
        return self.declaration.signature

    def _make_fallback(self, forms: CallForms) -> tuple[CheckedFunction | None, ...]:
        made = (None if form.inputs is None else self._of_form(form.inputs, CallForms()) for form in forms.fallback)
        return tuple(declaration and CheckedFunction(declaration) for declaration in made)

    def _check_of_form(
        self, inputs: Mapping[str, Any], fallback: tuple[CheckedFunction | None, ...]
    ) -> CheckedFunction:
        forms = CallForms(self.declaration.rules.forms.fallback)
        return CheckedFunction(self._of_form(inputs, forms), fallback)

    def _of_form(self, inputs: Mapping[str, Any], forms: CallForms) -> Declaration:
        return dataclasses.replace(self.declaration, rules=self.declaration.rules.of_form(inputs, forms))

    # Of one call ------------------------------------------------------------------------------------------------------

    def fallback_call(self, values: tuple[Any, ...]) -> Callable[..., Any] | None:
        """The function to call if the check of another call form decides; None if this check does."""
        other = self.forms.select_fallback(values, self)
        if other is self:
            return None
        return other.wrapper if other is not None else self.declaration.call_unchecked

    def error_after(self, values: tuple[Any, ...]) -> DimensionError | None:
        """The error for a call that raised before any check; None if a check came first, or if the call fits."""
        if not self.forms.waits_for_error(values):
            return None
        form = self.forms.select_form(values, self)
        if form is None or form.explainer.find_error(values) is None:
            return None
        deciding = form.forms.select_fallback(values, form)
        return deciding.explainer.find_error(values) if deciding is not None else None

    @property
    def is_off(self) -> bool:
        """True if the checks of this function are switched off, whoever calls it."""
        return is_off_in(switches_of(self).words, "")

    def is_off_for(self, values: tuple[Any, ...]) -> bool:
        """True if the checks of a call are switched off: the function's, or those of its module."""
        owner = self.declaration.owner(values) if self.reads_scope else None
        return self.is_off or (owner is not None and is_switched_off(owner, self.declaration.method))

    # Constants inside a trace -----------------------------------------------------------------------------------------

    @at_trace_time
    def name(self) -> str:
        """The name of the function in errors."""
        return self.signature.where

    @at_trace_time
    def similar_name(self, name: str) -> str:
        """The name that `name` looks like a misspelling of, or an empty string."""
        used = [other for hint in self.signature.hints for other in names_of(hint)]
        declared = [other for scope_key in self.scope_keys for other in scope_key_names(scope_key)]
        return similar_name(name, (*declared, *self.declaration.fixed, *used)) or ""


def _no_check(*_: Any) -> CheckedFunction:
    raise AssertionError("a function of one form has no checks of others")


_ONLY_ONE = CallForms()
_ONE_FORM: FormChecks[CheckedFunction] = FormChecks(_no_check, _ONLY_ONE, _no_check, ())
"""Of all functions whose calls have one form: of all of users'."""
