"""Requirements of some layers' calls that their contract leaves to torch: the number of axes, and ranges of values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.nn.contract import batched_space, space_names
from dimtyped.testing.strategies.fill import ValueConstraint

Annotations = Mapping[str, Any]
_INDICES = ValueConstraint(torch.int64)
_RANKS = {"linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,)}


def rare_forms(layer: torch.nn.Module) -> list[Annotations]:
    """The annotations of each form of the call; empty where the contract declares all of them."""
    made = next((forms for cls, forms in _FORMS.items() if isinstance(layer, cls)), None)
    return list(made(layer)) if made is not None else []


def value_constraints(layer: torch.nn.Module) -> Mapping[str, ValueConstraint]:
    """The constraints on the values of the layer's arguments."""
    return next((holds(layer) for cls, holds in _HOLDS.items() if isinstance(layer, cls)), {})


def has_one_shape(layer: torch.nn.Module) -> bool:
    """True if the contract has one name, `*shape`, for all the axes that are named separately here."""
    return isinstance(layer, torch.nn.modules.pooling._MaxUnpoolNd | torch.nn.MultiLabelMarginLoss)


def has_more_forms(layer: torch.nn.Module) -> bool:
    """True if it takes calls that are not made here: an unbatched CTCLoss, whose contract checks only one argument."""
    return isinstance(layer, torch.nn.CTCLoss)


def unchecked_by(layer: torch.nn.Module) -> frozenset[str]:
    """The parameters that the contract leaves to torch."""
    return frozenset({"var"}) if isinstance(layer, torch.nn.GaussianNLLLoss) else frozenset()


def _upsampled(layer: torch.nn.Upsample) -> Iterator[Annotations]:
    given = layer.size if layer.size is not None else layer.scale_factor
    for axes in _RANKS.get(layer.mode, (1, 2, 3)):
        if not isinstance(given, tuple | list) or len(given) == axes:
            yield {"input": batched_space(axes), "return": Shaped[Tensor, "batch channels" + axes * " _"]}


def _unpooled(layer: Any) -> Iterator[Annotations]:
    for batch in ("batch ", ""):
        shape = Shaped[Tensor, batch + " ".join(("channels", *space_names(_axes(layer))))]
        result = Shaped[Tensor, f"{batch}channels" + _axes(layer) * " _"]
        yield {"input": shape, "indices": shape, "return": result}


def _deviating(_: Any) -> Iterator[Annotations]:
    shape = Shaped[Tensor, "*shape"]
    yield {"input": shape, "target": shape, "var": shape}


def _many_labels(_: Any) -> Iterator[Annotations]:
    for shape in (Shaped[Tensor, "batch classes"], Shaped[Tensor, "classes"]):
        yield {"input": shape, "target": shape}


def _aligned(_: Any) -> Iterator[Annotations]:
    lengths = Shaped[Tensor, "batch"]
    yield {
        "log_probs": Shaped[Tensor, "time batch classes"],
        "targets": Shaped[Tensor, "batch length"],
        "input_lengths": lengths,
        "target_lengths": lengths,
    }


def _axes(layer: Any) -> int:
    """The number of spatial axes of a layer: the digit in its class's name."""
    return next(axes for axes in (1, 2, 3) if isinstance(layer, getattr(torch.nn, f"MaxUnpool{axes}d")))


def _places(layer: Any) -> Mapping[str, ValueConstraint]:
    """Each place of a plane once, because with two values at one place torch's result depends on its threads."""
    return {"indices": ValueConstraint(torch.int64, once=_axes(layer))}


_FORMS: dict[type[torch.nn.Module], Callable[[Any], Iterator[Annotations]]] = {
    torch.nn.Upsample: _upsampled,
    torch.nn.modules.pooling._MaxUnpoolNd: _unpooled,
    torch.nn.GaussianNLLLoss: _deviating,
    torch.nn.MultiLabelMarginLoss: _many_labels,
    torch.nn.CTCLoss: _aligned,
}

_HOLDS: dict[type[torch.nn.Module], Callable[[Any], Mapping[str, ValueConstraint]]] = {
    torch.nn.modules.pooling._MaxUnpoolNd: _places,
    torch.nn.GaussianNLLLoss: lambda _: {"var": ValueConstraint(span="positive")},
    torch.nn.BCELoss: lambda _: {"input": ValueConstraint(span="unit"), "target": ValueConstraint(span="unit")},
    torch.nn.MultiMarginLoss: lambda _: {"target": _INDICES},
    torch.nn.MultiLabelMarginLoss: lambda _: {"target": _INDICES},
    torch.nn.AdaptiveLogSoftmaxWithLoss: lambda layer: {"target_": ValueConstraint(torch.int64, below=layer.n_classes)},
    torch.nn.CTCLoss: lambda _: {"targets": _INDICES, "input_lengths": _INDICES, "target_lengths": _INDICES},
}
