"""`linear_cross_entropy`: from hidden states to the cross-entropy of their classes. New in torch 2.13."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

import torch.nn.functional as torch_functional
from jaxtyping import Float, Shaped
from torch import Tensor

from dimtyped.engine import Form, Predicate, of_call
from dimtyped.errors import DimensionValueError
from dimtyped.nn.contract import SizeViolation, has_axes, is_tensor
from dimtyped.nn.functions.function import Function
from dimtyped.nn.layers.linear_loss import IGNORED, INPUT
from dimtyped.nn.layers.loss import ONE_CLASS, ClassIndex, labels_outside


def _form(input: Any, target: Any, *, classes: str = "classes", when: Predicate | None = None) -> Form:
    inputs: Any = {
        "input": input,
        "linear_weight": Shaped[Tensor, f"{classes} in_features"],
        "target": target,
        "linear_bias": Optional[Shaped[Tensor, classes]],  # noqa: UP045  # pyright knows no | of these
        "weight": Optional[Shaped[Tensor, "classes"]],  # noqa: UP045  # as above
    }
    return Form(inputs, when=when, rare=when is not None)


def _labels(*, linear_weight: Any, target: Any, ignore_index: Any, **_: Any) -> Iterator[SizeViolation]:
    yield from labels_outside(target, linear_weight.shape[0], IGNORED if ignore_index is None else ignore_index)


_ONE = Shaped[Tensor, "in_features"]
_ARE_PROBABILITIES = is_tensor("target") & of_call("target.is_floating_point()")
_HAS_PLACES = is_tensor("linear_weight") & of_call("linear_weight.dim() > 2")
_PLACES = "classes *place"
_FORMS = (
    _form(INPUT, ClassIndex[Tensor, "batch"]),
    _form(_ONE, Float[Tensor, "classes"], when=has_axes("input", 1) & _ARE_PROBABILITIES),
    _form(_ONE, ONE_CLASS, when=has_axes("input", 1)),
    _form(INPUT, Float[Tensor, f"batch {_PLACES}"], classes=_PLACES, when=_ARE_PROBABILITIES),
    _form(INPUT, ClassIndex[Tensor, "batch *place"], classes=_PLACES, when=_HAS_PLACES),
)
FUNCTIONS = (
    (
        Function(
            torch_functional.linear_cross_entropy,
            _FORMS,
            weights=("linear_weight", "linear_bias", "weight"),
            checks_first=True,
            error=DimensionValueError,
            violations=_labels,
        ),
    )
    if hasattr(torch_functional, "linear_cross_entropy")
    else ()
)
