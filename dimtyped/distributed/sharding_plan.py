"""`sharding_plan`: how to split a model over devices, from the names of its layers' sizes and of its annotations."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor.parallel import ParallelStyle

from dimtyped.distributed.activations import names_of_activations, positions_of, signature_of
from dimtyped.distributed.boundaries import AnnotatedParallel
from dimtyped.distributed.layouts import Activations, Whole, split_axis, style_of, whole_layers
from dimtyped.distributed.rules import Split, Style, splits_of_layer
from dimtyped.distributed.same_inputs import SameInputs
from dimtyped.distributed.styles import ModelParallel, PaddedEncoder, WholeParallel
from dimtyped.distributed.validation import mesh_axis_of, no_tp_plan, reject_several, reject_uneven, unknown_name
from dimtyped.names import names_in
from dimtyped.nn.contract import ROLES, Layer
from dimtyped.runtime import WithoutInternalFrames

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")


@overload
def sharding_plan(
    model: torch.nn.Module, names: Mapping[str, str], *, mesh: DeviceMesh | None = None, inputs: Sequence[Any] = ()
) -> dict[str, ParallelStyle]: ...
@overload
def sharding_plan(
    model: torch.nn.Module,
    names: Mapping[str, str],
    *,
    mesh: DeviceMesh | None = None,
    explain: Literal[True],
    inputs: Sequence[Any] = (),
) -> dict[str, str]: ...
@overload
def sharding_plan(
    model: torch.nn.Module, names: Mapping[str, str], *, mesh: DeviceMesh | None = None, as_tp_plan: Literal[True]
) -> dict[str, str]: ...
@WithoutInternalFrames()
def sharding_plan(
    model: torch.nn.Module,
    names: Mapping[str, str],
    *,
    mesh: DeviceMesh | None = None,
    explain: bool = False,
    as_tp_plan: bool = False,
    inputs: Sequence[Any] = (),
) -> dict[str, Any]:
    """Returns the tensor-parallel plan that `parallelize_module` takes, made from the names that layers declare.

    A Linear that makes a split size is column-wise, one that takes it row-wise; embeddings and tied outputs are split by
    their vocabulary, and a tie stays one parameter. A size such as `heads*head` is split by its first factor. Layers
    without such a name stay whole. Between a column-wise and a row-wise layer tensors are DTensors of the whole shape, so
    annotations and `view(batch, seq, heads, head)` stay as they are.

    One name may be an axis of activations that no layer declares, such as `seq`. Then the tensors between layers are DTensors
    that are split along it: norms and dropouts work on a part, column-wise layers gather it, row-wise layers and embeddings
    give a part. The model runs once on fake tensors, which shows where the axis is. It still takes and gives whole tensors.

    The style at the path `""` is of the model itself. It compares the inputs of the processes at the first call: `SameInputs`.

    Args:
        model: The model, whose typed layers were made with Dims.
        names: The axis of the device mesh for each name to split by: `{"ff": "tp", "heads": "tp"}`; one axis for all.
        mesh: The mesh, to check that it divides the sizes. Default: not checked.
        explain: If True, returns for each parameter how it is placed, and why. Default: False.
        as_tp_plan: If True, returns what transformers takes as `tp_plan`: the style for each pattern of module names.
            Default: False.
        inputs: Inputs of the model, for a name of activations. Default: made from the annotations.

    Raises:
        DeclarationError: No layer and no annotation has one of the names, a layer cannot be split by it, or the mesh does not
            divide a size.

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
    axis = mesh_axis_of(names)
    plan = _planned(model, names, inputs)
    if mesh is not None:
        reject_uneven(model, names, axis, mesh)
    if explain:
        return dict(_explained(model, plan, axis))
    if as_tp_plan:
        return _tp_plan(plan)
    styles = dict(_styles(model, plan))
    return {**styles, "": SameInputs(styles.get(""))}


def splits_of(model: torch.nn.Module, names: Collection[str]) -> dict[str, Split]:
    """How each layer that declares one of the names is split, by its path.

    Raises:
        DeclarationError: No layer has one of the names and no annotation, or a layer cannot be split by it.
    """
    return _splits_of(model, names)[0]


@dataclass(frozen=True)
class _Plan:
    """What is known of a model before styles are made.

    Attributes:
        splits: How layers are split, by path.
        activations: The name by which the tensors between layers are split, if there is one.
        whole: The other layers between such tensors, by path.
        annotated: The modules whose annotations have a split name, by path.
    """

    splits: Mapping[str, Split]
    activations: Activations | None
    whole: Mapping[str, Whole]
    annotated: Mapping[str, AnnotatedParallel]


def _planned(model: torch.nn.Module, names: Collection[str], inputs: Sequence[Any]) -> _Plan:
    splits, between = _splits_of(model, names)
    activations = Activations(between, positions_of(model, between, inputs)) if between is not None else None
    whole = whole_layers(model, splits, activations) if activations is not None else {}
    return _Plan(splits, activations, whole, dict(_annotated(model, splits, between)))


def _splits_of(model: torch.nn.Module, names: Collection[str]) -> tuple[dict[str, Split], str | None]:
    """The layers that are split, and the name that no layer declares."""
    layers = [(path, each) for path, each in model.named_modules() if isinstance(each, Layer) and ROLES in vars(each)]
    declared = {name for _, layer in layers for text in vars(layer)[ROLES].values() for name in names_in(text)}
    between = [name for name in names if name not in declared]
    used = names_of_activations(model) if between else set[str]()
    for name in between:
        if name not in used:
            raise unknown_name(model, name, declared, used)
    reject_several(between)
    taken = {text for _, layer in layers for text in _taken_by(layer)}
    found: dict[str, Split] = {}
    for path, layer in layers:
        found |= splits_of_layer(path, layer, names, taken)
    return found, next(iter(between), None)


def _taken_by(layer: Layer) -> Iterator[str]:
    """The size of the features that a layer takes, as its user wrote it."""
    flow = layer.contract.flow
    if flow is not None and isinstance(layer, torch.nn.Linear):
        role = vars(layer)[ROLES].get(flow[0])
        if role is not None:
            yield role


def _annotated(
    model: torch.nn.Module, splits: Mapping[str, Split], between: str | None
) -> Iterator[tuple[str, AnnotatedParallel]]:
    """The modules inside whose annotations have a name that stays split between layers."""
    names = dict.fromkeys(split.name for split in splits.values() if split.style is Style.COLUMN)
    ordered = [*names, *([between] if between is not None else [])]
    for path, module in model.named_modules() if ordered else ():
        signature = signature_of(module) if path else None
        if signature is not None:
            style = AnnotatedParallel(signature, ordered, replicates=between is not None)
            if between is not None or any(style.layouts()):
                yield path, style


def _styles(model: torch.nn.Module, plan: _Plan) -> Iterator[tuple[str, ParallelStyle]]:
    between = plan.activations
    for path, split in plan.splits.items():
        caller = path.removesuffix(".out_proj")  # attention takes its parameters, and does not call it in the run
        place = caller if caller in plan.splits and plan.splits[caller].style is Style.HEADS else path
        yield path, style_of(model.get_submodule(path), split, between.at(place) if between is not None else None)
    for path, whole in plan.whole.items():
        yield path, whole.style
    yield from plan.annotated.items()
    if between is None:
        yield from ((path, PaddedEncoder()) for path in _stacks(model, plan.splits))
    else:
        plain = [path for path, whole in plan.whole.items() if isinstance(whole.style, WholeParallel)]
        yield "", ModelParallel(plain)  # the last: it replicates the parameters that are left


def _stacks(model: torch.nn.Module, splits: Mapping[str, Split]) -> Iterator[str]:
    """The encoder stacks with a layer that is split."""
    for path, module in model.named_modules():
        if isinstance(module, torch.nn.TransformerEncoder) and any(each.startswith(path) for each in splits):
            yield path


def _explained(model: torch.nn.Module, plan: _Plan, axis: str) -> Iterator[tuple[str, str]]:
    for path, module in model.named_modules():
        split, whole = plan.splits.get(path), _above(path, plan.whole)
        for name, parameter in module.named_parameters(recurse=False):
            reason = split.reason if split is not None else whole.reason if whole is not None else ""
            place = None if split is None else split_axis(split, name, parameter.dim())
            text = "whole" if place is None else f"axis {place} over {axis}"
            yield f"{path}.{name}".lstrip("."), f"{text}: {reason}" if reason else text
    for path, style in plan.annotated.items():
        for parameter, place, name, annotation in style.layouts():
            yield f"{path}.forward: {parameter}", f"axis {place} over {axis}: `{name}` of {annotation}"


def _above(path: str, whole: Mapping[str, Whole]) -> Whole | None:
    """The layer at a path, or the one that it is in."""
    return next((each for key, each in whole.items() if path == key or path.startswith(f"{key}.")), None)


def _tp_plan(plan: _Plan) -> dict[str, str]:
    if plan.activations is not None:
        raise no_tp_plan(plan.activations.name, "it has no words for the layout of activations")
    heads = next((split for split in plan.splits.values() if split.style is Style.HEADS), None)
    if heads is not None:
        raise no_tp_plan(heads.name, "it has no words for the heads of MultiheadAttention")
    return _patterns({path: split.style.value for path, split in plan.splits.items()})


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
