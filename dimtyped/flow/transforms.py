"""The tensors of torch.func's transforms: each wraps another tensor, and inside `vmap` one axis of that is hidden."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from dimtyped.flow.axes import Axes, Axis, anonymous
from dimtyped.flow.calls import without

_FUNCTORCH: Any = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue] - torch gives it no public name


def are_running() -> bool:
    """True inside `vmap`, `grad` or another transform."""
    return _FUNCTORCH.peek_interpreter_stack() is not None


def axes_of_wrapper(tensor: Tensor, axes_of: Callable[[Tensor], Axes]) -> Axes | None:
    """The axes of a transform's tensor, which are those of the tensor in it without the hidden one; None for another tensor."""
    if not _FUNCTORCH.is_functorch_wrapped_tensor(tensor):
        return None
    hidden = _FUNCTORCH.maybe_get_bdim(tensor)
    axes = axes_of(_FUNCTORCH.get_unwrapped(tensor))
    return axes if hidden < 0 else without(axes, [hidden])


def wrapped_in(
    tensor: Tensor, axes: Axes, operands: Iterable[Tensor], axes_of: Callable[[Tensor], Axes]
) -> Iterator[tuple[Tensor, Axes]]:
    """The tensors in a transform's tensor, the outermost first, each with its axes.

    Args:
        tensor: A result.
        axes: Its axes.
        operands: The arguments that it was made of: they say which axis is hidden.
        axes_of: Gives the axes of a tensor.
    """
    operands = list(operands)
    while _FUNCTORCH.is_functorch_wrapped_tensor(tensor):
        inner, place = _FUNCTORCH.get_unwrapped(tensor), _FUNCTORCH.maybe_get_bdim(tensor)
        if place >= 0:
            hidden = _hidden_axis(_FUNCTORCH.maybe_get_level(tensor), operands, axes_of)
            size = inner.shape[place]
            axes = (*axes[:place], hidden if hidden and hidden.size == size else anonymous(size), *axes[place:])
        yield inner, axes
        tensor = inner


def _hidden_axis(level: int, operands: Iterable[Tensor], axes_of: Callable[[Tensor], Axes]) -> Axis | None:
    """The axis that a `vmap` hides, as the first operand has it that is batched by this one."""
    for operand in operands:
        tensor = operand
        while _FUNCTORCH.is_functorch_wrapped_tensor(tensor):
            inner, place = _FUNCTORCH.get_unwrapped(tensor), _FUNCTORCH.maybe_get_bdim(tensor)
            if place >= 0 and _FUNCTORCH.maybe_get_level(tensor) == level:
                return axes_of(inner)[place]
            tensor = inner
    return None
