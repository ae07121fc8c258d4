"""The convolutions: the channels of the input and of the weight, and what a kernel needs."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Optional

import torch.nn.functional as torch_functional
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.engine import Form, Predicate, of_call
from dimtyped.nn.contract import SizeViolation, each, space, space_names
from dimtyped.nn.functions.function import Function
from dimtyped.nn.layers.conv import too_small, too_small_transposed


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.conv1d(input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.conv2d(input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.conv3d(input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.conv_transpose1d(input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.conv_transpose3d(input, weight, bias, stride, padding, output_padding, groups, dilation)


def _forms(axes: int, *, transposed: bool) -> tuple[Form, ...]:
    if transposed:
        alone = _form(axes, "in_channels", "in_channels out_channels", "out_channels", of_call("groups == 1"))
        return alone, _form(axes, "in_channels", "in_channels group_channels", "{groups}*group_channels")
    alone = _form(axes, "in_channels", "out_channels in_channels", "out_channels", of_call("groups == 1"))
    return alone, _form(axes, "{groups}*group_channels", "out_channels group_channels", "out_channels")


def _form(axes: int, channels: str, weight: str, bias: str, when: Predicate | None = None) -> Form:
    kernel = " ".join(f"kernel_{name}" for name in space_names(axes))
    inputs: Any = {
        "input": space(axes, channels),
        "weight": Shaped[Tensor, f"{weight} {kernel}"],
        "bias": Optional[Shaped[Tensor, bias]],  # noqa: UP045  # pyright knows no | of these
    }
    return Form(inputs, when=when)


def _window(axes: int, weight: Any, stride: Any, padding: Any, dilation: Any) -> SimpleNamespace:
    """The attributes of a layer that the rules read."""
    pads = each(0 if isinstance(padding, str) else padding, axes)
    if padding == "same":
        pads = tuple(size * (kernel - 1) for size, kernel in zip(each(dilation, axes), weight.shape[2:], strict=True))
    return SimpleNamespace(
        kernel_size=tuple(weight.shape[2:]),
        stride=each(stride, axes),
        padding=pads,
        dilation=each(dilation, axes),
        _reversed_padding_repeated_twice=[pad for pad in reversed(pads) for _ in range(2)],
        padding_mode="zeros",
    )


def _violations(axes: int) -> Any:
    def rule(*, input: Any, weight: Any, stride: Any, padding: Any, dilation: Any, **_: Any) -> Iterator[SizeViolation]:
        yield from too_small(_window(axes, weight, stride, padding, dilation), input)

    return rule


def _transposed_violations(axes: int) -> Any:
    def rule(
        *, input: Any, weight: Any, stride: Any, padding: Any, output_padding: Any, dilation: Any, **_: Any
    ) -> Iterator[SizeViolation]:
        window = _window(axes, weight, stride, padding, dilation)
        window.output_padding = each(output_padding, axes)
        yield from too_small_transposed(window, input, None)

    return rule


FUNCTIONS = tuple(
    Function(function, _forms(axes, transposed=transposed), ("weight", "bias"), violations=rule(axes))
    for transposed, rule, functions in (
        (False, _violations, (conv1d, conv2d, conv3d)),
        (True, _transposed_violations, (conv_transpose1d, conv_transpose2d, conv_transpose3d)),
    )
    for axes, function in enumerate(functions, 1)
)
