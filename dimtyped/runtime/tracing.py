"""Everything that this package uses of TorchDynamo, including its internals.

`import dimtyped` does not import TorchDynamo. Its attributes are looked up inside a trace, where it is loaded.
If a release lacks an attribute, the trace still continues; a comment there states the effect.
"""

from __future__ import annotations

import functools
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar, cast

import torch
from torch._guards import TracingContext

from dimtyped.errors import DimensionError
from dimtyped.runtime.tracebacks import is_internal

_F = TypeVar("_F", bound=Callable[..., Any])
TracedFrame: TypeAlias = tuple[types.CodeType, Mapping[str, Any], Mapping[str, Any]]
"""The code of a frame that is traced, its globals, and its locals as fake tensors and constants."""
_disable: Any = cast("Any", torch.compiler).disable  # torch leaves it half typed

is_tracing = torch.compiler.is_dynamo_compiling
"""True where TorchDynamo traces this code. False under `torch.export` without `strict`, which runs it."""


def at_trace_time(function: _F) -> _F:
    """Marks a function that a trace runs but does not enter; its arguments must be constants in the trace.

    `torch.compiler.assume_constant_result` does the same, but imports TorchDynamo.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]  # what TorchDynamo looks for
    return function


def hold_methods(cls: type, *names: str) -> None:
    """Puts inherited methods that traces look up into the class itself.

    TorchDynamo guards each class in which it looks for a method in vain.
    """
    for name in names:
        if hasattr(cls, name):
            setattr(cls, name, getattr(cls, name))


def end_trace(error: DimensionError) -> DimensionError:
    """Ends the trace that runs this, so that the call is made eagerly; with `fullgraph=True`, raises the error.

    A `raise` in the traced code would end it too, but then TorchDynamo shows the text as one quoted line. If a release
    can do no better, and outside a trace, the error is returned so that the caller raises it.
    """
    kind = _ending(type(error)) if is_run_by_trace() else None
    if kind is None:
        return error
    ending = kind(str(error))
    ending.__dict__.update(error.__dict__, skip_frame=True)
    if isinstance(stack := getattr(ending, "real_stack", None), list):  # what TorchDynamo shows as the user's code
        stack[:] = [line for line in cast("list[traceback.FrameSummary]", stack) if not is_internal(line.filename)]
    raise ending


def restart_trace(reason: str) -> None:
    """Restarts the trace that runs this, because a module has changed since the trace read it."""
    kind = _of_dynamo("UnspecializeRestartAnalysis") if is_run_by_trace() else None
    if kind is not None:
        raise kind(restart_reason=reason)


def eagerly(function: _F) -> _F:
    """The function, excluded from tracing with all that it calls: for the slow path of a call that does not fit."""
    return _disable(function) if "torch._dynamo" in sys.modules else function


def frames_of_trace(translator: Any) -> Iterator[TracedFrame]:
    """The frame that one of TorchDynamo's translators traces, and those around it, innermost first."""
    while hasattr(translator, "symbolic_locals"):
        yield translator.f_code, translator.f_globals, _StandIns(translator.symbolic_locals)
        translator = getattr(translator, "parent", None)


def traced_frame(frame: types.FrameType) -> TracedFrame | None:
    """The code that TorchDynamo's own frame traces, its globals, and its locals as fake tensors and constants."""
    is_dynamo = frame.f_code.co_name == "run" and frame.f_globals.get("__name__", "").startswith("torch._dynamo.")
    translator: Any = frame.f_locals.get("self") if is_dynamo else None
    if not hasattr(translator, "symbolic_locals"):
        return None
    return translator.f_code, translator.f_globals, _StandIns(translator.symbolic_locals)


def traced_instruction(frame: types.FrameType) -> Any:
    """The instruction that TorchDynamo's own frame has come to: its `opname` and its `positions`."""
    return frame.f_locals["self"].current_instruction


class _StandIns(Mapping[str, Any]):
    """The variables of a trace as values: fake tensors, constants, the objects themselves; None for a variable without a value."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables

    def __getitem__(self, name: str) -> Any:
        return _stand_in(self._variables[name])

    def __contains__(self, name: object) -> bool:
        return name in self._variables

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def _stand_in(variable: Any) -> Any:
    variable = variable.realize() if hasattr(variable, "realize") else variable
    if variable.is_python_constant():
        return variable.as_python_constant()
    kind = type(variable).__name__
    if kind in ("ListVariable", "TupleVariable"):
        return variable.python_type()(_stand_in(item) for item in variable.items)
    if kind == "ConstDictVariable":  # its own way to list them would add a guard
        items = [(key.vt, value) for key, value in variable.items.items()]
        return {key.as_python_constant(): _stand_in(value) for key, value in items if key.is_python_constant()}
    proxy = getattr(variable, "proxy", None)
    if proxy is not None:
        return proxy.node.meta.get("example_value")
    return getattr(variable, "value", None)


def untraced(function: Callable[..., Any], reason: str) -> Callable[..., Any]:
    """The function behind a graph break. Called inside a trace only, where TorchDynamo is loaded."""
    try:
        return _disable(function, reason=reason)
    except TypeError:  # torch 2.6 takes no reason
        return _disable(function)


def is_run_by_trace() -> bool:
    """True while a trace runs Python code, such as a function marked by `at_trace_time`."""
    return TracingContext.try_get() is not None


@functools.cache
def _ending(kind: type[DimensionError]) -> type[DimensionError] | None:
    """A subclass of our error that makes TorchDynamo skip the frame."""
    unsupported = _of_dynamo("Unsupported")
    return None if unsupported is None else type(kind.__name__, (unsupported, kind), {"__module__": kind.__module__})


def _of_dynamo(name: str) -> Any:
    return getattr(sys.modules.get("torch._dynamo.exc"), name, None)
