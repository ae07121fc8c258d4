"""The style of each layer of a plan: its parameters, and the layouts of what it takes and gives."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.parallel import ParallelStyle
from torch.distributed.tensor.placement_types import Placement

from dimtyped.distributed.activations import Positions
from dimtyped.distributed.attention import PLACES, HeadsParallel
from dimtyped.distributed.rules import Split, Style
from dimtyped.distributed.styles import (
    AlongSequence,
    ColumnParallel,
    RowParallel,
    TiedOutputParallel,
    WholeParallel,
)
from dimtyped.nn import TiedDecoder
from dimtyped.nn.contract import Layer

_GATHERING = (Style.COLUMN, Style.COLUMN_GATHERED, Style.HEADS)
_NORMS = (torch.nn.LayerNorm, torch.nn.RMSNorm)


@dataclass(frozen=True)
class Activations:
    """A name by which the tensors between layers are split.

    Attributes:
        name: The name.
        positions: The axis that it is, in what each module takes and gives.
    """

    name: str
    positions: Mapping[str, Positions]

    def at(self, path: str) -> Positions:
        """Its axes in the calls of a module."""
        return self.positions.get(path, Positions())


@dataclass(frozen=True, slots=True)
class Whole:
    """A layer that no name splits, between tensors that are split.

    Attributes:
        style: How it is computed.
        reason: Why, in one line.
    """

    style: ParallelStyle
    reason: str


def style_of(layer: torch.nn.Module, split: Split, at: Positions | None) -> ParallelStyle:
    """The style of a layer that is split.

    Args:
        layer: The layer.
        split: How it is split.
        at: Where the tensors around it are split; None if they are whole, and plain.
    """
    is_local = at is None
    taken, given = (Replicate(), Replicate()) if at is None else (_layout(at.input), _layout(at.output))
    match split.style:
        case Style.COLUMN:
            # between a column-wise and a row-wise layer tensors stay DTensors: their shapes are the whole ones
            return ColumnParallel(input_layouts=taken, use_local_output=False)
        case Style.COLUMN_GATHERED:
            kind = TiedOutputParallel if isinstance(layer, TiedDecoder) else ColumnParallel
            return kind(input_layouts=taken, output_layouts=Replicate(), use_local_output=is_local)
        case Style.ROW:
            return RowParallel(output_layouts=given, use_local_output=is_local)
        case Style.VOCABULARY:
            return RowParallel(input_layouts=Replicate(), output_layouts=given, use_local_output=is_local)
        case Style.EMBEDDING:
            return ColumnParallel(output_layouts=given, use_local_output=is_local)
        case Style.HEADS:
            return HeadsParallel(use_local_output=is_local)


def split_axis(split: Split, name: str, rank: int) -> int | None:
    """The axis of a layer's parameter that is split; None where it stays whole."""
    if split.style is Style.HEADS:
        place = PLACES[name]
        return place.dim if isinstance(place, Shard) else None
    if split.style in (Style.COLUMN, Style.COLUMN_GATHERED, Style.VOCABULARY):
        return 0
    return 1 if rank > 1 else None


def whole_layers(model: torch.nn.Module, splits: Mapping[str, Split], activations: Activations) -> dict[str, Whole]:
    """The layers that no name splits, by path: norms and dropouts work along the split axis, others on gathered tensors."""
    return dict(_whole_in("", model, model, splits, activations))


def _whole_in(
    path: str, module: torch.nn.Module, model: torch.nn.Module, splits: Mapping[str, Split], activations: Activations
) -> Iterator[tuple[str, Whole]]:
    at = activations.at(path)
    if path not in splits and not _has_inner(path, module, splits):
        if _follows_its_input(module, at, {split.name for split in splits.values()}):
            return
        if _works_along(module, at):
            takers = [splits[each].style for each in at.takers if each in splits]
            gathers = (
                len(takers) > 1 and all(style in _GATHERING for style in takers) and not _others(model, at, splits)
            )
            reason = f"along `{activations.name}`, axis {at.input}{', gathered once for the layers after it' * gathers}"
            yield path, Whole(AlongSequence(sequence_dim=at.input or 0, gathers=gathers), reason)
        elif next(module.parameters(), None) is not None:
            yield path, Whole(WholeParallel(at.outputs), "no name splits this layer, so each device computes all of it")
        return
    for name, child in module.named_children():
        yield from _whole_in(f"{path}.{name}".lstrip("."), child, model, splits, activations)


def _others(model: torch.nn.Module, at: Positions, splits: Mapping[str, Split]) -> bool:
    """True if a layer that is not split takes what a module gives; a user's module hands it on."""
    layers = (path for path in at.takers if path not in splits)
    return any(not _has_inner(path, model.get_submodule(path), splits) for path in layers)


def _has_inner(path: str, module: torch.nn.Module, splits: Mapping[str, Split]) -> bool:
    """True for a user's module, a container, and a layer of layers of which some are split."""
    if isinstance(module, torch.nn.Sequential | torch.nn.ModuleList | torch.nn.ModuleDict):
        return True
    is_layer = isinstance(module, Layer) or type(module).__module__.startswith("torch.nn.")
    return not is_layer or any(each.startswith(f"{path}.") for each in splits)


def _works_along(module: torch.nn.Module, at: Positions) -> bool:
    """True if a layer treats each item of the split axis alone."""
    if at.input is None:
        return False
    if isinstance(module, _NORMS):
        return at.input < at.rank - len(module.normalized_shape)
    return isinstance(module, torch.nn.Dropout)


def _follows_its_input(module: torch.nn.Module, at: Positions, split: Collection[str]) -> bool:
    """True between a column-wise and a row-wise layer: what works on parts takes a DTensor as it comes.

    The features of a dropout have no name inside of torch's transformer layers, where they may be split.
    """
    if isinstance(module, torch.nn.Dropout) and "" in at.names:
        return True
    return isinstance(module, (*_NORMS, torch.nn.Dropout)) and not at.names.isdisjoint(split)


def _layout(axis: int | None) -> Placement:
    return Replicate() if axis is None else Shard(axis)
