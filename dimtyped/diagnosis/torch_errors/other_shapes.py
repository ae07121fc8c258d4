"""A failed operation on other shapes: one that fails on all of them does not fail because of its shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from dimtyped.diagnosis.torch_errors.operation import Operation
from dimtyped.diagnosis.torch_errors.stand_ins import Unknown

_MOST = 40  # shapes that are tried
_MOST_NUMBERS = 4096  # of a real tensor
_MOST_RANK, _SIZES = 5, (12, 3)


def passes_elsewhere(operation: Operation) -> bool:
    """True if an operation that fails passes once one of its tensors, or all of them, have another shape."""
    given = [*operation.args, *operation.kwargs.values()]
    tensors = [tensor for part in given for tensor in _tensors_in(part.value)]
    shapes = [*dict.fromkeys(_other_shapes(operation, tensors))][:_MOST]
    for changed in (tensors, *([tensor] for tensor in tensors)):
        for shape in shapes:
            others = {id(tensor): _of_shape(shape, tensor) for tensor in changed}
            if not raises(operation.with_tensors(others)):
                return True
    return False


def raises(operation: Operation) -> bool:
    """True if an operation fails."""
    try:
        operation()
    except Unknown:
        return False
    except Exception:  # noqa: BLE001  # torch's operators raise what they like
        return True
    return False


def _of_shape(shape: tuple[int, ...], tensor: Tensor) -> Tensor:
    made = torch.empty(shape, dtype=tensor.dtype, device="meta")
    return torch.ones(shape, dtype=tensor.dtype) if not tensor.is_meta and made.numel() <= _MOST_NUMBERS else made


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:  # pyright: ignore[reportUnknownVariableType]  # a user's list
            yield from _tensors_in(item)


def _other_shapes(operation: Operation, tensors: list[Tensor]) -> Iterator[tuple[int, ...]]:
    """Shapes to try for an operand: another operand's, one written in the code, and others of another rank."""
    own = [tuple(tensor.shape) for tensor in tensors]
    own += [sizes for part in (*operation.args, *operation.kwargs.values()) for sizes in _sizes_in(part.value)]
    for size in _SIZES:
        yield from ((size,) * rank for rank in range(_MOST_RANK + 1))
    for sizes in own:
        yield from (sizes, sizes[1:], sizes[:-1], sizes[:1], sizes[1:2], (1, *sizes), (*sizes, 1))


def _sizes_in(value: Any) -> Iterator[tuple[int, ...]]:
    """An argument that could be a shape."""
    if isinstance(value, list | tuple) and all(type(size) is int and size >= 0 for size in value):  # pyright: ignore[reportUnknownVariableType]  # any argument
        yield tuple(value)  # pyright: ignore[reportUnknownArgumentType]  # checked above
