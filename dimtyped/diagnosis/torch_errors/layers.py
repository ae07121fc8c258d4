"""Calls of torch's layers on shapes alone: the function that the layer calls, on stand-ins for its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dimtyped.diagnosis.torch_errors.stand_ins import Unknown

_Layer = Any
_SAME_SHAPE = (
    torch.nn.modules.dropout._DropoutNd,  # pyright: ignore[reportPrivateUsage]  # the class that all dropouts share
    torch.nn.ReLU,
    torch.nn.GELU,
    torch.nn.SiLU,
    torch.nn.ELU,
    torch.nn.LeakyReLU,
    torch.nn.Sigmoid,
    torch.nn.Tanh,
    torch.nn.Softmax,
    torch.nn.LogSoftmax,
    torch.nn.Identity,
    torch.nn.modules.batchnorm._BatchNorm,  # pyright: ignore[reportPrivateUsage]  # the class that all batch norms share
)


def parameters_of(layer: _Layer) -> dict[str, Tensor]:
    """The parameters that a layer has, by name."""
    found = {name: layer._parameters.get(name) for name in ("weight", "bias")}
    return {name: parameter for name, parameter in found.items() if isinstance(parameter, Tensor)}


def result_of(layer: _Layer, args: list[Any], parameters: dict[str, Tensor]) -> Any:
    """The result of a layer's call on stand-ins for its arguments and its parameters.

    Raises:
        Unknown: a layer that is not in the table, one with hooks, or not called with one tensor.
    """
    if len(args) != 1 or not isinstance(args[0], Tensor) or layer._forward_hooks or layer._forward_pre_hooks:
        raise Unknown
    for cls, run in _RESULTS.items():
        if isinstance(layer, cls) and type(layer).forward.__module__.startswith(("torch.nn.", "dimtyped.nn.")):
            return run(layer, args[0], parameters)
    raise Unknown


def _linear(_: _Layer, x: Tensor, p: dict[str, Tensor]) -> Tensor:
    return functional.linear(x, p["weight"], p.get("bias"))


def _embedding(_: _Layer, x: Tensor, p: dict[str, Tensor]) -> Tensor:
    return functional.embedding(x, p["weight"])


def _layer_norm(layer: _Layer, x: Tensor, p: dict[str, Tensor]) -> Tensor:
    return functional.layer_norm(x, layer.normalized_shape, p.get("weight"), p.get("bias"))


def _convolution(layer: _Layer, x: Tensor, p: dict[str, Tensor]) -> Tensor:
    run: Any = getattr(functional, f"conv{p['weight'].dim() - 2}d")
    padding = layer.padding if layer.padding_mode == "zeros" else 0
    return run(x, p["weight"], p.get("bias"), layer.stride, padding, layer.dilation, layer.groups)


def _same(_: _Layer, x: Tensor, __: dict[str, Tensor]) -> Tensor:
    return torch.empty_like(x)


_RESULTS: dict[Any, Callable[[_Layer, Tensor, dict[str, Tensor]], Tensor]] = {
    torch.nn.Linear: _linear,
    torch.nn.Embedding: _embedding,
    torch.nn.LayerNorm: _layer_norm,
    (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d): _convolution,
    _SAME_SHAPE: _same,
}
