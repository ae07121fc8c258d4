"""The layouts of what an annotated module takes and gives: an axis that is annotated with a split name is split."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import ParallelStyle
from torch.utils import _pytree as pytree

from dimtyped.annotations import ArrayHint, Axis, Hint, Kind, Signature, annotation_text, arrays_in
from dimtyped.diagnosis import annotated_tensors, spread_axes
from dimtyped.distributed.rules import outermost_factor
from dimtyped.distributed.styles import as_dtensor


class AnnotatedParallel(ParallelStyle):
    """Torch's `PrepareModuleInput` and `PrepareModuleOutput`, with layouts from annotations, whatever the form of the call.

    A plain tensor is whole on each device. An axis that is annotated with a split name is split. A call that takes plain tensors
    alone stays as it is, unless `replicates`: what it meets inside is plain too.

    Args:
        signature: The annotations of the module's `forward`.
        names: The split names. Where a tensor has several, the first one counts.
        replicates: If True, an annotated tensor without such an axis becomes a replicated DTensor; else it stays as it is.
    """

    def __init__(self, signature: Signature, names: Sequence[str], *, replicates: bool):
        super().__init__()
        self.signature = signature
        self.names = tuple(names)
        self.replicates = replicates

    def layouts(self) -> Iterator[tuple[str, int, str, str]]:
        """Each split axis: the parameter or `return`, its index, its name, and the annotation."""
        parameters = [(parameter.name, parameter.hint) for parameter in self.signature.parameters]
        for parameter, hint in (*parameters, ("return", self.signature.result)):
            for array in arrays_in(hint):
                rank = len(array.axes)
                axis = self._axis(array, rank)
                if axis is not None:
                    places = range(-rank, 0) if array.variadic is not None and axis > array.variadic else range(rank)
                    yield parameter, places[axis], _name(array.axes[axis]) or "", annotation_text(array.annotation)

    def _apply(self, module: torch.nn.Module, device_mesh: DeviceMesh) -> torch.nn.Module:
        module.register_forward_pre_hook(
            lambda _, args, kwargs: self._take(args, kwargs, device_mesh), with_kwargs=True
        )
        module.register_forward_hook(lambda _, __, result: self._put(self.signature.result, result, device_mesh))
        return module

    def _take(self, args: tuple[Any, ...], kwargs: dict[str, Any], mesh: DeviceMesh) -> tuple[Any, Any]:
        if not self.replicates and not any(isinstance(each, DTensor) for each in pytree.tree_leaves((args, kwargs))):
            return args, kwargs
        parameters = self.signature.parameters[1:]
        by_name = {parameter.name: parameter.hint for parameter in parameters}
        hints = [parameter.hint for parameter in parameters if parameter.kind in _POSITIONAL]
        rest = [parameter.hint for parameter in parameters if parameter.kind is inspect.Parameter.VAR_POSITIONAL]
        hints += rest * (len(args) - len(hints))
        placed = tuple(self._put(hint, value, mesh) for hint, value in zip(hints, args, strict=False))
        named = {
            name: self._put(by_name[name], value, mesh) if name in by_name else value for name, value in kwargs.items()
        }
        return (*placed, *args[len(placed) :]), named

    def _put(self, hint: Hint, value: Any, mesh: DeviceMesh) -> Any:
        """A value with its annotated tensors placed."""
        placed = {id(tensor): self._placed(array, tensor, mesh) for array, tensor in annotated_tensors(hint, value)}
        return pytree.tree_map_only(Tensor, lambda tensor: placed.get(id(tensor), tensor), value) if placed else value

    def _placed(self, array: ArrayHint, tensor: Tensor, mesh: DeviceMesh) -> Tensor:
        axis = self._axis(array, tensor.dim())
        if axis is None:
            return as_dtensor(tensor, mesh) if self.replicates else tensor
        if isinstance(tensor, DTensor) and tensor.placements == (Replicate(),):
            return tensor  # it was gathered for a reason: splitting it again would gather it once more
        return as_dtensor(tensor, mesh).redistribute(placements=[Shard(axis)])

    def _axis(self, array: ArrayHint, rank: int) -> int | None:
        words = spread_axes(array.axes, rank) or []
        for name in self.names:
            found = [place for place, word in words if _name(word) == name]
            if found:
                return found[0]
        return None

    def __repr__(self) -> str:
        return f"AnnotatedParallel({self.signature.where}, names={self.names}, replicates={self.replicates})"


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _name(axis: Axis) -> str | None:
    """The name that an axis can be split by. One that may be 1, `#seq`, is left alone."""
    if axis.many or axis.broadcast:
        return None
    if axis.kind is Kind.EXPRESSION and "{" not in axis.name:
        return outermost_factor(axis.name)
    return axis.name if axis.kind is Kind.NAME else None
