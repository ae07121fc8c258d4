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

from dimtyped.runtime.generated import is_wrapper
from dimtyped.runtime.import_hooks import when_imported
from dimtyped.runtime.tracing import TracedFrame, frames_of_trace

_OBSERVED = "FakeTensorObservedException"
"""The exception by which torch 2.14 lets a failed operator go through the traced code's own `except` clauses."""

_MOST_BETWEEN = 1  # functions of torch's between a layer's operator and its `forward`


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
        def get_fake_value(*args: Any, **kwargs: Any) -> Any:
            wrapper = _calling_wrapper(args[1] if len(args) > 1 else kwargs.get("tx"))
            if wrapper is not None:
                self._check(wrapper)
            try:
                return run(*args, **kwargs)
            except Exception as error:
                if type(error).__name__ == _OBSERVED:
                    self._last.found = self._explain(error)
                raise

        builder.__dict__["get_fake_value"] = get_fake_value

    def _wrap_raising(self, convert_frame: types.ModuleType) -> None:
        augment: Callable[..., Any] | None = getattr(convert_frame, "augment_exc_message", None)
        if augment is None:
            return

        @functools.wraps(augment)
        def augment_exc_message(error: Exception, *args: Any, **kwargs: Any) -> None:
            self._finish(error, self._last.__dict__.pop("found", None))
            augment(error, *args, **kwargs)

        convert_frame.__dict__["augment_exc_message"] = augment_exc_message


def _calling_wrapper(translator: Any) -> TracedFrame | None:
    """The frame of the wrapper that called the traced function which runs an operator, if one did."""
    around = itertools.islice(frames_of_trace(translator), 1, _MOST_BETWEEN + 2)
    return next((frame for frame in around if is_wrapper(frame[0])), None)
