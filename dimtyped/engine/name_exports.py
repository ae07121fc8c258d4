"""The names of a call as its check exports them for `assert_dims`, and takes them back for its result: see `call_names`."""

from __future__ import annotations

from dimtyped.annotations import FunctionKind, arrays_in, free_names
from dimtyped.engine import call_text
from dimtyped.engine.call_names import CHECKED, EXPORTER, VARIABLE
from dimtyped.engine.check_plan import CheckPlan
from dimtyped.engine.codegen import CheckCodegen
from dimtyped.engine.known_names import Known
from dimtyped.names import scope_key_names
from dimtyped.runtime import CHECKED_NAME, PREFIX


class NameExports:
    """Writes the export of one check's names.

    A plain function is called by a second function, the exporter, because reading a variable of a frame from outside
    copies all its variables, and the exporter's frame has few.
    """

    def __init__(self, plan: CheckPlan, codegen: CheckCodegen) -> None:
        self._signature = plan.signature
        self._scope_key = plan.scope_key or ""
        self._codegen = codegen
        self._parameters = [parameter.name for parameter in plan.signature.parameters]
        self.by_exporter = plan.signature.function_kind is FunctionKind.PLAIN

    @property
    def call(self) -> str:
        """The call of the exporter."""
        filled = self._codegen.conditions.filled
        return f"{EXPORTER}({', '.join((VARIABLE, *(filled.get(name, name) for name in self._parameters)))})"

    @property
    def exporter(self) -> tuple[str, ...]:
        """The lines of the exporter."""
        return (
            "",
            f"def {EXPORTER}({', '.join((VARIABLE, *self._parameters))}):",
            f"    return {PREFIX}function({call_text.arguments(self._signature)})",
        )

    def write_export(self) -> None:
        """Writes the variable that holds the names, once the arguments are checked."""
        names = self._codegen.known.current
        ambiguous = {*scope_key_names(self._scope_key)} - {*self._scope_key.split()} - names.sizes.keys()
        parts = [
            f"{CHECKED!r}: {CHECKED_NAME}",
            *(f"{name!r}: {known.source}" for name, known in names.sizes.items()),
            *(f"'*{name}': {known.source}" for name, known in names.variadic.items()),
            *(f"{name!r}: {PREFIX}AMBIGUOUS" for name in sorted(ambiguous)),
        ]
        self._codegen.source.write(f"{VARIABLE} = {{{', '.join(parts)}}}")

    def write_import(self) -> None:
        """Writes the lines that read the names the body has bound with `assert_dims`, for the check of the result."""
        names = self._codegen.known.current
        arrays = arrays_in(self._signature.result)
        for name in dict.fromkeys(name for array in arrays for name in free_names(array)):
            known = names.sizes.get(name)
            if known is None or known.optional:
                names.sizes[name] = self._shared_name(name)
        for name in dict.fromkeys(axis.name for a in arrays for axis in a.axes if axis.many and axis.name):
            names.variadic[name] = self._shared_name(f"*{name}")

    def _shared_name(self, name: str) -> Known:
        variable = self._codegen.known.variable(name)
        self._codegen.source.write(f"{variable} = {VARIABLE}.get({name!r})")
        return Known(variable, optional=True)
