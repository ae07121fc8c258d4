"""Annotations for sequences, images and volumes, with or without batch: the inputs of convolutions, norms and pools."""

from __future__ import annotations

from typing import Any

from jaxtyping import Shaped
from torch import Tensor

_NAMES = ("depth", "height", "width")


def space_names(axes: int, prefix: str = "") -> tuple[str, ...]:
    """The names of this number of spatial axes; a single one is a length."""
    names = ("length",) if axes == 1 else _NAMES[-axes:]
    return tuple(prefix + name for name in names)


def space(axes: int, channels: str = "channels", prefix: str = "") -> Any:
    """Channels and spatial axes, batched or not; `prefix` distinguishes the output's sizes."""
    return batched_space(axes, channels, prefix) | Shaped[Tensor, " ".join((channels, *space_names(axes, prefix)))]


def batched_space(axes: int, channels: str = "channels", prefix: str = "") -> Any:
    """Channels and spatial axes, with a batch."""
    return Shaped[Tensor, " ".join(("batch", channels, *space_names(axes, prefix)))]
