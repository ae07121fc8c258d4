"""Convolutions: the channels by name, and the sizes that a kernel needs. The batch axis may be missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from dimtyped.engine import ALWAYS
from dimtyped.nn.contract import COUNTS, Layer, SizeViolation, declares, space, space_names

_SIZES = {"in_channels": "in_channels", "out_channels": "out_channels"}
_FLOW = ("in_channels", "out_channels")
_TRANSPOSED_COUNTS = {**COUNTS, "dilation": 0}  # torch accepts it
_MULTIPLES = {"in_channels": "groups", "out_channels": "groups"}


class _Convolution(Layer):
    """The base of the convolutions: the shape of the weight, for any number of spatial axes."""

    def _dim_parameter_axes(self, name: str) -> str | None:
        layer: Any = self
        if name == "bias":
            return "out_channels"
        if name != "weight":
            return None
        first, second = ("in_channels", "out_channels") if layer.transposed else ("out_channels", "in_channels")
        grouped = second if layer.groups == 1 else f"{second}//{layer.groups}"
        kernel = zip(space_names(len(layer.kernel_size)), layer.kernel_size, strict=True)
        return " ".join((first, grouped, *(f"kernel_{axis}={size}" for axis, size in kernel)))


def too_small(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    """Axes that are too short for the kernel, or for their padding."""
    count = len(layer.kernel_size)
    pads = layer._reversed_padding_repeated_twice
    for index, name in enumerate(space_names(count)):
        axis = index - count
        before, after = pads[-2 * axis - 2], pads[-2 * axis - 1]
        least = max(1, layer.dilation[index] * (layer.kernel_size[index] - 1) + 1 - before - after)
        if layer.padding_mode in ("reflect", "circular"):
            least = max(least, max(before, after) + (layer.padding_mode == "reflect"))
        if input.shape[axis] < least:
            yield SizeViolation("input", axis, name, f"at least {least}")


def too_small_transposed(layer: Any, input: Any, output_size: Any) -> Iterator[SizeViolation]:  # torch's name
    """Axes of which the padding would leave nothing, and an `output_size` that no padding gives."""
    count = len(layer.kernel_size)
    for index, name in enumerate(space_names(count)):
        stride, kept = layer.stride[index], layer.dilation[index] * (layer.kernel_size[index] - 1) + 1
        cut, size = 2 * layer.padding[index], input.shape[index - count]
        added = 0 if output_size is not None else layer.output_padding[index]
        least = max(1, 2 - (kept + added - cut + stride - 1) // stride)
        if size < least:
            yield SizeViolation("input", index - count, name, f"at least {least}")
        elif output_size is not None and len(output_size) in (count, input.dim()):
            shortest, wanted = (size - 1) * stride - cut + kept, output_size[index - count]
            if not shortest <= wanted < shortest + stride:
                expected = f"{shortest} to {shortest + stride - 1}"
                yield SizeViolation("output_size", None, f"out_{name}", expected, int(wanted))


@declares(
    sizes=_SIZES,
    inputs={"input": space(1, "in_channels")},
    output=space(1, "out_channels", "out_"),
    flow=_FLOW,
    axis=-2,
    multiples=_MULTIPLES,
    words=("padding",),
    violations=too_small,
    check_after_error=ALWAYS,
)
class Conv1d(_Convolution, torch.nn.Conv1d):
    """`torch.nn.Conv1d`, checked by name: `(batch, in_channels, length)`, or without batch.

    Example:
        >>> from dimtyped import dims, nn
        >>> mels, hidden = dims(mels=80, hidden=384)
        >>> nn.Conv1d(mels, hidden, kernel_size=3, padding=1)
        Conv1d(mels=80 -> hidden=384, kernel_size=(3,), stride=(1,), padding=(1,))
    """


@declares(
    sizes=_SIZES,
    inputs={"input": space(2, "in_channels")},
    output=space(2, "out_channels", "out_"),
    flow=_FLOW,
    axis=-3,
    multiples=_MULTIPLES,
    words=("padding",),
    violations=too_small,
    check_after_error=ALWAYS,
)
class Conv2d(_Convolution, torch.nn.Conv2d):
    """`torch.nn.Conv2d`, checked by name: `(batch, in_channels, height, width)`, or without batch."""


@declares(
    sizes=_SIZES,
    inputs={"input": space(3, "in_channels")},
    output=space(3, "out_channels", "out_"),
    flow=_FLOW,
    axis=-4,
    multiples=_MULTIPLES,
    words=("padding",),
    violations=too_small,
    check_after_error=ALWAYS,
)
class Conv3d(_Convolution, torch.nn.Conv3d):
    """`torch.nn.Conv3d`, checked by name: `(batch, in_channels, depth, height, width)`, or without batch."""


@declares(
    sizes=_SIZES,
    inputs={"input": space(1, "in_channels")},
    output=space(1, "out_channels", "out_"),
    flow=_FLOW,
    axis=-2,
    multiples=_MULTIPLES,
    counts=_TRANSPOSED_COUNTS,
    violations=too_small_transposed,
)
class ConvTranspose1d(_Convolution, torch.nn.ConvTranspose1d):
    """`torch.nn.ConvTranspose1d`, checked by name: `(batch, in_channels, length)`, or without batch."""


@declares(
    sizes=_SIZES,
    inputs={"input": space(2, "in_channels")},
    output=space(2, "out_channels", "out_"),
    flow=_FLOW,
    axis=-3,
    multiples=_MULTIPLES,
    counts=_TRANSPOSED_COUNTS,
    violations=too_small_transposed,
)
class ConvTranspose2d(_Convolution, torch.nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d`, checked by name: `(batch, in_channels, height, width)`, or without batch."""


@declares(
    sizes=_SIZES,
    inputs={"input": space(3, "in_channels")},
    output=space(3, "out_channels", "out_"),
    flow=_FLOW,
    axis=-4,
    multiples=_MULTIPLES,
    counts=_TRANSPOSED_COUNTS,
    violations=too_small_transposed,
)
class ConvTranspose3d(_Convolution, torch.nn.ConvTranspose3d):
    """`torch.nn.ConvTranspose3d`, checked by name: `(batch, in_channels, depth, height, width)`, or without batch."""
