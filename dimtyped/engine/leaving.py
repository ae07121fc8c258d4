"""The way of an exception out of a wrapper: torch's own gets its note, and this package's frames go."""

from __future__ import annotations

from dimtyped import diagnosis
from dimtyped.runtime import eagerly, strip_internal_frames


def leave_wrapper(error: BaseException) -> None:
    """Explains torch's own exceptions, and takes the wrapper's frames out of the traceback of any."""
    if diagnosis.may_be_torchs(error):
        eagerly(diagnosis.annotate)(error)
    strip_internal_frames(error)
