"""Functions that may be called in several forms: which check holds for a call, and when it runs.

A form is named by a condition in Python over the function's parameters, so that a compiled check can state it in a line.
All that the engine knows of forms is here: their declaration, `CallForms`, and the checks made for them, `FormChecks`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

_C = TypeVar("_C")


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a call.

    Args:
        when: A condition in Python over the function's parameters; empty for every call.
        inputs: The annotations that hold in it. None: the call is not checked.
    """

    when: str
    inputs: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class CallForms:
    """The forms of a function's calls.

    Args:
        usual: The first whose condition is true decides; the last one's is empty. Default: the function has one form.
        fallback: Forms that are looked at only once the check has failed: the first whose condition is true decides.
        after_error: A condition. Where it is true the function raises by itself for all that the annotations refuse, so
            that outside traces the check waits for that. Default: the check comes first.
    """

    usual: tuple[Form, ...] = ()
    fallback: tuple[Form, ...] = ()
    after_error: str = ""


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
        self.usual: tuple[tuple[str, _C | None], ...] = tuple(
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
        """Compiles the fallback forms' conditions, for traces cannot; at import it would cost every layer."""
        conditions = (predicate(self._function, text) for text in self._fallback_conditions)
        self.fallback_cases = tuple(zip(conditions, self.fallback, strict=True))

    def select_form(self, values: tuple[Any, ...], otherwise: _C) -> _C | None:
        """Returns the check that holds in this form of the call, None where it is not checked.

        `otherwise` is the check of a function without several forms.
        """
        chosen = (check for text, check in self.usual if not text or predicate(self._function, text)(*values))
        return next(chosen, otherwise)

    def select_fallback(self, values: tuple[Any, ...], otherwise: _C) -> _C | None:
        """Returns the check that decides in place of `otherwise`, which has failed; None where the call is not checked."""
        return next((check for holds, check in self.fallback_cases if holds(*values)), otherwise)

    def waits_for_error(self, values: tuple[Any, ...]) -> bool:
        """Returns True if the check of this call waits until the function has raised."""
        return bool(self.after_error) and predicate(self._function, self.after_error)(*values)


@functools.lru_cache(maxsize=512)
def predicate(function: Callable[..., Any], condition: str) -> Callable[..., bool]:
    """The condition of a form as a function of the parameters."""
    parameters = ", ".join(inspect.signature(function).parameters)
    known = {"Tensor": torch.Tensor, **inspect.unwrap(function).__globals__}  # as the compiled check finds them
    return eval(f"lambda {parameters}: {condition}", known)  # our own declaration's text
