"""The way of an exception out of a wrapper: torch's own gets its note, and this package's frames go."""

from __future__ import annotations

from typing import Any

from dimtyped import diagnosis
from dimtyped.runtime import TraceErrors, eagerly, strip_internal_frames


def leave_wrapper(error: BaseException) -> None:
    """Explains torch's own exceptions, and takes the wrapper's frames out of the traceback of any."""
    if diagnosis.may_be_torchs(error):
        eagerly(diagnosis.annotate)(error)
    strip_internal_frames(error)


def _explain_traced(error: BaseException) -> Any:
    return eagerly(diagnosis.report_of_traced)(error)


def _finish_traced(error: BaseException, known: Any) -> None:
    eagerly(diagnosis.annotate_traced)(error, known)


TraceErrors(_explain_traced, _finish_traced).install()
