"""The reference engine: jaxtyping and beartype check a call, and the diagnosis explains its mismatches."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dimtyped import diagnosis
from dimtyped.annotations import size_at
from dimtyped.engine.call_names import AMBIGUOUS, CHECKED, VALUES
from dimtyped.engine.checked_function import MARK, CheckedFunction
from dimtyped.engine.helpers import is_ragged
from dimtyped.engine.missing import MISSING
from dimtyped.engine.recheck import explain, is_violation, reject_ambiguous
from dimtyped.engine.scope_keys import see_changes
from dimtyped.errors import DimensionError
from dimtyped.names import Scope, scope_key_names, scope_of

if TYPE_CHECKING:  # it imports beartype, which takes as long as this package: only when it checks
    from dimtyped.engine.reference import ReferenceCheck


class ReferenceEngine:
    """Checks the calls of one function as jaxtyping and beartype do."""

    def __init__(self, checked: CheckedFunction) -> None:
        self._checked = checked
        self._checks: dict[tuple[Any, ...], ReferenceCheck] = {}
        self._others: dict[int, ReferenceEngine] = {}

    def check_arguments(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
        """Raises a DimensionError unless jaxtyping and beartype accept the arguments."""
        checked = self._checked
        if checked.is_off_for(arguments):
            return
        if checked.declaration.rules.takes_ragged and any(map(is_ragged, (*arguments, *keywords.values()))):
            return
        if checked.forms.usual:
            form = checked.forms.select_form(checked.declaration.values_of(arguments, keywords), checked)
            if form is not None:
                self._engine_of(form)._check(arguments, keywords)
        else:
            self._check(arguments, keywords)

    def check_result(
        self,
        arguments: tuple[Any, ...],
        keywords: Mapping[str, Any],
        result: Any,
        shared: Mapping[str, Any] | None = None,
    ) -> None:
        """Raises a DimensionError unless jaxtyping and beartype accept the result."""
        checked, signature = self._checked, self._checked.signature
        if checked.is_off_for(arguments) or (signature.expressible and not signature.checks_result):
            return
        accepted = self._check_with(arguments).accepts_result(arguments, keywords, result)
        if not accepted or (shared is not None and not checked.explainer.fits_shared(shared, result)):
            self._refuse(arguments, keywords, "return", result)

    def shared_names(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> dict[str, Any] | None:
        """The names of a call whose arguments are accepted, for `assert_dims` in the function's body."""
        checked, declaration = self._checked, self._checked.declaration
        if not declaration.code_objects:
            return None
        values = declaration.values_of(arguments, keywords)
        given = {p.name: value for p, value in zip(declaration.signature.parameters, values, strict=True)}
        owner = declaration.owner(values)
        scope = scope_of(owner) if owner is not None and declaration.reads_scope else Scope()
        unclear = [name for name in scope_key_names(scope.scope_key) if scope.is_ambiguous(name)]
        names = {} if checked.is_off_for(values) else checked.explainer.findings_of(given).names
        return {CHECKED: checked, VALUES: given, **dict.fromkeys(unclear, AMBIGUOUS), **names}

    def _engine_of(self, checked: CheckedFunction) -> ReferenceEngine:
        """The engine of another form's check."""
        if checked is self._checked:
            return self
        return self._others.setdefault(id(checked), ReferenceEngine(checked))

    def _check(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
        if not self._check_with(arguments).accepts(arguments, keywords):
            self._refuse(arguments, keywords, "arguments", None)

    def _refuse(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any], stage: str, result: Any) -> None:
        """Raises the error for a rejected call, unless the second check accepts it."""
        checked = self._checked
        values = checked.declaration.values_of(arguments, keywords)
        if is_violation(checked, values, stage, result):
            error = explain(checked, values, stage, result)
            raise error if error.actual is not None else self._unexplained(arguments, keywords, stage, result)
        other = getattr(checked.fallback_call(values), MARK, None)
        if other is not None:  # a default that holds in one form may be wrong in another: the fast engine retries too
            given = (arguments, keywords) if any(value is MISSING for value in values) else self._by_kind(values)
            self._engine_of(other).check_arguments(*given)

    def _by_kind(self, values: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The values of all parameters as arguments: those that are given by keyword alone, and all others."""
        pairs = list(zip(self._checked.signature.parameters, values, strict=True))
        positional = tuple(value for p, value in pairs if p.kind is not inspect.Parameter.KEYWORD_ONLY)
        return positional, {p.name: value for p, value in pairs if p.kind is inspect.Parameter.KEYWORD_ONLY}

    def _unexplained(
        self, arguments: tuple[Any, ...], keywords: Mapping[str, Any], stage: str, result: Any
    ) -> DimensionError:
        """The error for an annotation that only jaxtyping can decide: it names the parameter."""
        signature = self._checked.signature
        values = self._checked.declaration.values_of(arguments, keywords)
        given = {p.name: (p.annotation, value) for p, value in zip(signature.parameters, values, strict=True)}
        given = {name: it for name, it in given.items() if it[1] is not MISSING and _has_shape(it[1])}
        if stage == "return":
            hint = signature.result.annotation
            return diagnosis.unexplained(signature.where, stage, hint, {"return": (hint, result), **given})
        name = self._check_with(arguments).blamed(arguments, keywords)
        annotation = next((p.annotation for p in signature.parameters if p.name == name), None)
        first = {name: given[name]} if name in given else {}
        return diagnosis.unexplained(signature.where, name, annotation, {**first, **given})

    def _check_with(self, arguments: tuple[Any, ...]) -> ReferenceCheck:
        """The check with the sizes that are declared for these arguments."""
        sizes = self._declared_sizes(arguments)
        key = tuple(sorted(sizes.items()))
        if key not in self._checks:
            from dimtyped.engine.reference import ReferenceCheck  # noqa: PLC0415  # it imports beartype: see above

            self._checks[key] = ReferenceCheck(self._checked.signature, sizes)
        return self._checks[key]

    def _declared_sizes(self, arguments: tuple[Any, ...]) -> dict[str, int]:
        declaration = self._checked.declaration
        owner = declaration.owner(arguments)
        sizes = dict(declaration.fixed)
        if owner is None:
            return sizes
        sizes.update((name, size_at(owner, path)) for name, path in declaration.rules.attributes.items())
        if declaration.reads_scope and declaration.is_method_of(type(owner)):
            see_changes(self._checked, owner)
            reject_ambiguous(self._checked, owner)
            sizes = {**scope_of(owner).names, **sizes}
        return sizes


def _has_shape(value: Any) -> bool:
    return isinstance(getattr(value, "shape", None), tuple)
