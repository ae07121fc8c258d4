"""Losses. Tensors that torch documents with equal shapes must have them: (batch, 1) never silently broadcasts to (batch).

If torch warns of broadcasting between the prediction and the target, only a scalar may broadcast. If it does not warn,
one of the two may broadcast to the other, such as one rate for all counts; a result larger than both is rejected.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Union

import torch
from jaxtyping import AbstractDtype, Float, Int64, Shaped
from torch import Tensor

from dimtyped.engine import Form, Predicate, of_call, of_owner
from dimtyped.errors import DimensionValueError
from dimtyped.nn.contract import UNCHECKED, Inputs, Layer, SizeViolation, declares, has_axes, is_tensor

_SCALAR = Shaped[Tensor, ""]
_SHAPE, _LESS = Shaped[Tensor, "*shape"], Shaped[Tensor, "*#shape"]
_FLOATS: Inputs = dict.fromkeys(("input", "target"), Float[Tensor, "*shape"])


_TENSORS = is_tensor("input") & is_tensor("target")


def _rare(inputs: Inputs | None, when: Predicate) -> Form:
    return Form(inputs, _SCALAR, when, rare=True)


def _of_one_shape_or_scalar() -> tuple[Form, Form]:
    one_is_scalar = of_call("input.dim() == 0") | of_call("target.dim() == 0")
    return Form({"input": _SHAPE, "target": _SHAPE}, _SCALAR), _rare(UNCHECKED, _TENSORS & one_is_scalar)


def one_broadcasts(first: str = "input", **others: Any) -> tuple[Form, Form]:
    """The forms of a call in which a prediction or its target may broadcast to the other."""
    is_smaller = of_call(f"{first}.numel() < target.numel()")
    is_repeated = of_call(f"target.shape[target.dim() - {first}.dim() :] == {first}.shape")
    is_larger = is_tensor(first) & is_tensor("target") & (is_smaller | is_repeated)
    return (
        Form({first: _SHAPE, "target": _LESS, **others}, _SCALAR),
        _rare({first: _LESS, "target": _SHAPE}, is_larger),
    )


def _of_same_rank(*parameters: str) -> Predicate:
    are_tensors = functools.reduce(operator.and_, map(is_tensor, parameters))
    return are_tensors & of_call(" == ".join(f"{parameter}.dim()" for parameter in parameters))


def _of_one_shape_or_broadcasting(*parameters: str) -> tuple[Form, Form]:
    one_shape, broadcasting = dict.fromkeys(parameters, _SHAPE), dict.fromkeys(parameters, _LESS)
    return Form(one_shape, _SCALAR), _rare(broadcasting, _of_same_rank(*parameters))


# A prediction for each target -----------------------------------------------------------------------------------------


@declares(calls=_of_one_shape_or_scalar())
class MSELoss(Layer, torch.nn.MSELoss):
    """`torch.nn.MSELoss` of two tensors of equal shape, or of a scalar and any tensor.

    Example:
        >>> import torch
        >>> from dimtyped import nn
        >>> nn.MSELoss()(torch.ones(4, 1), torch.ones(4))
        Traceback (most recent call last):
        dimtyped.DimensionError: MSELoss.forward: argument `target` does not fit: its shape is (4,), must be (4, 1)
        ...
    """


@declares(calls=_of_one_shape_or_scalar())
class L1Loss(Layer, torch.nn.L1Loss):
    """`torch.nn.L1Loss` of two tensors of equal shape, or of a scalar and any tensor."""


@declares(calls=_of_one_shape_or_scalar())
class SmoothL1Loss(Layer, torch.nn.SmoothL1Loss):
    """`torch.nn.SmoothL1Loss` of two tensors of equal shape, or of a scalar and any tensor."""


@declares(calls=_of_one_shape_or_scalar())
class HuberLoss(Layer, torch.nn.HuberLoss):
    """`torch.nn.HuberLoss` of two tensors of equal shape, or of a scalar and any tensor."""


@declares(inputs=_FLOATS, output=_SCALAR, error=DimensionValueError)
class BCELoss(Layer, torch.nn.BCELoss):
    """`torch.nn.BCELoss` of two float tensors of equal shape; its `weight` may broadcast."""


@declares(inputs=_FLOATS, output=_SCALAR, error=DimensionValueError)
class BCEWithLogitsLoss(Layer, torch.nn.BCEWithLogitsLoss):
    """`torch.nn.BCEWithLogitsLoss` of two float tensors of equal shape; `weight` and `pos_weight` may broadcast."""


@declares(calls=one_broadcasts())
class KLDivLoss(Layer, torch.nn.KLDivLoss):
    """`torch.nn.KLDivLoss` of two tensors; one may broadcast to the other."""


@declares(calls=one_broadcasts("log_input"))
class PoissonNLLLoss(Layer, torch.nn.PoissonNLLLoss):
    """`torch.nn.PoissonNLLLoss` of two tensors; one may broadcast to the other."""


def other_variances(layer: Any, input: Any, target: Any, var: Any) -> Iterator[SizeViolation]:  # noqa: ARG001  # torch's names
    """A `var` of another shape than the input's: one axis may have size 1, or the last may be missing."""
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
    calls=one_broadcasts(var=Shaped[Tensor, "..."] | float),
    error=DimensionValueError,
    violations=other_variances,
)
class GaussianNLLLoss(Layer, torch.nn.GaussianNLLLoss):
    """`torch.nn.GaussianNLLLoss` of a prediction and a target; one may broadcast to the other.

    Shape:
        var: a number, or the input's shape; one axis may have size 1, or the last one be missing.
    """


@declares(inputs={"input": _SHAPE, "target": _LESS}, output=_SCALAR)
class SoftMarginLoss(Layer, torch.nn.SoftMarginLoss):
    """`torch.nn.SoftMarginLoss` of a prediction, and a target that has its shape or broadcasts to it."""


@declares(calls=one_broadcasts())
class HingeEmbeddingLoss(Layer, torch.nn.HingeEmbeddingLoss):
    """`torch.nn.HingeEmbeddingLoss` of two tensors; one may broadcast to the other."""


@declares(calls=one_broadcasts())
class MultiLabelSoftMarginLoss(Layer, torch.nn.MultiLabelSoftMarginLoss):
    """`torch.nn.MultiLabelSoftMarginLoss` of two tensors; one may broadcast to the other."""


@declares(
    calls=(
        Form({"input": _SHAPE, "target": Int64[Tensor, "*shape"]}, _SCALAR),
        _rare(UNCHECKED, _TENSORS & of_call("input.dim() < 2") & of_call("input.numel() == target.numel() == 1")),
    )
)
class MultiLabelMarginLoss(Layer, torch.nn.MultiLabelMarginLoss):
    """`torch.nn.MultiLabelMarginLoss`: `(batch, classes), (batch, classes)`, or without batch."""


# One class of several -------------------------------------------------------------------------------------------------


class ClassIndex(AbstractDtype):
    """The dtypes that torch accepts for class indices."""

    dtypes = ("int64", "uint8")


_Indices: Any = ClassIndex
ONE_CLASS: Any = Union[_Indices[Tensor, ""], _Indices[Tensor, "1"]]  # noqa: UP007  # pyright knows no | of these
"""The class index of an input without batch."""
_INDICES = Form({"input": Shaped[Tensor, "batch classes"], "target": ClassIndex[Tensor, "batch"]}, _SCALAR)
_RARE_INDICES = (
    _rare({"input": Shaped[Tensor, "classes"], "target": ONE_CLASS}, has_axes("input", 1)),
    _rare(
        {"input": Shaped[Tensor, "batch classes *place"], "target": ClassIndex[Tensor, "batch *place"]},
        is_tensor("input") & of_call("input.dim() > 2"),
    ),
)
_ARE_PROBABILITIES = _TENSORS & of_call("target.is_floating_point()") & of_call("target.dim() == input.dim()")
# On fake tensors and under vmap torch takes int32 targets, and an image's targets of another size.
_TORCH_REFUSES = (
    is_tensor("target") & of_call("target.dtype == {}", torch.int64) & is_tensor("input") & of_call("input.ndim == 2")
)


def other_classes(layer: Any, input: Any, target: Any) -> Iterator[SizeViolation]:  # torch's names
    """A class axis that differs from the layer's weights, or target classes outside of it."""
    axis = 0 if input.dim() == 1 else 1
    wanted = len(layer.weight) if layer.weight is not None else input.shape[axis]
    if input.shape[axis] != wanted:
        yield SizeViolation("input", axis, "classes", wanted)
    else:
        yield from labels_outside(target, wanted, getattr(layer, "ignore_index", None))


def labels_outside(target: Any, classes: int, ignored: int | None) -> Iterator[SizeViolation]:
    """Labels that are none of the classes. After an error on a GPU their values cannot be read."""
    if not target.is_cpu or target.is_floating_point():
        return
    outside = target[(target < 0) | (target >= classes)]
    outside = outside if ignored is None else outside[outside != ignored]
    if outside.numel():
        yield SizeViolation("target", None, "classes", f"0 to {classes - 1}", _worst(outside))


def _worst(outside: Tensor) -> int:
    """The highest class, or the lowest if all are negative."""
    return int(outside.max()) if int(outside.max()) >= 0 else int(outside.min())


@declares(
    calls=(_INDICES, _rare(_FLOATS, _ARE_PROBABILITIES), *_RARE_INDICES),
    error=DimensionValueError,
    violations=other_classes,
    check_after_error=_TORCH_REFUSES,
    refuses_in_traces=True,
)
class CrossEntropyLoss(Layer, torch.nn.CrossEntropyLoss):
    """`torch.nn.CrossEntropyLoss`: logits `(batch, classes, ...)`, and class indices `(batch, ...)` or class probabilities."""


@declares(
    calls=(_INDICES, *_RARE_INDICES),
    error=DimensionValueError,
    violations=other_classes,
    check_after_error=_TORCH_REFUSES,
    refuses_in_traces=True,
)
class NLLLoss(Layer, torch.nn.NLLLoss):
    """`torch.nn.NLLLoss`: log-probabilities `(batch, classes, ...)`, and class indices `(batch, ...)`."""


@declares(
    calls=(
        Form({"input": Shaped[Tensor, "batch classes"], "target": Int64[Tensor, "batch"]}, _SCALAR),
        _rare(UNCHECKED, has_axes("input", 0)),
        _rare(
            {"input": Shaped[Tensor, "classes"], "target": Int64[Tensor, ""] | Int64[Tensor, "1"]},
            has_axes("input", 1),
        ),
        _rare(UNCHECKED, _TENSORS & of_call("input.shape[:1] == (1,)") & of_call("target.dim() == 0")),
    ),
    violations=other_classes,
)
class MultiMarginLoss(Layer, torch.nn.MultiMarginLoss):
    """`torch.nn.MultiMarginLoss`: `(batch, classes)`, and class indices `(batch,)`."""


@declares(
    sizes={"in_features": "in_features", "classes": "n_classes"},
    calls=(
        Form(
            {"input_": Shaped[Tensor, "batch in_features"], "target_": Shaped[Tensor, "batch"]},
            tuple[Shaped[Tensor, "batch"], _SCALAR],
        ),
        Form(
            {"input_": Shaped[Tensor, "in_features"], "target_": _SCALAR},
            tuple[_SCALAR, _SCALAR],
            has_axes("input_", 1),
            rare=True,
        ),
    ),
)
class AdaptiveLogSoftmaxWithLoss(Layer, torch.nn.AdaptiveLogSoftmaxWithLoss):
    """`torch.nn.AdaptiveLogSoftmaxWithLoss`: `(batch, in_features)`, and class indices `(batch,)`, or without batch."""

    if TYPE_CHECKING:
        __call__: Callable[..., Any]  # a named pair


# Two or three items against each other --------------------------------------------------------------------------------

_THREE = _of_one_shape_or_broadcasting("anchor", "positive", "negative")
_ITEMS, _ITEM = Shaped[Tensor, "#batch #features"], Shaped[Tensor, "#features"]


@declares(
    calls=(
        Form({"input1": _ITEMS, "input2": _ITEMS, "target": Shaped[Tensor, "#batch"]}, _SCALAR),
        _rare({"input1": _ITEM, "input2": _ITEM, "target": _SCALAR}, has_axes("input1", 1)),
    )
)
class CosineEmbeddingLoss(Layer, torch.nn.CosineEmbeddingLoss):
    """`torch.nn.CosineEmbeddingLoss`: `(batch, features), (batch, features), (batch,)`, or without batch."""


@declares(calls=_of_one_shape_or_broadcasting("input1", "input2", "target"))
class MarginRankingLoss(Layer, torch.nn.MarginRankingLoss):
    """`torch.nn.MarginRankingLoss` of three tensors of equal shape, or that broadcast without a new axis."""


@declares(calls=_THREE)
class TripletMarginLoss(Layer, torch.nn.TripletMarginLoss):
    """`torch.nn.TripletMarginLoss` of three tensors of equal shape, or that broadcast without a new axis."""


@declares(
    calls=(
        _rare(
            UNCHECKED,
            of_owner("_dim_has_own_distance") & of_call("anchor.dim() == positive.dim() == negative.dim()"),
        ),
        *_THREE,
    )
)
class TripletMarginWithDistanceLoss(Layer, torch.nn.TripletMarginWithDistanceLoss):
    """`torch.nn.TripletMarginWithDistanceLoss` of three tensors with equally many axes.

    A given distance decides which sizes fit; without one they are those of `TripletMarginLoss`.
    """

    @property
    def _dim_has_own_distance(self) -> bool:
        return not isinstance(self.distance_function, torch.nn.PairwiseDistance)


# Sequences ------------------------------------------------------------------------------------------------------------

_LENGTHS = Shaped[Tensor, "..."] | list[Any] | tuple[Any, ...]


def other_lengths(layer: Any, log_probs: Any, targets: Any, *lengths: Any) -> Iterator[SizeViolation]:
    """Lengths that are not one per item, exceed the axis that they measure, or do not add up to it."""
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
    calls=(
        Form(
            {
                "log_probs": Shaped[Tensor, "time batch classes"],
                "targets": Shaped[Tensor, "batch length"] | Shaped[Tensor, "total"],
                "input_lengths": _LENGTHS,
                "target_lengths": _LENGTHS,
            },
            _SCALAR,
        ),
        _rare(
            {
                "log_probs": Shaped[Tensor, "time classes"],
                "targets": Shaped[Tensor, "total"] | Shaped[Tensor, "1 length"],
                "input_lengths": _LENGTHS,
                "target_lengths": _LENGTHS,
            },
            has_axes("log_probs", 2),
        ),
    ),
    violations=other_lengths,
)
class CTCLoss(Layer, torch.nn.CTCLoss):
    """`torch.nn.CTCLoss`: `(time, batch, classes)`, targets `(batch, length)` or concatenated, and two tensors of lengths `(batch,)`.

    Without batch: `(time, classes)`, and one target. Lengths may be tensors, lists or tuples.
    """
