"""The data that a compiled check is written from, and the protocol of the engines that write it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from dimtyped.annotations import Signature
from dimtyped.engine.forms import Deferral
from dimtyped.engine.predicates import Predicate
from dimtyped.engine.source import SourceWriter


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """The data that a compiled check is written from.

    Args:
        signature: The signature to check.
        scope_key: The names that the module declares. None: the function is not a method of a module.
        exports_names: True if the function's body calls `assert_dims` and so needs the names.
        translated: Exceptions of the function that the failure path explains.
        may_be_method: True if the first argument is not a module in this call, but may be one in another.
        after_error: When there is no check, because the function itself raises. Default: never.
        forms: The call forms of a function that has several: the condition, the checked function and its signature. The
            last form has no condition; a form that is not checked has no function.
        is_off: True to check nothing, and only ask whether the checks are still off.
    """

    signature: Signature
    scope_key: str | None = None
    exports_names: bool = False
    translated: tuple[type[Exception], ...] = ()
    may_be_method: bool = False
    after_error: Deferral | None = None
    forms: tuple[tuple[Predicate | None, Any, Signature | None], ...] = ()
    is_off: bool = False

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """The signatures of all forms."""
        return (self.signature, *(form for _, _, form in self.forms if form is not None))


class EngineSource(Protocol):
    """Writes the checks of one wrapper: the lines of one engine."""

    @property
    def source(self) -> SourceWriter:
        """The writer that collects the lines."""
        ...

    @property
    def exporter(self) -> tuple[str, ...]:
        """The lines of a second function, once the arguments are checked; see `call_names`."""
        ...

    @property
    def parameters(self) -> str:
        """The parameters of the wrapper."""
        ...

    @property
    def call(self) -> str:
        """The call of the function, once its arguments are checked."""
        ...

    @property
    def values(self) -> str:
        """The value of each parameter, as a tuple."""
        ...

    @property
    def checks_result(self) -> bool:
        """True if the result is checked at all."""
        ...

    def follow_trace(self) -> None:
        """Writes the code that a trace runs in place of the checks, if it cannot follow them."""
        ...

    def check_arguments(self) -> None:
        """Writes the check of the arguments."""
        ...

    def check_result(self, result: str) -> None:
        """Writes the check of the result, or of one item of a generator."""
        ...
