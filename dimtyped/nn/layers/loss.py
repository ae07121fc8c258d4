"""Losses. What torch documents as one shape must be one: no silent broadcasting of (batch, 1) against (batch).

Where torch warns of any broadcasting between the prediction and the target, only a scalar may stand for every element.
Where it lets it pass, one of the two may still broadcast to the other, as a rate for all counts does; what neither asked
for, a result larger than both, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Union

import torch
from jaxtyping import AbstractDtype, Float, Int64, Shaped
from torch import Tensor

from dimtyped.errors import DimensionValueError
from dimtyped.nn.contract import UNCHECKED, Inputs, Layer, SizeViolation, declares, has_axes

_SCALAR = Shaped[Tensor, ""]
_SHAPE, _LESS = Shaped[Tensor, "*shape"], Shaped[Tensor, "*#shape"]
_FLOATS: Inputs = dict.fromkeys(("input", "target"), Float[Tensor, "*shape"])


def _both_are(first: str, second: str, condition: str) -> str:
    return f"isinstance({first}, Tensor) and isinstance({second}, Tensor) and {condition}"


def _one_is_scalar(first: str) -> dict[str, Inputs | None]:
    return {_both_are(first, "target", f"({first}.dim() == 0 or target.dim() == 0)"): UNCHECKED}


def _of_one_element(first: str) -> dict[str, Inputs | None]:
    return {_both_are(first, "target", f"{first}.dim() < 2 and {first}.numel() == target.numel() == 1"): UNCHECKED}


def _target_is_larger(first: str) -> dict[str, Inputs | None]:
    repeated = f"target.shape[target.dim() - {first}.dim() :] == {first}.shape"
    condition = _both_are(first, "target", f"({first}.numel() < target.numel() or {repeated})")
    return {condition: {first: _LESS, "target": _SHAPE}}


def _of_same_rank(*parameters: str, form: Inputs | None) -> dict[str, Inputs | None]:
    tensors = " and ".join(f"isinstance({parameter}, Tensor)" for parameter in parameters)
    ranks = " == ".join(f"{parameter}.dim()" for parameter in parameters)
    return {f"{tensors} and {ranks}": form}


# A prediction for each target -----------------------------------------------------------------------------------------


@declares(inputs={"input": _SHAPE, "target": _SHAPE}, otherwise=_one_is_scalar("input"), output=_SCALAR)
class MSELoss(Layer, torch.nn.MSELoss):
    """`torch.nn.MSELoss` of two tensors of one shape, or of a scalar and any.

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
    """`torch.nn.L1Loss` of two tensors of one shape, or of a scalar and any."""


@declares(inputs={"input": _SHAPE, "target": _SHAPE}, otherwise=_one_is_scalar("input"), output=_SCALAR)
class SmoothL1Loss(Layer, torch.nn.SmoothL1Loss):
    """`torch.nn.SmoothL1Loss` of two tensors of one shape, or of a scalar and any."""


@declares(inputs={"input": _SHAPE, "target": _SHAPE}, otherwise=_one_is_scalar("input"), output=_SCALAR)
class HuberLoss(Layer, torch.nn.HuberLoss):
    """`torch.nn.HuberLoss` of two tensors of one shape, or of a scalar and any."""


@declares(inputs=_FLOATS, output=_SCALAR, error=DimensionValueError)
class BCELoss(Layer, torch.nn.BCELoss):
    """`torch.nn.BCELoss` of two tensors of one shape, both of floats; its `weight` may broadcast."""


@declares(inputs=_FLOATS, output=_SCALAR, error=DimensionValueError)
class BCEWithLogitsLoss(Layer, torch.nn.BCEWithLogitsLoss):
    """`torch.nn.BCEWithLogitsLoss` of two tensors of one shape, both of floats; `weight` and `pos_weight` may broadcast."""


@declares(inputs={"input": _SHAPE, "target": _LESS}, otherwise=_target_is_larger("input"), output=_SCALAR)
class KLDivLoss(Layer, torch.nn.KLDivLoss):
    """`torch.nn.KLDivLoss` of two tensors of which one broadcasts to the other."""


@declares(inputs={"log_input": _SHAPE, "target": _LESS}, otherwise=_target_is_larger("log_input"), output=_SCALAR)
class PoissonNLLLoss(Layer, torch.nn.PoissonNLLLoss):
    """`torch.nn.PoissonNLLLoss` of two tensors of which one broadcasts to the other."""


def _other_variances(layer: Any, input: Any, target: Any, var: Any) -> Iterator[SizeViolation]:  # noqa: ARG001  # torch's names
    """The axes of `var` that are not the input's: one of them may have size 1, or the last may be missing."""
    if not isinstance(var, Tensor):
        return
    rank, missing = input.dim(), input.dim() - var.dim()
    if missing not in (0, 1):
        yield SizeViolation("var", None, "", f"{rank} or {rank - 1}")
        return
    differing = [axis for axis in range(var.dim()) if var.shape[axis] != input.shape[axis]]
    ones = [axis for axis in differing if var.shape[axis] == 1][: 1 - missing]
    for axis in differing:
        if axis not in ones:
            yield SizeViolation("var", axis, f"axis {axis}", input.shape[axis])


@declares(
    inputs={"input": _SHAPE, "target": _LESS, "var": Shaped[Tensor, "..."] | float},
    otherwise=_target_is_larger("input"),
    output=_SCALAR,
    error=DimensionValueError,
    refuses=_other_variances,
)
class GaussianNLLLoss(Layer, torch.nn.GaussianNLLLoss):
    """`torch.nn.GaussianNLLLoss` of a prediction and a target of which one broadcasts to the other.

    Shape:
        var: a number, or the input's shape; one axis may have size 1, or the last one be missing.
    """


@declares(inputs={"input": _SHAPE, "target": _LESS}, output=_SCALAR)
class SoftMarginLoss(Layer, torch.nn.SoftMarginLoss):
    """`torch.nn.SoftMarginLoss` of a prediction, and a target that has its shape or broadcasts to it."""


@declares(inputs={"input": _SHAPE, "target": _LESS}, otherwise=_target_is_larger("input"), output=_SCALAR)
class HingeEmbeddingLoss(Layer, torch.nn.HingeEmbeddingLoss):
    """`torch.nn.HingeEmbeddingLoss` of two tensors of which one broadcasts to the other."""


@declares(inputs={"input": _SHAPE, "target": _LESS}, otherwise=_target_is_larger("input"), output=_SCALAR)
class MultiLabelSoftMarginLoss(Layer, torch.nn.MultiLabelSoftMarginLoss):
    """`torch.nn.MultiLabelSoftMarginLoss` of two tensors of which one broadcasts to the other."""


@declares(
    inputs={"input": _SHAPE, "target": Int64[Tensor, "*shape"]}, otherwise=_of_one_element("input"), output=_SCALAR
)
class MultiLabelMarginLoss(Layer, torch.nn.MultiLabelMarginLoss):
    """`torch.nn.MultiLabelMarginLoss`: `(batch, classes), (batch, classes)`, or without batch."""


# One class of several -------------------------------------------------------------------------------------------------


class ClassIndex(AbstractDtype):
    """The dtypes that torch takes for the number of a class."""

    dtypes = ("int64", "uint8")


_Indices: Any = ClassIndex
ONE_CLASS: Any = Union[_Indices[Tensor, ""], _Indices[Tensor, "1"]]  # noqa: UP007  # pyright knows no | of these
"""The class of an input without batch."""
_INDICES: Inputs = {"input": Shaped[Tensor, "batch classes"], "target": ClassIndex[Tensor, "batch"]}
_RARER_INDICES: dict[str, Inputs | None] = {
    has_axes("input", 1): {"input": Shaped[Tensor, "classes"], "target": ONE_CLASS},
    "isinstance(input, Tensor) and input.dim() > 2": {
        "input": Shaped[Tensor, "batch classes *place"],
        "target": ClassIndex[Tensor, "batch *place"],
    },
}
_ARE_PROBABILITIES = _both_are("input", "target", "target.is_floating_point() and target.dim() == input.dim()")


def _other_classes(layer: Any, input: Any, target: Any) -> Iterator[SizeViolation]:  # torch's names
    """A class axis that the layer's weights are not for, or that is too short for a class in the target."""
    axis = 0 if input.dim() == 1 else 1
    wanted = len(layer.weight) if layer.weight is not None else input.shape[axis]
    if input.shape[axis] != wanted:
        yield SizeViolation("input", axis, "classes", wanted)
    elif target.is_cpu and not target.is_floating_point() and target.numel():  # a GPU that has refused says no more
        needed = int(target.max()) + 1
        if needed > input.shape[axis]:
            yield SizeViolation("input", axis, "classes", f"at least {needed}")


@declares(
    inputs=_INDICES,
    otherwise={_ARE_PROBABILITIES: _FLOATS, **_RARER_INDICES},
    output=_SCALAR,
    error=DimensionValueError,
    refuses=_other_classes,
)
class CrossEntropyLoss(Layer, torch.nn.CrossEntropyLoss):
    """`torch.nn.CrossEntropyLoss`: logits `(batch, classes, ...)`, and class indices `(batch, ...)` or as many probabilities."""


@declares(inputs=_INDICES, otherwise=_RARER_INDICES, output=_SCALAR, error=DimensionValueError, refuses=_other_classes)
class NLLLoss(Layer, torch.nn.NLLLoss):
    """`torch.nn.NLLLoss`: log-probabilities `(batch, classes, ...)`, and class indices `(batch, ...)`."""


@declares(
    inputs={"input": Shaped[Tensor, "batch classes"], "target": Int64[Tensor, "batch"]},
    otherwise={
        has_axes("input", 0): UNCHECKED,
        has_axes("input", 1): {"input": Shaped[Tensor, "classes"], "target": Int64[Tensor, ""] | Int64[Tensor, "1"]},
        _both_are("input", "target", "input.shape[:1] == (1,) and target.dim() == 0"): UNCHECKED,
    },
    output=_SCALAR,
    refuses=_other_classes,
)
class MultiMarginLoss(Layer, torch.nn.MultiMarginLoss):
    """`torch.nn.MultiMarginLoss`: `(batch, classes)`, and class indices `(batch,)`."""


@declares(
    sizes={"in_features": "in_features", "classes": "n_classes"},
    inputs={"input_": Shaped[Tensor, "batch in_features"], "target_": Shaped[Tensor, "batch"]},
    otherwise={has_axes("input_", 1): {"input_": Shaped[Tensor, "in_features"], "target_": _SCALAR}},
    output=tuple[Shaped[Tensor, "batch"] | _SCALAR, _SCALAR],
)
class AdaptiveLogSoftmaxWithLoss(Layer, torch.nn.AdaptiveLogSoftmaxWithLoss):
    """`torch.nn.AdaptiveLogSoftmaxWithLoss`: `(batch, in_features)`, and class indices `(batch,)`, or without batch."""

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
    """`torch.nn.CosineEmbeddingLoss`: `(batch, features), (batch, features), (batch,)`, or without batch."""


@declares(
    inputs={"input1": _SHAPE, "input2": _SHAPE, "target": _SHAPE},
    otherwise=_of_same_rank("input1", "input2", "target", form={"input1": _LESS, "input2": _LESS, "target": _LESS}),
    output=_SCALAR,
)
class MarginRankingLoss(Layer, torch.nn.MarginRankingLoss):
    """`torch.nn.MarginRankingLoss` of three tensors of one shape, or that broadcast without a new axis."""


@declares(
    inputs={"anchor": _SHAPE, "positive": _SHAPE, "negative": _SHAPE},
    otherwise=_of_same_rank(
        "anchor", "positive", "negative", form={"anchor": _LESS, "positive": _LESS, "negative": _LESS}
    ),
    output=_SCALAR,
)
class TripletMarginLoss(Layer, torch.nn.TripletMarginLoss):
    """`torch.nn.TripletMarginLoss` of three tensors of one shape, or that broadcast without a new axis."""


@declares(
    inputs={"anchor": _SHAPE, "positive": _SHAPE, "negative": _SHAPE},
    otherwise={
        "self._dim_has_own_distance and anchor.dim() == positive.dim() == negative.dim()": UNCHECKED,
        **_of_same_rank("anchor", "positive", "negative", form={"anchor": _LESS, "positive": _LESS, "negative": _LESS}),
    },
    output=_SCALAR,
)
class TripletMarginWithDistanceLoss(Layer, torch.nn.TripletMarginWithDistanceLoss):
    """`torch.nn.TripletMarginWithDistanceLoss` of three tensors with as many axes.

    Which sizes fit is a given distance's to say; without one they are as `TripletMarginLoss` takes them.
    """

    @property
    def _dim_has_own_distance(self) -> bool:
        return not isinstance(self.distance_function, torch.nn.PairwiseDistance)


# Sequences ------------------------------------------------------------------------------------------------------------

_LENGTHS = Shaped[Tensor, "..."] | list[Any] | tuple[Any, ...]


def _other_lengths(layer: Any, log_probs: Any, targets: Any, *lengths: Any) -> Iterator[SizeViolation]:
    """Lengths that are not one for each item, that are longer than what they measure, or that do not add up to it."""
    batch = log_probs.shape[1] if log_probs.dim() == 3 else 1
    if log_probs.shape[-1] <= layer.blank:
        yield SizeViolation("log_probs", -1, "classes", f"at least {layer.blank + 1}")
    steps, entries = (torch.as_tensor(each).flatten() for each in lengths)
    for name, given, each in zip(("input_lengths", "target_lengths"), lengths, (steps, entries), strict=True):
        if len(each) != batch:
            is_scalar = isinstance(given, Tensor) and given.dim() == 0
            yield SizeViolation(name, None, "", 1) if is_scalar else SizeViolation(name, 0, "batch", batch)
    if batch and len(steps) == batch and log_probs.shape[0] < int(steps.max()):
        yield SizeViolation("log_probs", 0, "time", f"at least {int(steps.max())}")
    if not batch or len(entries) != batch:
        return
    if targets.dim() == 2 and targets.shape[1] < int(entries.max()):
        yield SizeViolation("targets", 1, "length", f"at least {int(entries.max())}")
    if targets.dim() == 1 and len(targets) != int(entries.sum()):
        yield SizeViolation("targets", 0, "total", int(entries.sum()))


@declares(
    inputs={
        "log_probs": Shaped[Tensor, "time batch classes"],
        "targets": Shaped[Tensor, "batch length"] | Shaped[Tensor, "total"],
        "input_lengths": _LENGTHS,
        "target_lengths": _LENGTHS,
    },
    otherwise={
        has_axes("log_probs", 2): {
            "log_probs": Shaped[Tensor, "time classes"],
            "targets": Shaped[Tensor, "total"] | Shaped[Tensor, "1 length"],
            "input_lengths": _LENGTHS,
            "target_lengths": _LENGTHS,
        }
    },
    output=_SCALAR,
    refuses=_other_lengths,
)
class CTCLoss(Layer, torch.nn.CTCLoss):
    """`torch.nn.CTCLoss`: `(time, batch, classes)`, targets `(batch, length)` or end to end, two `(batch,)` of lengths.

    Without batch: `(time, classes)`, and one target. Lengths may be tensors, lists or tuples.
    """
