"""Size limits of torch that no annotation can state: too few values to normalize, uneven groups, no values.

Each is a rule of a contract (`violations=`), and runs only after torch has raised.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from dimtyped.nn.contract.spatial import space_names
from dimtyped.nn.contract.torch_errors import Rule, SizeViolation


def empty(spaces: int) -> Rule:
    """Channels or spatial axes of size 0: only the batch may be 0."""

    def rule(layer: Any, input: Any, *_: Any) -> Iterator[SizeViolation]:  # noqa: ARG001  # torch's name
        for index, name in enumerate(("channels", *space_names(spaces))):
            if input.shape[index - spaces - 1] == 0:
                yield SizeViolation("input", index - spaces - 1, name, "at least 1")

    return rule


def too_few_for_batch(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    """One value of each channel, which has no variance: a last batch of one item, in training."""
    takes_statistics = layer.training or layer.running_mean is None
    if takes_statistics and input.dim() > 1 and input.numel() == input.shape[1]:
        yield SizeViolation("input", 0, "batch", "at least 2 in training")


def too_few_in_space(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    """One value of each channel of an item, which has no variance."""
    count = layer._get_no_batch_dim() - 1
    takes_statistics = layer.training or not layer.track_running_stats
    if takes_statistics and math.prod(input.shape[-count:]) == 1:
        yield SizeViolation("input", -1, space_names(count)[-1], "at least 2 in training")
    if input.dim() > count + 1 and input.shape[0] == 0:
        yield SizeViolation("input", 0, "batch", "at least 1")


def odd_groups(layer: Any, input: Any) -> Iterator[SizeViolation]:  # torch's name
    """Channels that the groups do not divide, in a layer without parameters that hold their number."""
    if input.dim() > 1 and input.shape[1] % layer.num_groups:
        yield SizeViolation("input", 1, "channels", f"a multiple of {layer.num_groups}")


def too_small_for_window(spaces: int) -> Rule:
    """Axes that are too short for the window."""

    def rule(layer: Any, input: Any, *_: Any) -> Iterator[SizeViolation]:  # torch's name
        # for this one torch requires the whole window, regardless of the padding
        padding = 0 if isinstance(layer, torch.nn.AvgPool3d) else getattr(layer, "padding", 0)
        windows, pads = each(layer.kernel_size, spaces), each(padding, spaces)
        dilations = each(getattr(layer, "dilation", 1), spaces)
        if input.shape[-spaces - 1] == 0:
            yield SizeViolation("input", -spaces - 1, "channels", "at least 1")
        for index, name in enumerate(space_names(spaces)):
            least = max(1, dilations[index] * (windows[index] - 1) + 1 - 2 * pads[index])
            if input.shape[index - spaces] < least:
                yield SizeViolation("input", index - spaces, name, f"at least {least}")

    return rule


def too_small_for_fraction(spaces: int) -> Rule:
    """Axes too short for the number of windows to draw from them."""

    def rule(layer: Any, input: Any, *_: Any) -> Iterator[SizeViolation]:  # torch's name
        if layer.output_size is None and layer.output_ratio is None:  # a call of the function that gives neither
            return
        sizes, ratios = each(layer.output_size, spaces), each(layer.output_ratio, spaces)
        for index, (name, window) in enumerate(zip(space_names(spaces), each(layer.kernel_size, spaces), strict=True)):
            size = input.shape[index - spaces]
            made = sizes[index] if layer.output_size else int(ratios[index] * size)
            least = window + max(made, 1) - (spaces == 2)
            if size < least:
                yield SizeViolation("input", index - spaces, name, f"at least {least}")

    return rule


def each(value: Any, count: int) -> tuple[Any, ...]:
    """An argument that is one number for all spatial axes, or a number for each."""
    if not isinstance(value, tuple | list):
        return (value,) * count
    return tuple(value) * (count if len(value) == 1 else 1)
