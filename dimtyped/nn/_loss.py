"""Losses. What torch documents as one shape must be one: no silent broadcasting of (batch, 1) against (batch).

Where torch warns of any broadcasting between the prediction and the target, only a scalar may stand for every element.
Where it lets it pass, one of the two may still broadcast to the other, as a rate for all counts does; what neither asked
for, a result larger than both, is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Union

import torch
from jaxtyping import AbstractDtype, Float, Shaped
from torch import Tensor

from dimtyped._errors import DimensionValueError
from dimtyped.nn._forms import UNCHECKED, Inputs, has_axes
from dimtyped.nn._layer import Layer, declares

_SCALAR = Shaped[Tensor, ""]
_SHAPE, _LESS = Shaped[Tensor, "*shape"], Shaped[Tensor, "*#shape"]


def _both_are(first: str, second: str, condition: str) -> str:
    return f"isinstance({first}, Tensor) and isinstance({second}, Tensor) and {condition}"


def _one_is_scalar(first: str) -> dict[str, Inputs | None]:
    return {_both_are(first, "target", f"({first}.dim() == 0 or target.dim() == 0)"): UNCHECKED}


def _target_is_larger(first: str) -> dict[str, Inputs | None]:
    condition = _both_are(first, "target", f"{first}.numel() < target.numel()")
    return {condition: {first: _LESS, "target": _SHAPE}}


def _of_same_rank(*parameters: str, form: Inputs | None) -> dict[str, Inputs | None]:
    tensors = " and ".join(f"isinstance({parameter}, Tensor)" for parameter in parameters)
    ranks = " == ".join(f"{parameter}.dim()" for parameter in parameters)
    return {f"{tensors} and {ranks}": form}


# A prediction for each target -----------------------------------------------------------------------------------------


@declares(inputs={"input": _SHAPE, "target": _SHAPE}, otherwise=_one_is_scalar("input"), output=_SCALAR)
class MSELoss(Layer, torch.nn.MSELoss):
    """`torch.nn.MSELoss` of two tensors of one shape, or of a scalar and any.

    Args: as `torch.nn.MSELoss`.

    Raises:
        DimensionError: at a call whose shapes differ.

    Example:
        >>> import torch
        >>> from dimtyped import nn
        >>> nn.MSELoss()(torch.ones(4, 1), torch.ones(4))
        Traceback (most recent call last):
        dimtyped.DimensionError: MSELoss.forward: argument `target` does not fit: *shape is (4,), must be (4, 1)
        ...
    """


@declares(inputs={"input": _SHAPE, "target": _SHAPE}, otherwise=_one_is_scalar("input"), output=_SCALAR)
class L1Loss(Layer, torch.nn.L1Loss):
    """`torch.nn.L1Loss` of two tensors of one shape, or of a scalar and any.

    Args: as `torch.nn.L1Loss`.

    Raises:
        DimensionError: at a call whose shapes differ.
    """


@declares(inputs={"input": _SHAPE, "target": _SHAPE}, otherwise=_one_is_scalar("input"), output=_SCALAR)
class SmoothL1Loss(Layer, torch.nn.SmoothL1Loss):
    """`torch.nn.SmoothL1Loss` of two tensors of one shape, or of a scalar and any.

    Args: as `torch.nn.SmoothL1Loss`.

    Raises:
        DimensionError: at a call whose shapes differ.
    """


@declares(inputs={"input": _SHAPE, "target": _SHAPE}, otherwise=_one_is_scalar("input"), output=_SCALAR)
class HuberLoss(Layer, torch.nn.HuberLoss):
    """`torch.nn.HuberLoss` of two tensors of one shape, or of a scalar and any.

    Args: as `torch.nn.HuberLoss`.

    Raises:
        DimensionError: at a call whose shapes differ.
    """


@declares(inputs={"input": _SHAPE, "target": _SHAPE}, output=_SCALAR, error=DimensionValueError)
class BCELoss(Layer, torch.nn.BCELoss):
    """`torch.nn.BCELoss` of two tensors of one shape; its `weight` may broadcast.

    Args: as `torch.nn.BCELoss`.

    Raises:
        DimensionError: at a call whose shapes differ; also a ValueError, as torch's.
    """


@declares(inputs={"input": _SHAPE, "target": _SHAPE}, output=_SCALAR, error=DimensionValueError)
class BCEWithLogitsLoss(Layer, torch.nn.BCEWithLogitsLoss):
    """`torch.nn.BCEWithLogitsLoss` of two tensors of one shape; its `weight` and `pos_weight` may broadcast.

    Args: as `torch.nn.BCEWithLogitsLoss`.

    Raises:
        DimensionError: at a call whose shapes differ; also a ValueError, as torch's.
    """


@declares(inputs={"input": _SHAPE, "target": _LESS}, otherwise=_target_is_larger("input"), output=_SCALAR)
class KLDivLoss(Layer, torch.nn.KLDivLoss):
    """`torch.nn.KLDivLoss` of two tensors of which one broadcasts to the other.

    Args: as `torch.nn.KLDivLoss`.

    Raises:
        DimensionError: at a call whose shapes differ, and whose result would be larger than both.
    """


@declares(inputs={"log_input": _SHAPE, "target": _LESS}, otherwise=_target_is_larger("log_input"), output=_SCALAR)
class PoissonNLLLoss(Layer, torch.nn.PoissonNLLLoss):
    """`torch.nn.PoissonNLLLoss` of two tensors of which one broadcasts to the other.

    Args: as `torch.nn.PoissonNLLLoss`.

    Raises:
        DimensionError: at a call whose shapes differ, and whose result would be larger than both.
    """


@declares(inputs={"input": _SHAPE, "target": _LESS}, otherwise=_target_is_larger("input"), output=_SCALAR)
class GaussianNLLLoss(Layer, torch.nn.GaussianNLLLoss):
    """`torch.nn.GaussianNLLLoss` of a prediction and a target of which one broadcasts to the other.

    Args: as `torch.nn.GaussianNLLLoss`; what `var` may be is torch's to say.

    Raises:
        DimensionError: at a call whose shapes differ, and whose result would be larger than both.
    """


@declares(inputs={"input": _SHAPE, "target": _LESS}, output=_SCALAR)
class SoftMarginLoss(Layer, torch.nn.SoftMarginLoss):
    """`torch.nn.SoftMarginLoss` of a prediction, and a target that has its shape or broadcasts to it.

    Args: as `torch.nn.SoftMarginLoss`.

    Raises:
        DimensionError: at a call whose target does not fit.
    """


@declares(inputs={"input": _SHAPE, "target": _LESS}, otherwise=_target_is_larger("input"), output=_SCALAR)
class HingeEmbeddingLoss(Layer, torch.nn.HingeEmbeddingLoss):
    """`torch.nn.HingeEmbeddingLoss` of two tensors of which one broadcasts to the other.

    Args: as `torch.nn.HingeEmbeddingLoss`.

    Raises:
        DimensionError: at a call whose shapes differ, and whose result would be larger than both.
    """


@declares(inputs={"input": _SHAPE, "target": _LESS}, otherwise=_target_is_larger("input"), output=_SCALAR)
class MultiLabelSoftMarginLoss(Layer, torch.nn.MultiLabelSoftMarginLoss):
    """`torch.nn.MultiLabelSoftMarginLoss` of two tensors of which one broadcasts to the other.

    Args: as `torch.nn.MultiLabelSoftMarginLoss`.

    Raises:
        DimensionError: at a call whose shapes differ, and whose result would be larger than both.
    """


@declares(inputs={"input": _SHAPE, "target": _SHAPE}, otherwise=_one_is_scalar("input"), output=_SCALAR)
class MultiLabelMarginLoss(Layer, torch.nn.MultiLabelMarginLoss):
    """`torch.nn.MultiLabelMarginLoss`: `(batch, classes), (batch, classes)`, or without batch.

    Args: as `torch.nn.MultiLabelMarginLoss`.

    Raises:
        DimensionError: at a call whose shapes differ.
    """


# One class of several -------------------------------------------------------------------------------------------------


class ClassIndex(AbstractDtype):
    """The dtypes that torch takes for the number of a class."""

    dtypes = ("int64", "uint8")


_Indices: Any = ClassIndex
_ONE: Any = Union[_Indices[Tensor, ""], _Indices[Tensor, "1"]]  # noqa: UP007  # pyright knows no | of these
_INDICES: Inputs = {"input": Shaped[Tensor, "batch classes"], "target": ClassIndex[Tensor, "batch"]}
_RARER_INDICES: dict[str, Inputs | None] = {
    has_axes("input", 1): {"input": Shaped[Tensor, "classes"], "target": _ONE},
    "isinstance(input, Tensor) and input.dim() > 2": {
        "input": Shaped[Tensor, "batch classes *place"],
        "target": ClassIndex[Tensor, "batch *place"],
    },
}
_PROBABILITIES: Inputs = {"input": Shaped[Tensor, "*shape"], "target": Float[Tensor, "*shape"]}
_ARE_PROBABILITIES = _both_are("input", "target", "target.is_floating_point() and target.dim() == input.dim()")


@declares(
    inputs=_INDICES,
    otherwise={_ARE_PROBABILITIES: _PROBABILITIES, **_RARER_INDICES},
    output=_SCALAR,
    error=DimensionValueError,
)
class CrossEntropyLoss(Layer, torch.nn.CrossEntropyLoss):
    """`torch.nn.CrossEntropyLoss`: logits `(batch, classes, ...)`, and class indices `(batch, ...)` or as many probabilities.

    Args: as `torch.nn.CrossEntropyLoss`.

    Raises:
        DimensionError: at a call whose target does not fit; also a ValueError, as torch's.
    """


@declares(inputs=_INDICES, otherwise=_RARER_INDICES, output=_SCALAR, error=DimensionValueError)
class NLLLoss(Layer, torch.nn.NLLLoss):
    """`torch.nn.NLLLoss`: log-probabilities `(batch, classes, ...)`, and class indices `(batch, ...)`.

    Args: as `torch.nn.NLLLoss`.

    Raises:
        DimensionError: at a call whose target does not fit; also a ValueError, as torch's.
    """


@declares(
    inputs={"input": Shaped[Tensor, "batch classes"], "target": Shaped[Tensor, "batch"]},
    otherwise={
        **_one_is_scalar("input"),
        has_axes("input", 1): {"input": Shaped[Tensor, "classes"], "target": Shaped[Tensor, "1"]},
    },
    output=_SCALAR,
)
class MultiMarginLoss(Layer, torch.nn.MultiMarginLoss):
    """`torch.nn.MultiMarginLoss`: `(batch, classes)`, and class indices `(batch,)`.

    Args: as `torch.nn.MultiMarginLoss`.

    Raises:
        DimensionError: at a call whose target does not fit.
    """


@declares(
    sizes={"in_features": "in_features", "classes": "n_classes"},
    inputs={"input_": Shaped[Tensor, "batch in_features"], "target_": Shaped[Tensor, "batch"]},
    otherwise={has_axes("input_", 1): {"input_": Shaped[Tensor, "in_features"], "target_": _SCALAR}},
)
class AdaptiveLogSoftmaxWithLoss(Layer, torch.nn.AdaptiveLogSoftmaxWithLoss):
    """`torch.nn.AdaptiveLogSoftmaxWithLoss`: `(batch, in_features)`, and class indices `(batch,)`, or without batch.

    Args: as `torch.nn.AdaptiveLogSoftmaxWithLoss`; `in_features` and `n_classes` may be Dims.

    Raises:
        DimensionError: at a call that does not fit.
    """

    if TYPE_CHECKING:
        __call__: Callable[..., Any]  # a named pair


# Two or three items against each other --------------------------------------------------------------------------------

_ITEMS, _ITEM = Shaped[Tensor, "#batch #features"], Shaped[Tensor, "#features"]


@declares(
    inputs={"input1": _ITEMS, "input2": _ITEMS, "target": Shaped[Tensor, "#batch"]},
    otherwise={has_axes("input1", 1): {"input1": _ITEM, "input2": _ITEM, "target": _SCALAR}},
    output=_SCALAR,
)
class CosineEmbeddingLoss(Layer, torch.nn.CosineEmbeddingLoss):
    """`torch.nn.CosineEmbeddingLoss`: `(batch, features), (batch, features), (batch,)`, or without batch.

    Args: as `torch.nn.CosineEmbeddingLoss`.

    Raises:
        DimensionError: at a call that does not fit.
    """


@declares(
    inputs={"input1": _SHAPE, "input2": _SHAPE, "target": _SHAPE},
    otherwise=_of_same_rank("input1", "input2", "target", form={"input1": _LESS, "input2": _LESS, "target": _LESS}),
    output=_SCALAR,
)
class MarginRankingLoss(Layer, torch.nn.MarginRankingLoss):
    """`torch.nn.MarginRankingLoss` of three tensors of one shape, or that broadcast without a new axis.

    Args: as `torch.nn.MarginRankingLoss`.

    Raises:
        DimensionError: at a call that does not fit.
    """


@declares(
    inputs={"anchor": _SHAPE, "positive": _SHAPE, "negative": _SHAPE},
    otherwise=_of_same_rank(
        "anchor", "positive", "negative", form={"anchor": _LESS, "positive": _LESS, "negative": _LESS}
    ),
    output=_SCALAR,
)
class TripletMarginLoss(Layer, torch.nn.TripletMarginLoss):
    """`torch.nn.TripletMarginLoss` of three tensors of one shape, or that broadcast without a new axis.

    Args: as `torch.nn.TripletMarginLoss`.

    Raises:
        DimensionError: at a call that does not fit.
    """


@declares(
    inputs={"anchor": _SHAPE, "positive": _SHAPE, "negative": _SHAPE},
    otherwise=_of_same_rank("anchor", "positive", "negative", form=UNCHECKED),
    output=_SCALAR,
)
class TripletMarginWithDistanceLoss(Layer, torch.nn.TripletMarginWithDistanceLoss):
    """`torch.nn.TripletMarginWithDistanceLoss` of three tensors with as many axes; which sizes fit is the distance's to say.

    Args: as `torch.nn.TripletMarginWithDistanceLoss`.

    Raises:
        DimensionError: at a call whose tensors have not as many axes.
    """


# Sequences ------------------------------------------------------------------------------------------------------------

_LENGTHS = Shaped[Tensor, "batch ..."] | list[Any] | tuple[Any, ...]


@declares(
    inputs={
        "log_probs": Shaped[Tensor, "time batch classes"],
        "targets": Shaped[Tensor, "batch length"] | Shaped[Tensor, "total"],
        "input_lengths": _LENGTHS,
        "target_lengths": _LENGTHS,
    },
    otherwise={has_axes("log_probs", 2): {"log_probs": Shaped[Tensor, "time classes"]}},
    output=_SCALAR,
)
class CTCLoss(Layer, torch.nn.CTCLoss):
    """`torch.nn.CTCLoss`: `(time, batch, classes)`, targets `(batch, length)` or end to end, two `(batch,)` of lengths.

    Args: as `torch.nn.CTCLoss`.

    Raises:
        DimensionError: at a call that does not fit.
    """
