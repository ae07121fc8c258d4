"""The styles of a plan: torch's own, for plain tensors that are whole on each device, and those that torch has not.

Torch's styles take a plain tensor for this device's part where the layout of the input says so. In a plan of `sharding_plan`
a plain tensor is whole everywhere, so these styles make a replicated DTensor of it first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, SequenceParallel
from torch.distributed.tensor.placement_types import Placement
from torch.utils import _pytree as pytree


class _TakesWhole(ParallelStyle):
    """The part that makes of any input a DTensor in the layout that torch's style works on."""

    def _apply(self, module: torch.nn.Module, device_mesh: DeviceMesh) -> torch.nn.Module:
        layout = self._works_on(module)

        def placed(_: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            first, *rest = args
            return as_dtensor(first, device_mesh).redistribute(placements=[layout]), *rest

        module.register_forward_pre_hook(placed)
        return super()._apply(module, device_mesh)  # type: ignore[safe-super]  # pyright: ignore[reportAbstractUsage] - torch's style comes next

    def _works_on(self, module: torch.nn.Module) -> Placement:
        """The layout that the module's input has while it runs."""
        raise NotImplementedError


class ColumnParallel(_TakesWhole, ColwiseParallel):
    """Torch's `ColwiseParallel`."""

    def _works_on(self, module: torch.nn.Module) -> Placement:  # noqa: ARG002  # for other styles
        return Replicate()


class RowParallel(_TakesWhole, RowwiseParallel):
    """Torch's `RowwiseParallel`."""

    def _works_on(self, module: torch.nn.Module) -> Placement:
        return Replicate() if isinstance(module, torch.nn.Embedding) else Shard(-1)


class TiedOutputParallel(ColumnParallel):
    """Column-wise, for a tied output: torch's splits the layers inside too, and its projection stays whole."""

    def _partition_linear_fn(self, name: str, module: torch.nn.Module, device_mesh: DeviceMesh) -> None:
        if name:
            return
        for key, parameter in list(module.named_parameters(recurse=False)):
            place_parameter(module, key, parameter, device_mesh, Shard(0), self.src_data_rank)


class AlongSequence(_TakesWhole, SequenceParallel):
    """Torch's `SequenceParallel`; parameters are the first device's on all, and frozen ones stay frozen.

    Args:
        sequence_dim: The axis of the sequence.
        gathers: If True, it gives the whole sequence, gathered once for all layers that take it. Default: False.
    """

    def __init__(self, *, sequence_dim: int, gathers: bool = False):
        super().__init__(sequence_dim=sequence_dim, use_local_output=False)
        self.gathers = gathers

    def _apply(self, module: torch.nn.Module, device_mesh: DeviceMesh) -> torch.nn.Module:
        applied = super()._apply(module, device_mesh)
        if self.gathers:
            module.register_forward_hook(lambda _, __, result: result.redistribute(placements=[Replicate()]))
        return applied

    def _works_on(self, module: torch.nn.Module) -> Placement:  # noqa: ARG002  # for other styles
        return self.sequence_sharding[0]

    def _replicate_module_fn(self, name: str, module: torch.nn.Module, device_mesh: DeviceMesh) -> None:  # noqa: ARG002  # torch's
        for key, parameter in list(module.named_parameters(recurse=False)):
            place_parameter(module, key, parameter, device_mesh, Replicate(), self.src_data_rank)

    def __repr__(self) -> str:
        return f"AlongSequence(sequence_dim={self.sequence_sharding[0].dim}, gathers={self.gathers})"


class WholeParallel(ParallelStyle):
    """A layer that each device computes whole, on plain tensors: what it takes is gathered, what it gives is split again.

    Args:
        axes: For each tensor that it gives, in order, the axis that is split; None where the tensor stays whole.
    """

    def __init__(self, axes: Sequence[int | None] = ()):
        super().__init__()
        self.axes = tuple(axes)

    def _apply(self, module: torch.nn.Module, device_mesh: DeviceMesh) -> torch.nn.Module:
        module.register_forward_pre_hook(lambda _, args, kwargs: gathered((args, kwargs)), with_kwargs=True)
        module.register_forward_hook(lambda _, __, result: self._split(result, device_mesh))
        return module

    def _split(self, result: Any, mesh: DeviceMesh) -> Any:
        leaves, structure = pytree.tree_flatten(result)
        axes = iter(self.axes)
        placed = [_placed(leaf, next(axes, None), mesh) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        return pytree.tree_unflatten(placed, structure)

    def __repr__(self) -> str:
        return f"WholeParallel(axes={self.axes})"


class PaddedEncoder(ParallelStyle):
    """A stack of encoder layers that leaves padding in: torch's fused path makes nested tensors, which no DTensor holds."""

    def _apply(self, module: torch.nn.Module, device_mesh: DeviceMesh) -> torch.nn.Module:  # noqa: ARG002  # torch's
        keep_padding(module)
        return module


class ModelParallel(ParallelStyle):
    """The model around layers that give DTensors: it takes and gives plain tensors, and replicates what no layer has.

    Args:
        whole: The paths of modules that stay on plain tensors.
    """

    def __init__(self, whole: Sequence[str] = ()):
        super().__init__()
        self.whole = tuple(whole)

    def _apply(self, module: torch.nn.Module, device_mesh: DeviceMesh) -> torch.nn.Module:
        made: dict[int, torch.nn.Parameter] = {}
        for path, inner in module.named_modules():
            if not any(path == each or path.startswith(f"{each}.") for each in self.whole):
                self._replicate(inner, device_mesh, made)
                keep_padding(inner)
        module.register_forward_pre_hook(
            lambda _, args, kwargs: replicated((args, kwargs), device_mesh), with_kwargs=True
        )
        module.register_forward_hook(lambda _, __, result: gathered(result))
        return module

    def _replicate(self, module: torch.nn.Module, mesh: DeviceMesh, made: dict[int, torch.nn.Parameter]) -> None:
        for key, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) in made:  # shared by two modules
                module.register_parameter(key, made[id(parameter)])
            elif not isinstance(parameter, DTensor):
                place_parameter(module, key, parameter, mesh, Replicate(), self.src_data_rank)
                made[id(parameter)] = module._parameters[key]  # pyright: ignore[reportArgumentType] - it is there
        for key, buffer in list(module.named_buffers(recurse=False)):
            if not isinstance(buffer, DTensor):
                module._buffers[key] = distribute_tensor(buffer, mesh, [Replicate()], src_data_rank=self.src_data_rank)

    def __repr__(self) -> str:
        return f"ModelParallel(whole={self.whole})"


def keep_padding(module: torch.nn.Module) -> None:
    """Switches off the nested tensors of an encoder stack."""
    if isinstance(module, torch.nn.TransformerEncoder):
        module.use_nested_tensor = False


def place_parameter(
    module: torch.nn.Module,
    name: str,
    parameter: torch.nn.Parameter,
    mesh: DeviceMesh,
    placement: Placement,
    source: int | None,
) -> None:
    """Makes a parameter a DTensor; its values are those of the source device."""
    placed = distribute_tensor(parameter, mesh, [placement], src_data_rank=source)
    module.register_parameter(name, torch.nn.Parameter(placed, requires_grad=parameter.requires_grad))


def replicated(value: Any, mesh: DeviceMesh) -> Any:
    """A value with each plain tensor in it as a replicated DTensor."""
    return pytree.tree_map_only(Tensor, partial(as_dtensor, mesh=mesh), value)


def gathered(value: Any) -> Any:
    """A value with each DTensor in it as a plain tensor, which is whole."""
    return pytree.tree_map_only(DTensor, _whole, value)


def as_dtensor(tensor: Tensor, mesh: DeviceMesh) -> DTensor:
    """A tensor as a DTensor: a plain one is whole on each device."""
    return tensor if isinstance(tensor, DTensor) else DTensor.from_local(tensor, mesh, [Replicate()], run_check=False)


def _whole(tensor: DTensor) -> Tensor:
    return tensor.redistribute(placements=[Replicate()] * tensor.device_mesh.ndim).to_local()


def _placed(tensor: Tensor, axis: int | None, mesh: DeviceMesh) -> DTensor:
    whole = as_dtensor(tensor, mesh)
    return whole if axis is None else whole.redistribute(placements=[Shard(axis)])
