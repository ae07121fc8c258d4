"""Distinguishes a parameter assigned by the user's code from one assigned by a framework, which is trusted."""

from __future__ import annotations

import sys
import types
import warnings
from typing import Any

from dimtyped.errors import DimensionWarning
from dimtyped.runtime.tracebacks import is_internal

FRAMEWORKS = (
    "torch.",
    "torchao.",
    "peft.",
    "transformers.",
    "accelerate.",
    "bitsandbytes.",
    "deepspeed.",
    "lightning.",
)
_ASSIGNING = ("__setattr__", "__delattr__", "register_parameter")
"""The methods of torch modules that are called between an assignment and our code."""


def by_framework() -> bool:
    """True if torch or another framework assigns, rather than the user."""
    return is_framework(calling_module())


def is_framework(module: str) -> bool:
    """True for the name of a Python module of torch or of another framework."""
    return module.startswith(FRAMEWORKS)


def calling_module() -> str:
    """The name of the Python module that assigns, deletes or registers."""
    return module_of(calling_frame())


def calling_frame() -> types.FrameType | None:
    """The frame that assigns, deletes or registers: the first above this package and above torch's own assignment."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and _is_between(module_of(frame), frame.f_code.co_name):
        frame = frame.f_back
    return frame


def warn_user(text: str) -> None:
    """Issues a DimensionWarning at the line that assigns or constructs: the first above this package."""
    _warn_at(calling_frame(), text)


def warn_caller(text: str) -> None:
    """Issues a DimensionWarning at the line of the user's code that calls: the first above this package and torch."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and is_internal(frame.f_code.co_filename):
        frame = frame.f_back
    _warn_at(frame, text)


def _warn_at(frame: types.FrameType | None, text: str) -> None:
    if frame is None:
        warnings.warn(text, DimensionWarning, stacklevel=3)
        return
    registry: dict[Any, Any] = frame.f_globals.setdefault("__warningregistry__", {})
    code = frame.f_code
    warnings.warn_explicit(text, DimensionWarning, code.co_filename, frame.f_lineno, module_of(frame), registry)


def enclosing_frames(code: types.CodeType) -> list[types.FrameType]:
    """The running calls of one function, innermost first."""
    frame: types.FrameType | None = sys._getframe(1)
    found: list[types.FrameType] = []
    while frame is not None:
        if frame.f_code is code:
            found.append(frame)
        frame = frame.f_back
    return found


def module_of(frame: types.FrameType | None) -> str:
    """The name of the Python module whose code a frame runs."""
    return frame.f_globals.get("__name__", "") if frame is not None else ""


def _is_between(module: str, function: str) -> bool:
    return module.startswith("dimtyped.") or (module.startswith("torch.nn.modules.") and function in _ASSIGNING)
