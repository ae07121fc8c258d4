"""beartype's check of a value. beartype is imported at the first use: that takes longer than `import dimtyped`."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Union, get_args, get_origin


def load() -> Callable[[Any, Any], bool]:
    """Beartype's own `is_bearable`, for frequent use."""
    from beartype.door import is_bearable  # noqa: PLC0415  # 140 ms, which a model without such hints need not pay

    return is_bearable


def is_bearable(value: Any, hint: Any) -> bool:
    """True if beartype accepts this value for this hint."""
    return load()(value, hint)


def is_known(hint: Any) -> bool:
    """True if beartype can check this hint. It does not support `Self`, `P.args` or `TypeGuard` inside a hint."""
    from beartype import roar  # noqa: PLC0415  # as above

    try:
        load()(None, modern(hint))
    except roar.BeartypeException:
        return False
    return True


def modern(hint: Any) -> Any:
    """The hint without the old names of `typing`, `List[int]`: beartype warns of them, whoever the caller is."""
    origin, arguments = get_origin(hint), tuple(_modern_part(part) for part in get_args(hint))
    if origin in (Union, types.UnionType):
        return Union[arguments]  # noqa: UP007
    if not isinstance(origin, type) or type(hint).__module__ not in ("typing", "types"):
        return hint
    return origin[arguments] if hasattr(hint, "__args__") else origin  # pyright: ignore[reportIndexIssue]  # a generic


def _modern_part(part: Any) -> Any:
    return [modern(inner) for inner in part] if isinstance(part, list) else modern(part)
