"""beartype's word on a value, beartype imported when it is first asked: importing it takes longer than all of ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any


def load() -> Callable[[Any, Any], bool]:
    """Beartype's own `is_bearable`, for what asks often."""
    from beartype.door import is_bearable  # noqa: PLC0415  # 140 ms, which a model without such hints need not pay

    return is_bearable


def is_bearable(value: Any, hint: Any) -> bool:
    """Whether beartype accepts this value for this hint."""
    return load()(value, hint)


def is_known(hint: Any) -> bool:
    """Whether beartype can check this hint at all. It knows no `Self`, no `P.args`, no `TypeGuard` inside a hint.

    Asking also keeps its warnings about the old names of `typing` from a user who calls us: it gives them once a hint.
    """
    from beartype import roar  # noqa: PLC0415  # as above

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", roar.BeartypeDecorHintPep585DeprecationWarning)
        try:
            load()(None, hint)
        except roar.BeartypeException:
            return False
    return True
