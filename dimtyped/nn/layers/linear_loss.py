"""The loss with a linear layer inside: from hidden states to the cross-entropy of their classes. New in torch 2.13."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Union

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from dimtyped.engine import Form, of_call, of_owner
from dimtyped.errors import DimensionValueError
from dimtyped.nn.contract import Layer, SizeViolation, declares, has_axes, is_tensor
from dimtyped.nn.layers.loss import ONE_CLASS, ClassIndex, labels_outside

__all__: list[str] = []

INPUT = Shaped[Tensor, "batch in_features"]
_UNBATCHED = {"input": Shaped[Tensor, "in_features"], "target": Union[ONE_CLASS, Float[Tensor, "classes"]]}  # noqa: UP007
_SCALAR = Shaped[Tensor, ""]
IGNORED = -100
"""The label that is ignored if a call or a layer names none."""
_HAS_PLACES = of_owner("out_features")
_ARE_PROBABILITIES = is_tensor("target") & of_call("target.is_floating_point()")


def _other_places(layer: Any, input: Any, target: Any) -> Iterator[SizeViolation]:  # torch's names
    """A target whose last axes are not `out_features`, or labels that are none of the classes."""
    yield from other_places(tuple(layer.out_features), input, target)
    ignored = layer.ignore_index
    yield from labels_outside(target, layer.num_classes, IGNORED if ignored is None else ignored)


def other_places(wanted: tuple[int, ...], input: Any, target: Any) -> Iterator[SizeViolation]:  # torch's names
    """A target whose axes after the first, or after the classes, are not these."""
    if input.dim() == 1 and wanted:
        yield SizeViolation("input", None, "", 2)
        return
    first = 1 + target.is_floating_point()
    if input.dim() == 2 and target.dim() != first + len(wanted):
        yield SizeViolation("target", None, "", first + len(wanted))
        return
    for axis, size in enumerate(wanted, first):
        if target.shape[axis] != size:
            yield SizeViolation("target", axis, f"axis {axis}", size)


if hasattr(torch.nn, "LinearCrossEntropyLoss"):
    __all__ += ["LinearCrossEntropyLoss"]

    @declares(
        sizes={"in_features": "_dim_linear.in_features", "classes": "num_classes"},
        arguments={"in_features": "in_features"},
        calls=(
            Form({"input": INPUT, "target": ClassIndex[Tensor, "batch *place"]}, _SCALAR, _HAS_PLACES),
            Form({"input": INPUT, "target": ClassIndex[Tensor, "batch"]}, _SCALAR),
            Form(_UNBATCHED, _SCALAR, has_axes("input", 1), rare=True),
            Form(
                {"input": INPUT, "target": Float[Tensor, "batch classes *place"]},
                _SCALAR,
                _HAS_PLACES & _ARE_PROBABILITIES,
                rare=True,
            ),
            Form({"input": INPUT, "target": Float[Tensor, "batch classes"]}, _SCALAR, _ARE_PROBABILITIES, rare=True),
        ),
        error=DimensionValueError,
        violations=_other_places,
    )
    class LinearCrossEntropyLoss(Layer, torch.nn.LinearCrossEntropyLoss):
        """`torch.nn.LinearCrossEntropyLoss`: `(batch, in_features)`, and class indices `(batch, ...)` or class probabilities."""

        @property
        def _dim_linear(self) -> torch.nn.Linear:
            return self.linear
