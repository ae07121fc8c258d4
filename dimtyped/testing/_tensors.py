"""Strategies for tensors that fit one annotation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from dimtyped._axes import is_array_annotation, read_array
from dimtyped._errors import DeclarationError
from dimtyped._hints import ArrayHint
from dimtyped.testing._sizes import Sides, Sizes, draw_shape, draw_sizes

_COMMON = (
    torch.float32,
    torch.int64,
    torch.bool,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.int32,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.complex64,
    torch.complex128,
)
_SEEDS = 2**16
_LAYOUTS = ("contiguous", "strided", "transposed", "expanded", "channels_last")


def tensors(
    annotation: Any,
    *,
    sizes: Mapping[str, int] | None = None,
    min_side: int = 1,
    max_side: int = 6,
    allow_empty: bool = False,
    device: torch.device | str = "cpu",
    dtypes: Sequence[torch.dtype] | None = None,
    elements: st.SearchStrategy[Any] | None = None,
) -> st.SearchStrategy[Tensor]:
    """Tensors that fit one jaxtyping annotation, in every memory layout.

    They shrink to sides of `min_side`, zeros and a contiguous layout. Floats are finite and about 1 in size; integers are
    0 or above and small, below the size of a fixed name such as `vocab`.

    Args:
        annotation: `Float[Tensor, "batch seq"]`, of the whole grammar.
        sizes: Sizes of names. Default: none, all are drawn.
        min_side: The shortest side that is drawn. Default: 1.
        max_side: The longest. Default: 6.
        allow_empty: Whether sides of 0 are drawn too. Default: False.
        device: Where the tensors are. Default: the CPU.
        dtypes: Which dtypes to draw from. Default: the common ones that the annotation admits.
        elements: A strategy for each element. Default: seeded numbers, which is much faster.

    Raises:
        DeclarationError: the annotation is none, cannot be met, or the device is not there.

    Example:
        >>> from jaxtyping import Float
        >>> from torch import Tensor
        >>> from dimtyped.testing import tensors
        >>> tensors(Float[Tensor, "batch embed"], sizes={"embed": 4}).example().shape[1]  # doctest: +SKIP
        4
    """
    if not is_array_annotation(annotation):
        raise DeclarationError(f'tensors() takes an annotation such as Float[Tensor, "batch seq"], not {annotation!r}')
    hint, sides = read_array(annotation), Sides(min_side, max_side, allow_empty)
    if not (isinstance(hint.array_type, type) and issubclass(hint.array_type, Tensor)):
        raise DeclarationError(f"tensors() makes torch tensors, not what {hint} annotates")
    chosen = _chosen_dtypes(hint, dtypes)
    where = present(device)
    fixed = dict(sizes or {})

    @st.composite
    def strategy(draw: st.DrawFn) -> Tensor:
        drawn = draw_sizes(draw, [hint], fixed, {}, sides)
        return draw_tensor(draw, hint, drawn, sides, draw(st.sampled_from(chosen)), where, elements=elements)

    return strategy()


def draw_tensor(
    draw: st.DrawFn,
    hint: ArrayHint,
    sizes: Sizes,
    sides: Sides,
    dtype: torch.dtype,
    device: torch.device,
    *,
    limit: int | None = None,
    elements: st.SearchStrategy[Any] | None = None,
) -> Tensor:
    """One tensor of this annotation under these sizes; integers below `limit`."""
    shape = draw_shape(draw, hint, sizes, sides)
    below = limit if limit is not None else sizes.singles.get("vocab", sizes.singles.get("vocabulary", 4))
    layout = draw(st.sampled_from(_LAYOUTS))
    if elements is not None:
        count = int(torch.Size(shape).numel())
        values = draw(st.lists(elements, min_size=count, max_size=count))
        made: Callable[[tuple[int, ...]], Tensor] = lambda wanted: torch.tensor(values, dtype=dtype).reshape(wanted)
        return made(shape).to(device)
    seed = draw(st.integers(0, _SEEDS))
    return _laid_out(shape, layout, lambda wanted: _filled(wanted, dtype, seed, below)).to(device)


def present(device: torch.device | str) -> torch.device:
    """The device, if tensors can be made on it.

    Raises:
        DeclarationError: they cannot.
    """
    try:
        where = torch.device(device)
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as error:
        raise DeclarationError(f"tensors cannot be made on device {str(device)!r} here: {error}") from None
    return where


def _chosen_dtypes(hint: ArrayHint, dtypes: Sequence[torch.dtype] | None) -> list[torch.dtype]:
    admitted = [dtype for dtype in dtypes or _COMMON if hint.dtypes is None or dtype in hint.dtypes]
    if not admitted and dtypes is None:
        admitted = sorted(hint.dtypes or (), key=str)
    if not admitted:
        raise DeclarationError(f"none of the dtypes {list(dtypes or ())} is one that {hint} admits")
    return admitted


def _filled(shape: tuple[int, ...], dtype: torch.dtype, seed: int, below: int) -> Tensor:
    """Zeros for seed 0, otherwise what the seed gives."""
    if seed == 0:
        return torch.zeros(shape, dtype=dtype)
    generator = torch.Generator().manual_seed(seed)
    if dtype is torch.bool:
        return torch.randint(0, 2, shape, generator=generator).to(dtype)
    if dtype.is_floating_point or dtype.is_complex:
        wide = torch.complex128 if dtype.is_complex else torch.float64
        return torch.randn(shape, generator=generator, dtype=wide).to(dtype)
    return torch.randint(0, max(1, min(below, torch.iinfo(dtype).max)), shape, generator=generator).to(dtype)


def _laid_out(shape: tuple[int, ...], layout: str, make: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
    """The tensor in a layout, where its shape has one."""
    if layout == "transposed" and len(shape) > 1:
        return make(tuple(reversed(shape))).permute(*reversed(range(len(shape))))
    if layout == "strided" and shape:
        return make((*shape[:-1], 2 * shape[-1]))[..., ::2]
    if layout == "expanded" and shape:
        return make((1, *shape[1:])).expand(shape)
    if layout == "channels_last" and len(shape) == 4:
        return make(shape).contiguous(memory_format=torch.channels_last)
    return make(shape)
