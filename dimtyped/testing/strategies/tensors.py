"""Strategies for tensors that fit one annotation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from hypothesis import reject, strategies as st
from torch import Tensor

from dimtyped.annotations import ArrayHint, is_array_annotation, read_array
from dimtyped.errors import DeclarationError
from dimtyped.runtime import WithoutInternalFrames
from dimtyped.testing.strategies.fill import Fill, laid_out, layouts_of
from dimtyped.testing.strategies.sizes import Choice, Sides, Solver, draw_shape

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
VOCABULARY = ("vocab", "vocabulary", "vocab_size", "num_embeddings", "classes", "num_classes")
SEEDS = st.integers(0, 2**16)


@WithoutInternalFrames()
def tensors(
    annotation: Any,
    *,
    sizes: Mapping[str, Choice] | None = None,
    min_side: int = 1,
    max_side: int = 6,
    allow_empty: bool = False,
    device: torch.device | str = "cpu",
    dtypes: Sequence[torch.dtype] | None = None,
    elements: st.SearchStrategy[Any] | None = None,
) -> st.SearchStrategy[Tensor]:
    """Tensors that fit one jaxtyping annotation, in every memory layout.

    They shrink to sides of `min_side`, zeros and a contiguous layout. Floats are finite and about 1 in size; integers
    are small and at least 0, below the size of a fixed name such as `vocab`.

    Args:
        annotation: Any jaxtyping annotation, `Float[Tensor, "batch seq"]`.
        sizes: Sizes of names: one, or several to choose from. Default: none, all are drawn.
        min_side: The shortest side that is drawn. Default: 1.
        max_side: The longest. Default: 6. A side is longer only if an expression needs it.
        allow_empty: If True, sides of 0 are drawn too. Default: False.
        device: The device of the tensors. Default: the CPU.
        dtypes: The dtypes to draw from. Default: the common ones that the annotation admits.
        elements: A strategy for each element. Default: seeded numbers, which is much faster.

    Raises:
        DeclarationError: the annotation is not one, cannot be satisfied, or fixes a name that `sizes` fixes otherwise;
            or the device does not exist.

    Example:
        >>> from hypothesis import find
        >>> from jaxtyping import Float
        >>> from torch import Tensor
        >>> find(tensors(Float[Tensor, "batch 2*batch"]), lambda tensor: tensor.shape[0] > 1).shape
        torch.Size([2, 4])
    """
    hint, sides = _read(annotation), Sides(min_side, max_side, allow_empty)
    solver = Solver([hint], sizes or {}, {}, sides)
    chosen, where = _chosen_dtypes(hint, dtypes), present(device)
    high = min((size for name, size in solver.fixed.items() if name in VOCABULARY), default=4)

    @st.composite
    def strategy(draw: st.DrawFn) -> Tensor:
        shape = draw_shape(draw, hint, solver.draw(draw), sides)
        fill = Fill(draw(st.sampled_from(chosen)), high=high)
        return draw_tensor(draw, hint, shape, fill, where, elements)

    return strategy()


def draw_tensor(
    draw: st.DrawFn,
    hint: ArrayHint,
    shape: tuple[int, ...],
    fill: Fill,
    device: torch.device,
    elements: st.SearchStrategy[Any] | None = None,
    *,
    layouts: bool = True,
) -> Tensor:
    """One tensor of this annotation and shape, with contents and a memory layout."""
    if elements is None:
        made = fill.make(shape, draw(SEEDS))
    else:
        count = torch.Size(shape).numel()
        made = _of_values(draw(st.lists(elements, min_size=count, max_size=count)), fill.dtype).reshape(shape)
    layout = draw(st.sampled_from(layouts_of(shape))) if layouts else "contiguous"
    return as_kind(laid_out(made, layout).to(device), hint.array_type)


def _of_values(values: list[Any], dtype: torch.dtype) -> Tensor:
    """These elements as a tensor. Rejects elements that the dtype cannot hold, such as 300 in an int8.

    Raises:
        DeclarationError: they are not numbers.
    """
    try:
        return torch.tensor(values, dtype=dtype)
    except RuntimeError:  # too large
        return reject()
    except (TypeError, ValueError) as error:
        raise DeclarationError(f"elements gives a value that no tensor of {dtype} can hold: {error}") from None


def as_kind(tensor: Tensor, kind: type) -> Tensor:
    """The tensor as the class that an annotation names; for a PackedSequence the tensor to be packed."""
    if not issubclass(kind, Tensor):
        return tensor
    if issubclass(kind, torch.nn.Parameter):
        trains = tensor.is_floating_point() or tensor.is_complex()
        return torch.nn.Parameter(tensor, requires_grad=trains)
    return tensor if isinstance(tensor, kind) else tensor.as_subclass(kind)


def present(device: torch.device | str) -> torch.device:
    """The device, if tensors with values can be made on it.

    Raises:
        DeclarationError: they cannot.
    """
    try:
        where = torch.device(device)
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DeclarationError(f"no tensor can be made on device {str(device)!r}: {reason}") from None
    if where.type == "meta":
        raise DeclarationError(
            "a tensor on device 'meta' has no values\n  Give the module memory first: module.to_empty(device='cpu')."
        )
    return where


def _read(annotation: Any) -> ArrayHint:
    if not is_array_annotation(annotation):
        raise DeclarationError(
            f'tensors() takes an annotation such as Float[Tensor, "batch seq"], not {annotation!r}\n'
            "  For a function or a module use calls()."
        )
    hint = read_array(annotation)
    if not (isinstance(hint.array_type, type) and issubclass(hint.array_type, Tensor)):
        raise DeclarationError(f"tensors() makes torch tensors, but {hint} annotates something else")
    return hint


def _chosen_dtypes(hint: ArrayHint, dtypes: Sequence[torch.dtype] | None) -> list[torch.dtype]:
    if isinstance(dtypes, torch.dtype):
        raise DeclarationError(f"dtypes is {dtypes}, must be a list of dtypes\n  Write dtypes=[{dtypes}].")
    given = _COMMON if dtypes is None else dtypes
    chosen = [dtype for dtype in given if hint.dtypes is None or dtype in hint.dtypes]
    if not chosen and dtypes is not None:
        raise DeclarationError(f"{hint} admits none of dtypes={list(dtypes)}")
    return chosen or rare_dtypes(hint)


def rare_dtypes(hint: ArrayHint) -> list[torch.dtype]:
    """The dtypes of an annotation that admits none of the common ones.

    Raises:
        DeclarationError: torch has none that holds numbers.
    """
    chosen = [dtype for dtype in sorted(hint.dtypes or (), key=str) if _is_makeable(dtype)]
    if not chosen:
        raise DeclarationError(f"{hint} admits no dtype of torch")
    return chosen


def _is_makeable(dtype: torch.dtype) -> bool:
    """True if torch can hold numbers of this dtype; of int4 it has only the name."""
    try:
        torch.zeros(1).to(dtype)
    except RuntimeError:
        return False
    return True
