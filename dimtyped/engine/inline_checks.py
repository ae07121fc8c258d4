"""The fast engine: the checks of a call as straight-line Python in its wrapper.

Each tensor's shape and dtype are read once, and a call that passes runs nothing else.
"""

from __future__ import annotations

import functools
import inspect

from dimtyped.annotations import (
    AnythingHint,
    Inexpressible,
    Parameter,
    Signature,
    arrays_in,
    in_order,
    wait_for_one_another,
)
from dimtyped.engine import call_text
from dimtyped.engine.check_plan import CheckPlan
from dimtyped.engine.codegen import CheckCodegen
from dimtyped.engine.declared_sizes import DeclaredSizes
from dimtyped.engine.missing import MISSING, is_marked
from dimtyped.engine.name_exports import NameExports
from dimtyped.engine.name_uses import count_uses, reads_text
from dimtyped.engine.predicates import ALWAYS
from dimtyped.engine.source import SourceWriter
from dimtyped.runtime import CHECKED_NAME, PREFIX


class InlineChecks:
    """Writes the checks of one function into its wrapper.

    Raises:
        Inexpressible: a parameter's name begins with this package's prefix; `check_arguments`: two parameters need each
            other's names.
    """

    def __init__(self, plan: CheckPlan) -> None:
        signature = plan.signature
        if any(parameter.name.startswith(PREFIX) for parameter in signature.parameters):
            raise Inexpressible(f"a parameter's name begins with {PREFIX}")
        self._plan = plan
        self._signature = signature
        self._checked = CHECKED_NAME
        self._codegen = _codegen_of(plan)
        self.source = self._codegen.source
        self._constant = functools.partial(self.source.literal, kind="constant")
        self._filled = self._codegen.conditions.filled
        self._filled.update((p.name, _or_default(self.source, p)) for p in signature.parameters if is_marked(p))
        self._exports = NameExports(plan, self._codegen) if plan.exports_names else None
        if signature.attributes:
            call = f"{PREFIX}function({call_text.arguments(signature, self._filled)})"
            self._codegen.unchecked = call_text.leave(signature.function_kind, call)
        self._declared = DeclaredSizes(plan, self.source, self._codegen.known.variable, self._leave)

    @property
    def parameters(self) -> str:
        """The function's own parameters."""
        return ", ".join(call_text.parameters(self._signature))

    @property
    def call(self) -> str:
        """The call of the function."""
        if self._exports is not None and self._exports.by_exporter:
            return self._exports.call
        return f"{PREFIX}function({call_text.arguments(self._signature, self._filled)})"

    @property
    def exporter(self) -> tuple[str, ...]:
        """The lines of the function that exports names, if there is one."""
        return self._exports.exporter if self._exports is not None and self._exports.by_exporter else ()

    @property
    def values(self) -> str:
        """The value of each parameter, as a tuple."""
        return call_text.values(self._signature)

    @property
    def checks_result(self) -> bool:
        """Returns True if the result is annotated."""
        return self._signature.checks_result and not self._plan.is_off

    @property
    def unbound(self) -> list[tuple[str, str, bool]]:
        """The axes written so far that use a name to which no call can give a size; True if every call comes there."""
        return self._codegen.conditions.unbound

    def follow_trace(self) -> None:
        """Writes nothing: a trace follows the same lines."""

    def check_arguments(self) -> None:
        """Writes the check of the arguments."""
        self._codegen.known.current.sizes.update(self._declared.write())
        deferral = self._plan.after_error
        if self._plan.is_off or (deferral and deferral.condition == ALWAYS):  # a trace is checked by `traces`
            pass
        elif deferral is not None:
            condition = deferral.condition.source(self._declared.read, self._constant)
            before = "" if deferral.traces_too else f"{PREFIX}is_tracing() or "
            with self.source.block(f"if {before}not ({condition}):"):
                self._check_forms()
        else:
            self._check_forms()
        if self._exports is not None:
            self._exports.write_export()

    def check_result(self, result: str) -> None:
        """Writes the check of the result. Each item of a generator has variables of its own."""
        if call_text.yields(self._signature.function_kind):
            self._codegen.known.stage = "item_"
        if self._exports is not None:
            self._exports.write_import()
        self._codegen.check(self._signature.result, result, self._failure("return", result))

    # Arguments --------------------------------------------------------------------------------------------------------

    def _check_forms(self) -> None:
        if not self._plan.forms:
            self._check_parameters(self._signature)
            return
        known = self._codegen.known
        declared, head = known.current, "if "
        for when, checked, signature in self._plan.forms:
            known.current, self._checked = declared.copy(), self.source.constant(checked, "checked")
            condition = "" if when is None else when.source(self._declared.read, self._constant)
            with self.source.block(f"{head}{condition}:" if condition else "else:"):
                if signature is None:
                    self.source.write("pass")
                else:
                    known.uses, _ = count_uses(signature.hints)
                    self._check_parameters(signature)
            head = "elif "

    def _check_parameters(self, signature: Signature) -> None:
        known = self._codegen.known.current.sizes
        if wait_for_one_another(signature.parameters, known):
            raise Inexpressible("two parameters need each other's names")
        for parameter in in_order(signature.parameters, known):
            if not isinstance(parameter.hint, AnythingHint):
                self._check_parameter(parameter)

    def _check_parameter(self, parameter: Parameter) -> None:
        hint, known, fail = parameter.hint, self._codegen.known, self._failure("arguments")
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            with known.loop(f"for {PREFIX}each in {parameter.name}:", hint):
                self._codegen.check(hint, f"{PREFIX}each", fail)
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            with known.loop(f"for {PREFIX}each in {parameter.name}.values():", hint):
                self._codegen.check(hint, f"{PREFIX}each", fail)
        elif is_marked(parameter):
            missing = self.source.constant(MISSING, "missing")
            with known.branch(f"if {parameter.name} is not {missing}:", (hint,)):
                self._codegen.check(hint, parameter.name, fail)
        else:
            self._codegen.check(hint, parameter.name, fail)

    def _failure(self, stage: str, result: str = "None") -> tuple[str, ...]:
        """The lines for a value that does not fit: they raise, or continue if the second check accepts the call."""
        values = f"{self._checked}, {self.values}, {stage!r}, {result}"
        wrong = f"if {PREFIX}is_violation({values}): raise {PREFIX}explain({values})"
        kind = self._signature.function_kind
        if stage == "return":
            return (wrong, "break" if call_text.yields(kind) else f"return {result}")
        retry = f"{PREFIX}retry_target({values})({call_text.arguments(self._signature)})"
        return (wrong, *call_text.leave(kind, retry))

    def _leave(self, function: str) -> None:
        call = f"{function}({call_text.arguments(self._signature)})"
        self.source.write(*call_text.leave(self._signature.function_kind, call))


def _or_default(source: SourceWriter, parameter: Parameter) -> str:
    """The value of a parameter, or its default if the call left it out."""
    missing = source.constant(MISSING, "missing")
    default = source.constant(parameter.default, "default")
    return f"({default} if {parameter.name} is {missing} else {parameter.name})"


def _codegen_of(plan: CheckPlan) -> CheckCodegen:
    hints = [hint for signature in plan.signatures for hint in signature.hints]
    uses, broadcast = count_uses(hints)
    if plan.exports_names:  # kept as `broadcast_variadic` returns them, so that `assert_dims` can add to them
        broadcast |= {axis.name for hint in hints for a in arrays_in(hint) for axis in a.axes if axis.many}
    names = [parameter.name for parameter in plan.signature.parameters]
    return CheckCodegen(uses, broadcast, keep_all=plan.exports_names or reads_text(hints), taken=names)
