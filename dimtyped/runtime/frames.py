"""The variables of a running function, read without keeping them."""

from __future__ import annotations

import inspect
import sys
import types
from typing import Any

_OURS = 3  # references to a frame's dictionary of variables: the frame's, and two here


def locals_of(frame: types.FrameType) -> dict[str, Any]:
    """A copy of a function's variables.

    Before Python 3.13 a frame keeps the dictionary that it hands out until the function returns, and with it every
    tensor that the function deletes meanwhile. So the dictionary is emptied, unless the user holds it too, through `locals()`.
    """
    held = frame.f_locals
    values = dict(held)
    is_copy = sys.version_info < (3, 13) and bool(frame.f_code.co_flags & inspect.CO_OPTIMIZED)
    if is_copy and sys.getrefcount(held) == _OURS:
        held.clear()
    return values
