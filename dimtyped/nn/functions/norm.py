"""The normalisations: the channels of the input, of the statistics and of the weights; the last axes."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Optional

import torch.nn.functional as torch_functional
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.engine import Form, of_call
from dimtyped.errors import DimensionValueError, RankError
from dimtyped.nn.contract import UNCHECKED, SizeViolation, axis_role, is_tensor, odd_groups
from dimtyped.nn.functions.function import Function

_INPUT = Shaped[Tensor, "batch channels ..."]
_OF_CHANNELS = Optional[Shaped[Tensor, "channels"]]  # noqa: UP045  # pyright knows no | of these
_STATISTICS = ("running_mean", "running_var")
_ANY: Any = {"input": Shaped[Tensor, "..."]}


def _forms(*parameters: str) -> tuple[Form, ...]:
    form = Form({"input": _INPUT, **dict.fromkeys(parameters, _OF_CHANNELS)}, _INPUT)
    return form, Form(UNCHECKED, when=is_tensor("input") & of_call("input.numel() == 0"), rare=True)


def _one_value(*, input: Any, running_mean: Any, training: bool = True, **_: Any) -> Iterator[SizeViolation]:
    """One value of each channel, which has no variance."""
    if (training or running_mean is None) and input.dim() > 1 and input.numel() == input.shape[1]:
        yield SizeViolation("input", 0, "batch", "at least 2 in training")


def _one_value_in_space(*, input: Any, use_input_stats: bool, **_: Any) -> Iterator[SizeViolation]:
    """One value of each channel of an item, which has no variance."""
    if use_input_stats and input.dim() > 2 and input[0, 0].numel() == 1:
        yield SizeViolation("input", -1, axis_role("space", -1), "at least 2 in training")


def _groups(*, input: Any, num_groups: int, **_: Any) -> Iterator[SizeViolation]:
    yield from odd_groups(SimpleNamespace(num_groups=num_groups), input)


def _other_axes(
    *, input: Any, normalized_shape: Any, weight: Any, bias: Any = None, **_: Any
) -> Iterator[SizeViolation]:
    """Violations by last axes that differ from `normalized_shape`, those of the input or of the parameters."""
    wanted = tuple(normalized_shape)
    for name, given in (("input", input), ("weight", weight), ("bias", bias)):
        if not isinstance(given, Tensor):
            continue
        if given.dim() < len(wanted) or (name != "input" and given.dim() > len(wanted)):
            yield SizeViolation(name, None, "", len(wanted))
            continue
        for axis in range(-len(wanted), 0):
            if given.shape[axis] != wanted[axis]:
                yield SizeViolation(name, axis, axis_role("features", axis), wanted[axis])


_PARAMETERS = dict.fromkeys(("weight", "bias"), Optional[Shaped[Tensor, "..."]])  # noqa: UP045  # as above
FUNCTIONS = (
    Function(
        torch_functional.batch_norm,
        _forms(*_STATISTICS, "weight", "bias"),
        (*_STATISTICS, "weight", "bias"),
        rank_error=RankError,
        violations=_one_value,
    ),
    Function(
        torch_functional.instance_norm,
        _forms(*_STATISTICS, "weight", "bias"),
        (*_STATISTICS, "weight", "bias"),
        error=DimensionValueError,
        violations=_one_value_in_space,
    ),
    Function(torch_functional.group_norm, _forms("weight", "bias"), ("weight", "bias"), violations=_groups),
    Function(torch_functional.layer_norm, (Form({**_ANY, **_PARAMETERS}),), violations=_other_axes),
    Function(torch_functional.rms_norm, (Form({**_ANY, "weight": _PARAMETERS["weight"]}),), violations=_other_axes),
)
