"""`sharding_plan`: how to split a model over devices, from the names of its layers' sizes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Literal, overload

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel

from dimtyped.distributed.rules import Split, Style, split_of
from dimtyped.errors import declaration_error
from dimtyped.names import is_scope, names_in, scope_of, similar_name
from dimtyped.names.layers import declared_sizes
from dimtyped.nn.contract import ROLES, Layer
from dimtyped.nn.layers.tied import TiedDecoder


class TiedOutputParallel(ColwiseParallel):
    """Column-wise, for a tied output: torch's splits the layers inside too, and its projection stays whole."""

    def _partition_linear_fn(self, name: str, module: torch.nn.Module, device_mesh: DeviceMesh) -> None:
        if name:
            return
        for key, parameter in list(module.named_parameters(recurse=False)):
            placed = distribute_tensor(parameter, device_mesh, [Shard(0)], src_data_rank=self.src_data_rank)
            module.register_parameter(key, torch.nn.Parameter(placed, requires_grad=parameter.requires_grad))


_STYLES: Mapping[Style, Callable[[], ParallelStyle]] = {
    # between a column-wise and a row-wise layer tensors stay DTensors: their shapes are the whole ones
    Style.COLUMN: lambda: ColwiseParallel(use_local_output=False),
    Style.COLUMN_GATHERED: lambda: ColwiseParallel(output_layouts=Replicate()),
    Style.ROW: lambda: RowwiseParallel(),
    Style.VOCABULARY: lambda: RowwiseParallel(input_layouts=Replicate()),
    Style.EMBEDDING: lambda: ColwiseParallel(output_layouts=Replicate()),
}
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")


@overload
def sharding_plan(
    model: torch.nn.Module, names: Mapping[str, str], *, mesh: DeviceMesh | None = None
) -> dict[str, ParallelStyle]: ...
@overload
def sharding_plan(
    model: torch.nn.Module, names: Mapping[str, str], *, mesh: DeviceMesh | None = None, explain: Literal[True]
) -> dict[str, str]: ...
@overload
def sharding_plan(
    model: torch.nn.Module, names: Mapping[str, str], *, mesh: DeviceMesh | None = None, as_tp_plan: Literal[True]
) -> dict[str, str]: ...
def sharding_plan(
    model: torch.nn.Module,
    names: Mapping[str, str],
    *,
    mesh: DeviceMesh | None = None,
    explain: bool = False,
    as_tp_plan: bool = False,
) -> dict[str, Any]:
    """Returns the tensor-parallel plan that `parallelize_module` takes, made from the names that layers declare.

    A Linear that makes a split size is column-wise, one that takes it row-wise; embeddings and tied outputs are split by
    their vocabulary, and a tie stays one parameter. A size such as `heads*head` is split by its first factor. Layers
    without such a name stay whole. Between a column-wise and a row-wise layer tensors are DTensors of the whole shape, so
    annotations and `view(batch, seq, heads, head)` stay as they are.

    Args:
        model: The model, whose typed layers were made with Dims.
        names: The axis of the device mesh for each name to split by: `{"ff": "tp", "heads": "tp"}`; one axis for all.
        mesh: The mesh, to check that it divides the sizes. Default: not checked.
        explain: If True, returns for each parameter how it is placed, and why. Default: False.
        as_tp_plan: If True, returns what transformers takes as `tp_plan`: the style for each pattern of module names.
            Default: False.

    Raises:
        DeclarationError: No layer has one of the names, a layer cannot be split by it, or the mesh does not divide a size.

    Example:
        >>> from dimtyped import DimSize, nn, sharding_plan
        >>> class FeedForward(nn.Module):
        ...     def __init__(self, embed: DimSize, ff: DimSize):
        ...         super().__init__()
        ...         self.up = nn.Linear(embed, ff)
        ...         self.down = nn.Linear(ff, embed)
        >>> sharding_plan(FeedForward(8, 32), {"ff": "tp"}, as_tp_plan=True)
        {'up': 'colwise', 'down': 'rowwise'}
    """
    axis = _axis_of(names)
    splits = splits_of(model, names)
    if mesh is not None:
        _reject_uneven(model, names, axis, mesh)
    if explain:
        return dict(_explained(model, splits, axis))
    if as_tp_plan:
        return _patterns({path: split.style.value for path, split in splits.items()})
    return {path: _style_of(model.get_submodule(path), split) for path, split in splits.items()}


def splits_of(model: torch.nn.Module, names: Collection[str]) -> dict[str, Split]:
    """How each layer that declares one of the names is split, by its path.

    Raises:
        DeclarationError: No layer has one of the names, or a layer cannot be split by it.
    """
    layers = [(path, each) for path, each in model.named_modules() if isinstance(each, Layer) and ROLES in vars(each)]
    _reject_unknown(model, names, layers)
    taken = {text for _, layer in layers for text in _taken_by(layer)}
    found = ((path, split_of(path, layer, names, taken)) for path, layer in layers)
    return {path: split for path, split in found if split is not None}


def split_axis(style: Style, rank: int) -> int | None:
    """The axis of a parameter that a style splits; None where it stays whole."""
    if style in (Style.COLUMN, Style.COLUMN_GATHERED, Style.VOCABULARY):
        return 0
    return 1 if rank > 1 else None


def _style_of(layer: torch.nn.Module, split: Split) -> ParallelStyle:
    if isinstance(layer, TiedDecoder) and split.style is Style.COLUMN_GATHERED:
        return TiedOutputParallel(output_layouts=Replicate())
    return _STYLES[split.style]()


def _axis_of(names: Mapping[str, str]) -> str:
    axes = sorted(set(names.values()))
    if len(axes) != 1:
        said = f"they have {', '.join(map(repr, axes))}" if axes else "there is no name"
        raise declaration_error(
            "sharding_plan",
            f"all names go to one axis of the mesh, and {said}",
            'write the same axis for each, {"ff": "tp", "heads": "tp"}, and make another plan for another axis',
            argument="names",
        )
    return axes[0]


def _taken_by(layer: Layer) -> Iterator[str]:
    """The size of the features that a layer takes, as its user wrote it."""
    flow = layer.contract.flow
    if flow is not None and isinstance(layer, torch.nn.Linear):
        role = vars(layer)[ROLES].get(flow[0])
        if role is not None:
            yield role


def _reject_unknown(model: torch.nn.Module, names: Collection[str], layers: list[tuple[str, Layer]]) -> None:
    known = sorted({name for _, layer in layers for text in vars(layer)[ROLES].values() for name in names_in(text)})
    for name in names:
        if name not in known:
            meant = similar_name(name, known)
            hint = f"write `{meant}`" if meant else "make its layers with Dims: a DimSize parameter, or dims(...)"
            raise declaration_error(
                "sharding_plan",
                f"no layer of {type(model).__name__} declares `{name}`; they declare {', '.join(known) or 'nothing'}",
                hint,
                dim=name,
                argument="names",
            )


def _reject_uneven(model: torch.nn.Module, names: Mapping[str, str], axis: str, mesh: DeviceMesh) -> None:
    if axis not in (mesh.mesh_dim_names or ()):
        raise declaration_error(
            "sharding_plan",
            f"the mesh has no axis {axis!r}; it has {mesh.mesh_dim_names}",
            "give init_device_mesh(..., mesh_dim_names=...) its names",
            argument="mesh",
        )
    parts = mesh[axis].size()
    for path, module in model.named_modules():
        for name, size in _sizes_of(module).items():
            if name in names and size % parts:
                raise declaration_error(
                    f"sharding_plan: {path}" if path else "sharding_plan",
                    f"`{name}` is {size}, which the {parts} devices of {axis!r} do not divide",
                    f"choose a multiple of {parts}, or leave `{name}` out",
                    dim=name,
                    expected=f"a multiple of {parts}",
                    actual=size,
                )


def _sizes_of(module: torch.nn.Module) -> Mapping[str, int]:
    """The sizes that a user's module or a typed layer declares, by name."""
    return {**declared_sizes(module), **(scope_of(module).names if is_scope(module) else {})}


def _explained(model: torch.nn.Module, splits: Mapping[str, Split], axis: str) -> Iterator[tuple[str, str]]:
    for path, module in model.named_modules():
        split = splits.get(path)
        for name, parameter in module.named_parameters(recurse=False):
            place = "whole" if split is None else _placement(split.style, parameter, axis)
            yield f"{path}.{name}".lstrip("."), place if split is None else f"{place}: {split.reason}"


def _placement(style: Style, parameter: torch.nn.Parameter, axis: str) -> str:
    split = split_axis(style, parameter.dim())
    return "whole" if split is None else f"axis {split} over {axis}"


def _patterns(styles: Mapping[str, str]) -> dict[str, str]:
    """The styles by pattern: a number in a path becomes `*` where all such paths have one style."""
    found: dict[str, set[str]] = {}
    for path, style in styles.items():
        found.setdefault(_NUMBER.sub("*", path), set()).add(style)
    return {
        (pattern if len(found[pattern]) == 1 else path): style
        for path, style in styles.items()
        for pattern in [_NUMBER.sub("*", path)]
    }
