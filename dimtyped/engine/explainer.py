"""The errors of a function's calls, found by checking a call again over descriptions of its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from dimtyped import diagnosis
from dimtyped.annotations import arrays_in
from dimtyped.engine.call_names import names_of_call, sizes_in
from dimtyped.engine.declaration import Declaration
from dimtyped.engine.helpers import evaluation_error
from dimtyped.engine.missing import Missing
from dimtyped.errors import DeclarationError, DimensionError
from dimtyped.names import resync, scope_of
from dimtyped.runtime import at_trace_time, end_trace


class Explainer:
    """Explains the failed calls of one function."""

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration

    def explain(self, values: tuple[Any, ...], stage: str, result: Any) -> DimensionError:
        """The error for a call that an engine has rejected."""
        found = self.find_error(values, stage, result)
        return found if found is not None else self._unexplained(self._declaration.owner(values), stage)

    @at_trace_time
    def explain_traced(
        self, owner: torch.nn.Module | None, described: tuple[Any, ...], stage: str, result: tuple[Any, ...]
    ) -> DimensionError:
        """The error for a call that fails inside a trace, found from descriptions of its values; ends the trace."""
        module = owner if self._declaration.is_method else None
        parameters = self._declaration.signature.parameters
        known = diagnosis.arguments_of(self._declaration)
        values = tuple(
            diagnosis.snapshot(known[parameter.name])
            if known.get(parameter.name) is not None
            else diagnosis.from_description(description)
            for parameter, description in zip(parameters, described, strict=True)
        )
        paths = self._declaration.paths(tuple(value.value for value in values))
        if owner is not None:
            paths[parameters[0].name] = owner
        found = self.find_error_of(module, values, paths, stage, diagnosis.from_description(result))
        return end_trace(found if found is not None else self._unexplained(module, stage))

    def find_error(
        self, values: tuple[Any, ...], stage: str = "arguments", result: Any = None
    ) -> DimensionError | None:
        """The error for a call's arguments, or at the stage `return` for its result; None if they fit."""
        declaration = self._declaration
        given = tuple(diagnosis.snapshot(value) for value in values)
        return self.find_error_of(
            declaration.owner(values), given, declaration.paths(values), stage, diagnosis.snapshot(result)
        )

    def find_error_of(
        self,
        owner: Any,
        values: tuple[diagnosis.Snapshot, ...],
        paths: Mapping[str, Any],
        stage: str,
        result: diagnosis.Snapshot | None,
    ) -> DimensionError | None:
        """The error for a call whose values are described; None if they fit. Arguments left out are not checked."""
        declaration, signature = self._declaration, self._declaration.signature
        named = zip(signature.parameters, values, strict=True)
        given = {parameter.name: value for parameter, value in named if value.cls is not Missing}
        is_result = stage == "return"
        shared = names_of_call(declaration) if is_result and declaration.code_objects else {}
        try:
            findings = diagnosis.find_mismatches(
                signature, declaration.declared(owner), given, result if is_result else None, paths, owner, shared
            )
        except DeclarationError as error:
            raise evaluation_error(declaration.where(owner), error) from None
        if not findings.mismatches:
            return None
        rules = declaration.rules
        kind = rules.error_kind(findings.mismatches[0])
        return diagnosis.build_error(findings, declaration.where(owner), rules.labels(owner), kind)

    def is_stale(self, values: tuple[Any, ...], stage: str, result: Any) -> bool:
        """Returns True if the module has changed unnoticed since its names were read, and the call fits after all."""
        owner = self._declaration.owner(values)
        if owner is None or not self._declaration.reads_scope or not resync(owner):
            return False
        return self.find_error(values, stage, result) is None

    def _unexplained(self, owner: Any, stage: str) -> DimensionError:
        return diagnosis.unexplained(self._declaration.where(owner), "return" if stage == "return" else "")

    # Of a call's names ------------------------------------------------------------------------------------------------

    def findings_of(self, values: Mapping[str, Any]) -> diagnosis.Findings:
        """The names of a call whose arguments an engine has accepted, with their origins."""
        declaration, given = self._declaration, tuple(values.values())
        owner = declaration.owner(given)
        known = {name: diagnosis.snapshot(value) for name, value in values.items() if not isinstance(value, Missing)}
        paths = declaration.paths(given)
        found = diagnosis.find_mismatches(declaration.signature, declaration.declared(owner), known, None, paths, owner)
        return diagnosis.Findings(bindings=found.bindings, runs=found.runs, paths=paths)

    def read_again(self, values: Mapping[str, Any], names: dict[str, Any]) -> bool:
        """Rereads the names of the module into `names`; returns True if the module has changed unnoticed."""
        owner = self._declaration.owner(tuple(values.values()))
        if owner is None or not self._declaration.reads_scope or not resync(owner):
            return False
        names.update(scope_of(owner).names)
        return True

    def fits_shared(self, shared: Mapping[str, Any], result: Any) -> bool:
        """Returns True if the result fits the names that `assert_dims` has bound too."""
        findings = diagnosis.Findings()
        findings.learn(sizes_in(shared), "")
        findings.check(self._declaration.signature.result, diagnosis.snapshot(result), "return")
        return all(mismatch.kind not in ("size", "extent") for mismatch in findings.mismatches)

    @at_trace_time
    def parameter_with(self, axis: str) -> str:
        """The first parameter whose annotation has this axis, or `return`."""
        signature = self._declaration.signature
        hints = [(parameter.name, parameter.hint) for parameter in signature.parameters]
        places = [(name, array) for name, hint in (*hints, ("return", signature.result)) for array in arrays_in(hint)]
        return next((name for name, array in places if any(axis == other.text for other in array.axes)), "")
