"""The axes of the inputs and outputs of each module of a model, found in one run on fake tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dimtyped.flow.axes import Axes
from dimtyped.flow.interpreter import Flow
from dimtyped.flow.summaries.making import recorded_run
from dimtyped.flow.summaries.tensors import tensors_in
from dimtyped.flow.targets import target_of


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """The axes of each tensor of one call of a module.

    Attributes:
        inputs: Those of its arguments.
        outputs: Those of its result.
        sources: For each tensor of its arguments the path of the module that gave it; None where no module did.
    """

    inputs: tuple[Axes, ...]
    outputs: tuple[Axes, ...]
    sources: tuple[str | None, ...]


def module_calls(model: nn.Module, *args: Any) -> dict[str, list[ModuleCall]]:
    """The calls of each module of a model, by its path.

    Args:
        model: The model, of any size and on any device.
        *args: Its inputs. Default: made from the annotations.

    Raises:
        DeclarationError: Nothing says which inputs it takes.
        Exception: What the model raises.
    """
    recorder, _, _ = recorded_run(target_of(model), args, {}, {}, _CallRecorder)
    return recorder.calls


class _CallRecorder:
    """Keeps the axes of each call of each module of a copy that runs."""

    def __init__(self, flow: Flow, root: nn.Module):
        self.calls: dict[str, list[ModuleCall]] = {}
        self._flow = flow
        self._root = root
        self._paths = {id(module): path for path, module in root.named_modules()}
        self._handles: list[RemovableHandle] = []
        self._makers: dict[int, str] = {}
        self._kept: list[Tensor] = []  # so that no other tensor gets the identity of one that is gone

    def __enter__(self) -> Self:
        for module in self._root.modules():
            self._handles.append(module.register_forward_hook(self._after, with_kwargs=True))
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _after(self, module: nn.Module, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        path = self._paths[id(module)]
        taken, given = list(tensors_in((args, kwargs))), list(tensors_in(result))
        sources = tuple(self._makers.get(id(tensor)) for tensor in taken)
        call = ModuleCall(self._axes_of(taken), self._axes_of(given), sources)
        self.calls.setdefault(path, []).append(call)
        for tensor in given:
            self._makers.setdefault(id(tensor), path)  # of modules that give the same tensor, the innermost made it
        self._kept += given

    def _axes_of(self, tensors: Iterable[Tensor]) -> tuple[Axes, ...]:
        return tuple(self._flow.axes_of(tensor) for tensor in tensors)
