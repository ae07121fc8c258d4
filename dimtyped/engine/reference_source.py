"""The reference engine's checks in a wrapper: calls of the engine, since jaxtyping and beartype check whole calls."""

from __future__ import annotations

from dimtyped.annotations import FunctionKind
from dimtyped.engine import call_text
from dimtyped.engine.call_names import VARIABLE
from dimtyped.engine.source import SourceWriter
from dimtyped.runtime import ARGUMENTS, CHECKED_NAME, KEYWORDS, PREFIX

_GIVEN = f"{ARGUMENTS}, {KEYWORDS}"
_PASSED_ON = f"*{ARGUMENTS}, **{KEYWORDS}"
_TRACED = (FunctionKind.PLAIN, FunctionKind.GENERATOR)
"""The kinds of functions that TorchDynamo follows."""


class ReferenceSource:
    """Writes the calls of the reference engine for a function of one kind.

    `exports_names` says whether the function's body calls `assert_dims`.
    """

    parameters = _PASSED_ON
    call = f"{PREFIX}function({_PASSED_ON})"
    values = f"{CHECKED_NAME}.declaration.values_of({_GIVEN})"
    checks_result = True

    def __init__(self, function_kind: FunctionKind, *, exports_names: bool) -> None:
        self.source = SourceWriter()
        self.exporter: tuple[str, ...] = ()
        self._function_kind = function_kind
        self._exports_names = exports_names

    def follow_trace(self) -> None:
        """Writes the branch for a trace, which cannot follow the engine."""
        if self._function_kind in _TRACED:
            with self.source.block(f"if {PREFIX}is_tracing():"):
                self.source.write(f"{PREFIX}prepare_traced(*{PREFIX}scope_key_of({CHECKED_NAME}, {ARGUMENTS}))")
                with self.source.block(f"if {CHECKED_NAME}.traced is not None:"):
                    self.source.write(*call_text.leave(self._function_kind, f"{CHECKED_NAME}.traced({_PASSED_ON})"))

    def check_arguments(self) -> None:
        """Writes the check of the arguments."""
        self.source.write(f"{CHECKED_NAME}.engine.check_arguments({_GIVEN})")
        if self._exports_names:
            self.source.write(f"{VARIABLE} = {CHECKED_NAME}.engine.shared_names({_GIVEN})")

    def check_result(self, result: str) -> None:
        """Writes the check of the result."""
        shared = VARIABLE if self._exports_names else "None"
        self.source.write(f"{CHECKED_NAME}.engine.check_result({_GIVEN}, {result}, {shared})")
