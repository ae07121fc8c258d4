"""The note on an exception of torch's, and what `explain` returns of it."""

from __future__ import annotations

import re

from dimtyped.diagnosis.torch_errors.explanation import explain_error
from dimtyped.diagnosis.torch_errors.frames import frames_of, has_passed_another, is_users_own
from dimtyped.diagnosis.torch_errors.kinds import TORCH_KINDS
from dimtyped.diagnosis.torch_errors.report import TorchErrorReport
from dimtyped.diagnosis.torch_errors.scene import is_of_trace
from dimtyped.errors import DeclarationError, with_fields
from dimtyped.runtime import WithoutInternalFrames, strip_traced_frames

_REPORT = "_dim_report"


def annotate(error: BaseException) -> None:
    """Adds a note to an exception that torch raised inside the typed call that is running, if it can be explained."""
    if is_candidate(error) and not is_users_own(error) and not has_passed_another(error):
        _add(error, report_of(error))


def leave_unexplained(error: BaseException) -> None:
    """Keeps an exception from getting a note, because what follows the run explains it."""
    error.__dict__.setdefault(_REPORT, None)


def report_of(error: BaseException) -> TorchErrorReport | None:
    """The report of an exception; None if nothing is known, or if reading the user's objects fails."""
    try:
        report = explain_error(error)
        str(report)
    except Exception:  # noqa: BLE001  # a user's own objects are looked at: a second exception must not hide the first
        return None
    return report


def annotate_traced(error: BaseException, known: TorchErrorReport | None) -> None:
    """Adds a note to an error that ends a trace with a typed call in it.

    Args:
        error: The error.
        known: The report of the operator that failed in this trace; it belongs to this error if that has its message.
    """
    if _REPORT in error.__dict__:
        return
    if known is not None and _without_quotes(known.message) in _without_quotes(str(error)):
        strip_traced_frames(error)  # of whatever class: the compiler wraps an operator's error in one of its own
        _add(error, known)
    elif is_candidate(error) and any(frame.is_wrapper for frame in frames_of(error)):
        strip_traced_frames(error)
        _add(error, report_of(error))


def _without_quotes(text: str) -> str:
    return re.sub(r"[\\'\"]", "", text)


def report_of_traced(error: BaseException) -> TorchErrorReport | None:
    """The report of an operator's error inside a trace, if there is a typed call around it."""
    return report_of(error) if any(frame.is_wrapper for frame in frames_of(error)) else None


def _add(error: BaseException, report: TorchErrorReport | None) -> None:
    if report is not None:
        error.__dict__[_REPORT] = report
        error.add_note(str(report))


def is_candidate(error: BaseException) -> bool:
    """True for an exception of a class that torch raises, that has no note of ours yet."""
    return (type(error) in TORCH_KINDS or is_of_trace(error)) and _REPORT not in error.__dict__


@WithoutInternalFrames()
def explain(error: BaseException) -> TorchErrorReport | None:
    """What dimtyped knows of an exception that torch raised inside a typed call, as data.

    Args:
        error: The exception, as an `except` clause has it. Its causes are looked at too, if it has no note itself.

    Returns:
        The report, whose `str` is the note and whose `to_dict()` is what `json.dumps` takes; None if there is no note: the
        exception is not torch's, or came from outside of a typed call. A `DimensionError` has its own fields.

    Raises:
        DeclarationError: It is no exception.

    Example:
        >>> import torch
        >>> from dimtyped import explain, typed
        >>> from jaxtyping import Float
        >>> from torch import Tensor
        >>> @typed
        ... def scores(q: Float[Tensor, "time head"], k: Float[Tensor, "time head"]):
        ...     return q @ k
        >>> try:
        ...     scores(torch.ones(8, 16), torch.ones(8, 16))
        ... except RuntimeError as error:
        ...     report = explain(error)
        >>> report.problem, report.fix
        ('head=16 meets time=8', 'q @ k.T')
    """
    if not isinstance(error, BaseException):
        raise with_fields(
            DeclarationError(
                f"explain() takes an exception, not {error!r} of type {type(error).__name__}\n"
                "  Give it what an `except` clause has: except RuntimeError as error: explain(error)."
            ),
            where="explain",
            argument="error",
            expected="an exception",
            actual=type(error).__name__,
        )
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and all(found is not other for other in seen):
        if _REPORT in found.__dict__:
            return found.__dict__[_REPORT]
        seen.append(found)
        found = found.__cause__ or found.__context__
    return None
