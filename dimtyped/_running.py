"""What is running: the modules and the typed calls on the stack. Looked at only once a check has failed."""

from __future__ import annotations

import inspect
import itertools
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dimtyped._describe import Seen, look
from dimtyped._frames import locals_of
from dimtyped._mismatch import Call, size_text
from dimtyped._signature import Parameter, Signature
from dimtyped._tracing import traced_frame

_REFERENCE = "dimtyped._reference_calls"
_GENERATED = "<dimtyped "
"""How the file names of generated checks begin."""
_WRAPPERS = ("torch.nn.parallel.", "torch.distributed.")


def running_modules() -> Iterator[torch.nn.Module]:
    """The modules whose methods are on the stack, outermost first."""
    found: list[torch.nn.Module] = []
    for _, _, values in _frames(_is_of_method):
        if isinstance(values.get("self"), torch.nn.Module):
            found.append(_unwrapped(values["self"]))
    return reversed(found)


def layer_path(layer: torch.nn.Module, method: str = "forward") -> str:
    """The layer's path from the outermost module that is running: `Seq2Seq.decoder.gru`."""
    return path_of(layer) or f"{type(layer).__name__}.{method}"


def path_of(module: torch.nn.Module) -> str:
    """The same; empty for a module that is in no other one."""
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
    """The user's module inside what compiles or distributes it."""
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


def _frames(
    wanted: Callable[[types.CodeType, Mapping[str, Any]], bool],
) -> Iterator[tuple[types.CodeType, Mapping[str, Any], Mapping[str, Any]]]:
    """The code, globals and locals of the wanted frames, innermost first; inside a trace, of those it traces too."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        traced = traced_frame(frame)
        code, names = traced[:2] if traced is not None else (frame.f_code, frame.f_globals)
        if wanted(code, names):
            yield traced or (code, names, locals_of(frame))
        frame = frame.f_back


def _is_of_method(code: types.CodeType, _: Mapping[str, Any]) -> bool:
    return code.co_argcount > 0 and code.co_varnames[0] == "self"


def _is_ours(code: types.CodeType, names: Mapping[str, Any]) -> bool:
    is_reference = code.co_name == "call" and names.get("__name__") == _REFERENCE
    return is_reference or (code.co_filename.startswith(_GENERATED) and not code.co_name.startswith("_dt_"))


# Typed calls ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Around:
    """A typed call that has not returned yet, around the one that failed.

    Args:
        where: The function.
        parameters: Its parameters.
        values: What they were given.
        sizes: The names that its arguments have bound, `*name` for several axes.
    """

    where: str
    parameters: tuple[Parameter, ...]
    values: Mapping[str, Any]
    sizes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"in {self.where}: {', '.join(f'{name}={size_text(size)}' for name, size in self.sizes.items())}"

    def name_of(self, value: Any) -> Parameter | None:
        """The parameter that was given exactly this object."""
        return next((p for p in self.parameters if value is not None and self.values.get(p.name) is value), None)


def calls_around(signature: Signature) -> Iterator[Around]:
    """The users' typed calls around the innermost one of this function, nearest first.

    Their arguments are read from the frames and checked again: until a check fails this costs nothing.
    """
    calls = itertools.dropwhile(lambda call: call[0].function is not signature.function, _typed_calls())
    inner = next(calls, None)
    for call in calls:
        if inner is not None and not call[0].is_layer and not _is_same(call, inner):
            yield _around(*call)
        inner = call


def arguments_of(entry: Any) -> Mapping[str, Any]:
    """The arguments of the innermost call of this entry, where its frame can be seen."""
    return next((values for found, values in _typed_calls() if found is entry), {})


def _is_same(outer: tuple[Any, Mapping[str, Any]], inner: tuple[Any, Mapping[str, Any]]) -> bool:
    """Whether one only hands its arguments on to the other, a check of the same function for other names."""
    return outer[0] is inner[0] and all(value is inner[1].get(name) for name, value in outer[1].items())


def _typed_calls() -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Each frame of ours, nearest first: the entry of a generated check or of the reference engine, and its arguments."""
    entry: Any
    traced: Any = None
    for _, names, values in _frames(_is_ours):
        entry = names.get("_dt_entry")
        if entry is not None:
            traced = entry
        else:  # the reference engine's
            entry = values.get("entry")
            if entry is None or entry is traced:  # a trace follows the check that it has handed this call to
                traced = None
                continue
            values = inspect.signature(entry.function).bind(*values["arguments"], **values["keywords"]).arguments
        yield entry, {p.name: values[p.name] for p in entry.signature.parameters if p.name in values}


def _around(entry: Any, values: Mapping[str, Any]) -> Around:
    seen: dict[str, Seen] = {name: look(value) for name, value in values.items()}
    owner = entry.owner(tuple(values.values()))
    found = Call(entry.signature, entry.declared(owner), seen, paths=values, owner=owner).check()
    sizes = {name: binding.size for name, binding in found.bindings.items() if not binding.is_declared}
    sizes |= {f"*{name}": binding.size[1] for name, binding in found.runs.items()}
    return Around(entry.signature.where, entry.signature.parameters, values, sizes)
