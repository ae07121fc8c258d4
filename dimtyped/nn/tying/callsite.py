"""Whose code assigns a parameter: a user's, or a framework's, which knows what it does."""

from __future__ import annotations

import copy
import sys
import types
from typing import Any, NamedTuple

_FRAMEWORKS = (
    "torch.",
    "torchao.",
    "peft.",
    "transformers.",
    "accelerate.",
    "bitsandbytes.",
    "deepspeed.",
    "lightning.",
)
_PLUMBING = ("__setattr__", "__delattr__", "register_parameter")
"""The methods of torch's modules that lie between an assignment and ours."""


def by_framework() -> bool:
    """Whether the code that assigns is torch's own or another framework's."""
    return is_framework(calling_module())


def is_framework(module: str) -> bool:
    """Whether a Python module of this name is torch's own or another framework's."""
    return module.startswith(_FRAMEWORKS)


def calling_module() -> str:
    """The name of the Python module whose code assigns, deletes or registers."""
    frame = _calling_frame()
    return frame.f_globals.get("__name__", "") if frame is not None else ""


def sharded_together() -> list[Any] | None:
    """The modules whose common parameter FSDP2's `fully_shard` is replacing; None if it is not."""
    frame = _calling_frame()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("torch.distributed.fsdp."):
        place: Any = getattr(frame.f_locals.get("self"), "_module_info", None)
        if hasattr(place, "shared_modules"):
            return [place.module, *place.shared_modules]
        frame = frame.f_back
    return None


class Copying(NamedTuple):
    """A `copy.deepcopy` at work: of what, what it was asked to copy at first, and the name of the module that asked."""

    original: Any
    whole: Any
    by: str


def copying() -> Copying | None:
    """The `copy.deepcopy` that makes the module whose state is being set; None if none does."""
    frame: types.FrameType | None = sys._getframe(1)
    copies: list[types.FrameType] = []
    while frame is not None:
        if frame.f_code is copy.deepcopy.__code__:
            copies.append(frame)
        frame = frame.f_back
    if not copies or copies[-1].f_back is None:
        return None
    asking = copies[-1].f_back.f_globals.get("__name__", "")
    return Copying(copies[0].f_locals["x"], copies[-1].f_locals["x"], asking)


def _calling_frame() -> types.FrameType | None:
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and _is_between(frame.f_globals.get("__name__", ""), frame.f_code.co_name):
        frame = frame.f_back
    return frame


def _is_between(module: str, function: str) -> bool:
    return module.startswith("dimtyped.") or (module.startswith("torch.nn.modules.") and function in _PLUMBING)
