"""The inputs, outputs and multiply-adds of each module of a run, recorded by hooks on the copy that runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Self

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.hooks import RemovableHandle

from dimtyped.flow.interpreter import Flow
from dimtyped.flow.summaries.links import OUTPUT, Links
from dimtyped.flow.summaries.tensors import bytes_of, tensors_in
from dimtyped.flow.summaries.tree import Record, computes


@dataclass
class _Running:
    """A call that has begun.

    Args:
        flops_before: What was counted before it.
        is_leaf: No other module was called inside.
    """

    flops_before: int
    is_leaf: bool = True


class Recorder:
    """Keeps a record of each module while a model runs once.

    Args:
        flow: Knows the axes of tensors.
        root: The model that runs: a copy.

    Attributes:
        records: By the path of the module; the root has the path "".
        input_bytes: The memory of the root's inputs.
        links: Where tensors come from and go to.
    """

    def __init__(self, flow: Flow, root: nn.Module):
        self.records: dict[str, Record] = {}
        self.input_bytes = 0
        self.links = Links(flow)
        self._flow = flow
        self._root = root
        self._counter: Any = None
        self._paths = {id(module): path for path, module in root.named_modules()}
        self._running: list[_Running] = []
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        """Waits for the root to be called."""
        for module in self._root.modules():
            self._handles.append(module.register_forward_pre_hook(self._before, with_kwargs=True))
            self._handles.append(module.register_forward_hook(self._after, with_kwargs=True))
        return self

    def __exit__(self, *error: object) -> None:
        """Removes all hooks."""
        for handle in self._handles:
            handle.remove()
        self._stop()

    def _before(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if not self._running:
            self._start(args, kwargs)
        for running in self._running:
            running.is_leaf = False
        self._running.append(_Running(self._counter.get_total_flops()))
        self.links.begin(self._paths[id(module)])

    def _start(self, args: Any, kwargs: dict[str, Any]) -> None:
        self._counter = FlopCounterMode(display=False, custom_mapping=_recurrent_formulas())
        self._counter.__enter__()
        self.links.__enter__()
        self.links.start(self._root.forward, args, kwargs)

    def _after(self, module: nn.Module, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        path, running = self._paths[id(module)], self._running.pop()
        record = self.records.setdefault(path, Record())
        record.multiply_adds += (self._counter.get_total_flops() - running.flops_before) // 2
        record.output_bytes += bytes_of(result)
        if not record.calls:
            record.inputs = [self._flow.axes_of(tensor) for tensor in tensors_in((args, kwargs))]
            record.outputs = [self._flow.axes_of(tensor) for tensor in tensors_in(result)]
        record.calls += 1
        self.links.end()
        if running.is_leaf or computes(module):
            self.links.taken(tensors_in((args, kwargs)), path)
            self.links.made(tensors_in(result), path)
        if not self._running:
            self.input_bytes = bytes_of((args, kwargs))
            self.links.taken(tensors_in(result), OUTPUT)
            self._stop()

    def _stop(self) -> None:
        if self._counter is not None:
            self.links.__exit__(None, None, None)
            self._counter.__exit__(None, None, None)
            self._counter = None


def _recurrent_formulas() -> dict[Any, Callable[..., int]]:
    """Formulas for the kernels of recurrent layers that torch's counter leaves out; it counts two for a multiply-add."""

    def one_direction(input: Any, *weights: Any, out_val: Any = None, **_: Any) -> int:  # noqa: ARG001  # the counter's
        return 2 * prod(input[:-1]) * sum(prod(weight) for weight in weights[:2])

    def all_directions(input: Any, weights: Any, *_: Any, out_val: Any = None, **__: Any) -> int:  # noqa: ARG001
        return 2 * prod(input[:-1]) * sum(prod(weight) for weight in weights if len(weight) == 2)

    aten: Any = torch.ops.aten
    formulas = {"mkldnn_rnn_layer": one_direction, "_cudnn_rnn": all_directions}
    return {getattr(aten, name): formula for name, formula in formulas.items() if hasattr(aten, name)}
