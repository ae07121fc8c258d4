"""An embedding with more or fewer rows, and the layers tied to it, resized with it."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dimtyped.names import Dim, plain, replaces
from dimtyped.nn.contract import ROLES, Layer, check_sizes, wrong_argument
from dimtyped.nn.tying import tie_of


class Resized(NamedTuple):
    """The result of `Embedding.resized`.

    Attributes:
        embedding: The new embedding.
        tied: A layer tied to the new embedding for each layer tied to the old one, in order.
    """

    embedding: Any
    tied: tuple[Any, ...]


def resized(embedding: Any, new_size: int) -> Resized:
    """See `Embedding.resized`."""
    where = f"{type(embedding).__name__}.resized"
    check_sizes(where, ["new_size"], {"new_size": new_size})
    size = int(new_size)
    if "weight" not in embedding._parameters:
        hint = "remove the parametrization, the pruning or the weight norm first"
        raise wrong_argument(
            where, "new_size", new_size, "is not possible for rows that another module computes", hint, ""
        )
    if embedding.padding_idx is not None and embedding.padding_idx >= size:
        fault = f"leaves no row for padding_idx={embedding.padding_idx}"
        raise wrong_argument(where, "new_size", new_size, fault, "make another row the padding first", "")
    old: torch.nn.Parameter = embedding.weight
    new = torch.nn.Parameter(with_rows(old.detach(), size), requires_grad=old.requires_grad)
    tie = tie_of(embedding, "weight")
    layers = [embedding, *dict.fromkeys(layer for layer, _ in (tie.siblings(embedding) if tie is not None else ()))]
    made = [_with_weight(layer, old, new, new_size) for layer in layers]
    for layer in made:
        replaces(layer, layers)
    return Resized(made[0], tuple(made[1:]))


def with_rows(values: Tensor, size: int) -> Tensor:
    """The first rows, and the missing ones drawn with the mean and standard deviation of the existing rows."""
    rows = values.shape[0]
    if size <= rows:
        return values[:size].clone()
    drawn = torch.randn(size - rows, *values.shape[1:], device=values.device, dtype=values.dtype)
    if rows:
        drawn = drawn * values.std(0, correction=0) + values.mean(0)
    return torch.cat([values, drawn])


def _with_weight(layer: Any, old: torch.nn.Parameter, new: torch.nn.Parameter, size: int) -> Any:
    """A copy of a layer with the new weight and the sizes that follow from it."""
    made: Any = copy.deepcopy(layer, {id(old): new})
    if not isinstance(made, Layer):
        return made
    name = next(name for name, parameter in made._parameters.items() if parameter is new)
    role = (made._dim_parameter_axes(name) or "").partition(" ")[0]
    if role in made.contract.sizes:
        setattr(made, made.contract.sizes[role], int(size))
        _resize_others(made, role, plain(size))
        if isinstance(size, Dim):
            made.__dict__[ROLES] = {**made.__dict__.get(ROLES, {}), role: size.name}
    return made


def _resize_others(layer: Any, role: str, size: int) -> None:
    """Resizes the layer's other parameters along this axis, such as the bias."""
    for name, parameter in list(layer._parameters.items()):
        axes = layer._dim_parameter_axes(name)
        if parameter is None or axes is None or axes.split()[0] != role or parameter.shape[0] == size:
            continue
        values = parameter.detach()
        missing = max(size - values.shape[0], 0)
        average = values.mean(0, keepdim=True).expand(missing, *values.shape[1:])
        resized_values = torch.cat([values[:size], average])
        setattr(layer, name, torch.nn.Parameter(resized_values, requires_grad=parameter.requires_grad))
