"""The contents of a drawn tensor: seeded numbers of a dtype, and its memory layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_SPANS: dict[str, Callable[[Tensor], Tensor]] = {"": lambda made: made, "positive": torch.exp, "unit": torch.sigmoid}
LAYOUTS = ("contiguous", "strided", "transposed", "expanded", "channels_last")
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


@dataclass(frozen=True)
class ValueConstraint:
    """Constraints on the numbers of one parameter.

    Their dtype, integers from `low` and `below` a size, or below the size of a name; `span` and `once` as of `Fill`.
    """

    dtype: torch.dtype | None = None
    low: int = 0
    below: int | str | None = None
    span: str = ""
    once: int = 0


@dataclass(frozen=True)
class Fill:
    """The numbers of a tensor: of a dtype, integers from `low` and below `high`, floats in a span.

    With `reaches`, the first number is the highest: one of a padded batch's lengths is the whole length. The `span` of
    floats is "" for any, `positive` for numbers above 0, or `unit` for numbers between 0 and 1. Over the last `once`
    axes together each integer occurs once.
    """

    dtype: torch.dtype
    low: int = 0
    high: int = 4
    reaches: bool = False
    span: str = ""
    once: int = 0

    def make(self, shape: tuple[int, ...], seed: int) -> Tensor:
        """Zeros or the lowest numbers for seed 0, else random numbers of the seed."""
        generator = torch.Generator().manual_seed(seed)
        if self.dtype.is_floating_point or self.dtype.is_complex:
            wide = torch.complex128 if self.dtype.is_complex else torch.float64
            made = torch.randn(shape, generator=generator, dtype=wide) if seed else torch.zeros(shape, dtype=wide)
            return _SPANS[self.span](made).to(self.dtype)
        if self.once:
            return self._permuted(shape, generator, is_plain=not seed).to(self.dtype)
        low, high = self._bounds()
        made = torch.randint(low, high, shape, generator=generator) if seed else torch.full(shape, low)
        if self.reaches and made.numel():
            made.view(-1)[0] = high - 1
        return made.to(self.dtype)

    def _permuted(self, shape: tuple[int, ...], generator: torch.Generator, *, is_plain: bool) -> Tensor:
        """The numbers 0, 1, 2 and so on over the last axes; in order for the simplest tensor."""
        split = max(len(shape) - self.once, 0)
        rows, count = torch.Size(shape[:split]).numel(), torch.Size(shape[split:]).numel()
        keys = torch.rand(rows, count, generator=generator)
        return (torch.arange(count).expand(rows, count) if is_plain else keys.argsort(dim=1)).reshape(shape)

    def _bounds(self) -> tuple[int, int]:
        if self.dtype is torch.bool:
            return 0, 2
        high = min(self.high, torch.iinfo(self.dtype).max)
        return min(self.low, high), max(high, self.low + 1)


def layouts_of(shape: tuple[int, ...]) -> list[str]:
    """The layouts that a tensor of this shape can have, the plain one first."""
    possible = {
        "contiguous": True,
        "strided": bool(shape),
        "transposed": len(shape) > 1,
        "expanded": bool(shape),
        "channels_last": len(shape) in _CHANNELS_LAST,
    }
    return [layout for layout in LAYOUTS if possible[layout]]


def laid_out(tensor: Tensor, layout: str) -> Tensor:
    """The tensor in a layout. An expanded one repeats its first row."""
    match layout:
        case "strided":
            return torch.stack([tensor, tensor], dim=-1).flatten(-2)[..., ::2]
        case "transposed":
            back = tuple(reversed(range(tensor.dim())))
            return tensor.permute(back).contiguous().permute(back)
        case "expanded":
            return tensor[:1].clone().expand_as(tensor) if len(tensor) else tensor
        case "channels_last":
            return tensor.contiguous(memory_format=_CHANNELS_LAST[tensor.dim()])
        case _:
            return tensor
