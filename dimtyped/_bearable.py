"""beartype's word on a value, beartype imported when it is first asked: importing it takes longer than all of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def load() -> Callable[[Any, Any], bool]:
    """beartype's own `is_bearable`, for what asks often."""
    from beartype.door import is_bearable  # noqa: PLC0415  # 140 ms, which a model without such hints need not pay

    return is_bearable


def is_bearable(value: Any, hint: Any) -> bool:
    """Whether beartype accepts this value for this hint."""
    return load()(value, hint)
