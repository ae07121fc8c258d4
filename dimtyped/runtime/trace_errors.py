"""The errors of traces: what TorchDynamo raises, seen while the frames that it traced can still be read.

Checks that a trace need not follow, because torch refuses the same calls, run here too: before each operator, untraced.
"""

from __future__ import annotations

import functools
import itertools
import threading
import types
from collections.abc import Callable
from typing import Any

import torch
from torch._guards import CompileContext

from dimtyped.runtime.generated import is_wrapper
from dimtyped.runtime.import_hooks import when_imported
from dimtyped.runtime.tracing import TracedFrame, frames_of_trace

_OBSERVED = "FakeTensorObservedException"
"""The exception by which torch 2.14 lets a failed operator go through the traced code's own `except` clauses."""

_MOST_BETWEEN = 1  # functions of torch's between a layer's operator and its `forward`
_AXIS_OF = {"softmax": 1, "softmin": 1, "gumbel_softmax": 4, "sort": 1, "argsort": 1}
"""The operators whose functions for fake tensors take any axis, with the place of that argument."""


class TraceErrors:
    """Has a function called with each error that ends a trace, before it is raised.

    Where a release lacks one of the two functions that are wrapped, errors of traces are as TorchDynamo makes them.

    Args:
        check: Called before an operator of a function that is called by a wrapper, with the wrapper's frame.
        explain: Called with an error whose traceback has the traced frames; its result is kept.
        finish: Called with the error that is raised, and with what `explain` returned last in this trace's thread.
    """

    def __init__(
        self,
        check: Callable[[TracedFrame], None],
        explain: Callable[[BaseException], Any],
        finish: Callable[[BaseException, Any], None],
    ) -> None:
        self._check = check
        self._explain = explain
        self._finish = finish
        self._last = threading.local()

    def install(self) -> None:
        """Wraps TorchDynamo's functions once it is imported."""
        when_imported("torch._dynamo.variables.builder", self._wrap_operators)
        when_imported("torch._dynamo.convert_frame", self._wrap_raising)

    def _wrap_operators(self, builder: types.ModuleType) -> None:
        run: Callable[..., Any] | None = getattr(builder, "get_fake_value", None)
        if run is None:
            return

        @functools.wraps(run)
        def get_fake_value(node: torch.fx.Node, *args: Any, **kwargs: Any) -> Any:
            wrapper = _calling_wrapper(args[0] if args else kwargs.get("tx"))
            if wrapper is not None:
                self._check(wrapper)
            try:
                result = run(node, *args, **kwargs)
            except Exception as error:
                if type(error).__name__ == _OBSERVED:
                    self._keep(error)
                raise
            try:
                raise_if_refused_later(node)
            except IndexError as error:
                self._keep(error)
            return result

        builder.__dict__["get_fake_value"] = get_fake_value

    def _keep(self, error: Exception) -> None:
        """Explains an operator's error while its trace runs: another exception may end that."""
        self._last.found = (_trace_id(), self._explain(error))

    def _wrap_raising(self, convert_frame: types.ModuleType) -> None:
        augment: Callable[..., Any] | None = getattr(convert_frame, "augment_exc_message", None)
        if augment is None:
            return

        @functools.wraps(augment)
        def augment_exc_message(error: Exception, *args: Any, **kwargs: Any) -> None:
            trace, found = self._last.__dict__.pop("found", (None, None))
            self._finish(error, found if trace == _trace_id() else None)
            augment(error, *args, **kwargs)

        convert_frame.__dict__["augment_exc_message"] = augment_exc_message


def _calling_wrapper(translator: Any) -> TracedFrame | None:
    """The frame of the wrapper that called the traced function which runs an operator, if one did."""
    around = itertools.islice(frames_of_trace(translator), 1, _MOST_BETWEEN + 2)
    return next((frame for frame in around if is_wrapper(frame[0])), None)


def _trace_id() -> object:
    """What tells the trace that runs from others."""
    return CompileContext.current_compile_id()


def raise_if_refused_later(node: torch.fx.Node) -> None:
    """Raises torch's error for an axis that a tensor does not have, if only the compiled graph would raise it.

    Torch's functions for fake tensors check the axes of all operators but these.
    """
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    place = _AXIS_OF.get(name)
    if place is None or not node.args or not isinstance(node.args[0], torch.fx.Node):
        return
    value = node.args[0].meta.get("example_value")
    axis = node.kwargs.get("dim", node.args[place] if len(node.args) > place else None)
    if isinstance(value, torch.Tensor) and isinstance(axis, int):
        torch.empty((1,) * max(value.dim(), 1), device="meta").size(axis)  # a scalar has an axis here
