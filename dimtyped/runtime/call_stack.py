"""The modules and the typed calls on the call stack. They are read only after a check has failed."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from dimtyped.runtime.frames import locals_of
from dimtyped.runtime.tracing import traced_frame

_WRAPPERS = ("torch.nn.parallel.", "torch.distributed.")


def running_modules() -> Iterator[torch.nn.Module]:
    """The modules whose methods are on the stack, outermost first."""
    found: list[torch.nn.Module] = []
    for _, _, values in frames(_is_of_method):
        if isinstance(values.get("self"), torch.nn.Module):
            found.append(_unwrapped(values["self"]))
    return reversed(found)


def layer_path(layer: torch.nn.Module, method: str = "forward") -> str:
    """The layer's path from the outermost module that is running: `Seq2Seq.decoder.gru`."""
    return path_of(layer) or f"{type(layer).__name__}.{method}"


def path_of(module: torch.nn.Module) -> str:
    """The module's path from the outermost running module that holds it; empty if no other one holds it."""
    for root in running_modules():
        if root is module:
            return ""
        for name, member in root.named_modules():
            if member is module:
                return f"{type(root).__name__}.{name}"
    return ""


def root_of(module: Any) -> torch.nn.Module | None:
    """The outermost running module that holds this one: the module itself where no other does."""
    if not isinstance(module, torch.nn.Module):
        return next(running_modules(), None)
    return next((root for root in running_modules() if any(member is module for member in root.modules())), module)


def parent_of(module: torch.nn.Module) -> torch.nn.Module | None:
    """The innermost running module that holds this one, if any."""
    for root in reversed([*running_modules()]):
        if root is not module and any(member is module for member in root.modules()):
            return root
    return None


def _unwrapped(module: Any) -> torch.nn.Module:
    """The user's module inside the wrappers that compile or distribute it."""
    inner = getattr(module, "_orig_mod", module)
    while type(inner).__module__.startswith(_WRAPPERS) and isinstance(getattr(inner, "module", None), torch.nn.Module):
        inner = inner.module
    return inner


def traced_frames() -> Iterator[tuple[types.CodeType, Mapping[str, Any], Mapping[str, Any]]]:
    """The frames that a trace is in, innermost first."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        traced = traced_frame(frame)
        if traced is not None:
            yield traced
        frame = frame.f_back


def frames(
    wanted: Callable[[types.CodeType, Mapping[str, Any]], bool],
) -> Iterator[tuple[types.CodeType, Mapping[str, Any], Mapping[str, Any]]]:
    """The code, globals and locals of the frames wanted, innermost first; inside a trace, also of the traced frames."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        traced = traced_frame(frame)
        code, names = traced[:2] if traced is not None else (frame.f_code, frame.f_globals)
        if wanted(code, names):
            yield traced or (code, names, locals_of(frame))
        frame = frame.f_back


def _is_of_method(code: types.CodeType, _: Mapping[str, Any]) -> bool:
    return code.co_argcount > 0 and code.co_varnames[0] == "self"
