"""Which module's output goes into which module, through the operators between them."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from dimtyped.flow.axes import Axes
from dimtyped.flow.interpreter import Flow
from dimtyped.flow.store import TensorMap
from dimtyped.flow.summaries.tensors import tensors_in
from dimtyped.runtime import Places, internal_frame

INPUT, OUTPUT, JOIN = "<input>", "<output>", "#"


@dataclass(frozen=True)
class Link:
    """A tensor that goes from one place to another.

    A place is the path of a module; `<input> x` and `<output>`; and `path#add:12`, an operator on line 12 in the module's forward
    that joins what comes from several places.

    Args:
        source: Where it comes from.
        target: Where it goes.
        axes: The text of each of its axes: a name, a product of names, or a size.
    """

    source: str
    target: str
    axes: tuple[str, ...]


class Links(TorchFunctionMode):
    """Keeps where each tensor of a run comes from, while it is active.

    Args:
        flow: Knows the axes of tensors.

    Attributes:
        found: The links, each once, in order.
        sizes: The size of each name that is an axis of one.
    """

    def __init__(self, flow: Flow):
        super().__init__()
        self.found: dict[Link, None] = {}
        self.sizes: dict[str, int] = {}
        self._flow = flow
        self._sources: TensorMap[str] = TensorMap()
        self._running: list[str] = []
        self._places = Places(())

    def begin(self, path: str) -> None:
        """A module begins to run."""
        self._running.append(path)

    def end(self) -> None:
        """It has ended."""
        self._running.pop()

    def start(self, forward: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Names the model's inputs by its parameters."""
        try:
            given = inspect.signature(forward).bind_partial(*args, **kwargs).arguments
        except (TypeError, ValueError):
            given = {"": (args, kwargs)}
        for name, value in given.items():
            self.made(tensors_in(value), f"{INPUT} {name}".rstrip())

    def made(self, tensors: Iterable[Tensor], source: str) -> None:
        """Records that these tensors come from this place."""
        for tensor in tensors:
            self._sources.set(tensor, source)

    def taken(self, tensors: Iterable[Tensor], target: str) -> None:
        """Records that these tensors go to this place."""
        for tensor in tensors:
            source = self._sources.get(tensor)
            if source is not None and source != target:
                axes = self._flow.axes_of(tensor)
                self.sizes.update((str(axis), axis.size) for axis in axes if str(axis).isidentifier())
                self.found[Link(source, target, _texts(axes))] = None

    @internal_frame
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, (Tensor, tuple, list)):
            given = list(tensors_in((args, kwargs or {})))
            sources = dict.fromkeys(source for tensor in given if (source := self._sources.get(tensor)) is not None)
            if sources:
                source = next(iter(sources))
                if len(sources) > 1:
                    source = self._join(func, sys._getframe(1))
                    self.taken(given, source)
                self.made(tensors_in(result), source)
        return result

    def _join(self, func: Callable[..., Any], frame: FrameType) -> str:
        name = re.sub(r"^__[ir]?|__$", "", getattr(func, "__name__", "operator"))
        return f"{self._running[-1] if self._running else ''}{JOIN}{name}:{self._places.find(frame).line}"


def _texts(axes: Axes) -> tuple[str, ...]:
    return tuple(str(axis) if axis.has_name else str(axis.size) for axis in axes)
