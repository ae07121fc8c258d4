"""What each module of a run takes, gives and computes: by hooks on the copy that runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.hooks import RemovableHandle

from dimtyped.flow.axes import Axes
from dimtyped.flow.interpreter import Flow


@dataclass
class Record:
    """The calls of one module.

    Args:
        inputs: The axes of each tensor that the first call took.
        outputs: The axes of each tensor that it gave.
        calls: The number of calls.
        multiply_adds: Of all calls, those of the modules inside too.
        output_bytes: The memory of what all calls gave.
    """

    inputs: list[Axes] = field(default_factory=list[Axes])
    outputs: list[Axes] = field(default_factory=list[Axes])
    calls: int = 0
    multiply_adds: int = 0
    output_bytes: int = 0


class Recorder:
    """Keeps a record of each module while a model runs once.

    Args:
        flow: Knows the axes of tensors.

    Attributes:
        records: By the path of the module; the root has the path "".
        input_bytes: The memory of what the root takes.
    """

    def __init__(self, flow: Flow):
        self.records: dict[str, Record] = {}
        self.input_bytes = 0
        self._flow = flow
        self._counter: Any = None
        self._root: nn.Module | None = None
        self._paths: dict[int, str] = {}
        self._begun: list[int] = []
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        """Waits for the first module that is called: it is the root."""
        self._handles.append(register_module_forward_pre_hook(self._begin))
        return self

    def __exit__(self, *error: object) -> None:
        """Removes all hooks."""
        for handle in self._handles:
            handle.remove()
        self._stop_counting()

    def _begin(self, root: nn.Module, args: Any) -> None:
        if self._root is not None:
            return
        self._root = root
        for path, module in root.named_modules():
            self._paths[id(module)] = path
            self._handles.append(module.register_forward_pre_hook(self._before))
            self._handles.append(module.register_forward_hook(self._after, with_kwargs=True))
        self._counter = FlopCounterMode(display=False, custom_mapping=_recurrent_formulas())
        self._counter.__enter__()
        self._before(root, args)  # torch has listed the root's hooks already

    def _before(self, _: nn.Module, args: Any) -> None:  # noqa: ARG002  # torch gives them
        self._begun.append(self._counter.get_total_flops())

    def _after(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any], result: Any) -> None:
        record = self.records.setdefault(self._paths[id(module)], Record())
        record.multiply_adds += (self._counter.get_total_flops() - self._begun.pop()) // 2
        record.output_bytes += sum(map(_bytes, _tensors(result)))
        if not record.calls:
            record.inputs = [self._flow.axes_of(tensor) for tensor in _tensors((args, dict(kwargs)))]
            record.outputs = [self._flow.axes_of(tensor) for tensor in _tensors(result)]
        record.calls += 1
        if module is self._root:
            self.input_bytes = sum(map(_bytes, _tensors((args, dict(kwargs)))))
            self._stop_counting()

    def _stop_counting(self) -> None:
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
            self._counter = None


def _tensors(value: Any) -> Iterator[Tensor]:
    for leaf in pytree.tree_leaves(value):
        if isinstance(leaf, Tensor) and not leaf.is_nested:
            yield leaf


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _recurrent_formulas() -> dict[Any, Callable[..., int]]:
    """Formulas for the kernels of recurrent layers that torch's counter leaves out; it counts two for a multiply-add."""

    def one_direction(input: Any, *weights: Any, out_val: Any = None, **_: Any) -> int:  # noqa: ARG001  # the counter's
        return 2 * prod(input[:-1]) * sum(prod(weight) for weight in weights[:2])

    def all_directions(input: Any, weights: Any, *_: Any, out_val: Any = None, **__: Any) -> int:  # noqa: ARG001
        return 2 * prod(input[:-1]) * sum(prod(weight) for weight in weights if len(weight) == 2)

    aten: Any = torch.ops.aten
    formulas = {"mkldnn_rnn_layer": one_direction, "_cudnn_rnn": all_directions}
    return {getattr(aten, name): formula for name, formula in formulas.items() if hasattr(aten, name)}
