"""The shapes of the results of common operators, computed here: for its own way torch imports much more at first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_BROADCAST = frozenset(
    str.split("add sub mul truediv floordiv mod pow and or xor div eq ne lt le gt ge maximum minimum masked_fill where")
)
_TRUTHS = frozenset(str.split("eq ne lt le gt ge"))
_SAME = frozenset(
    str.split(
        "softmax log_softmax relu gelu silu sigmoid tanh exp log log1p expm1 sqrt rsqrt abs neg clamp contiguous clone detach "
        "cos sin square dropout cumsum normalize nan_to_num round floor ceil tril triu flip roll sort_values logical_not "
        "invert softplus leaky_relu elu"
    )
)
_REDUCTIONS = frozenset(str.split("sum mean norm amax amin std var prod any all argmax argmin logsumexp"))
_REDUCED_TO = {"argmax": torch.int64, "argmin": torch.int64, "any": torch.bool, "all": torch.bool}
_CASTS = {
    "float": torch.float32,
    "double": torch.float64,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "long": torch.int64,
    "int": torch.int32,
    "bool": torch.bool,
}


def light_run(name: str) -> Callable[..., Any] | None:
    """The function that makes an operator's result on the meta device; None if torch itself must run."""
    if name in ("truediv", "div"):
        return _divided
    if name in _BROADCAST:
        return _pointwise if name not in _TRUTHS else _compared
    if name in ("matmul", "bmm", "mm"):
        return product
    if name in _SAME:
        return _same
    if name in _REDUCTIONS:
        return lambda x, *args, **kwargs: _reduced(x, _REDUCED_TO.get(name) or x.dtype, *args, **kwargs)
    return (lambda x: made(x.shape, _CASTS[name])) if name in _CASTS else None


def made(sizes: Any, dtype: torch.dtype) -> Tensor:
    """A tensor without data."""
    return torch.empty(tuple(sizes), dtype=dtype, device="meta")


def _pointwise(*args: Any, **_: Any) -> Tensor:
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    dtype = tensors[-1].dtype
    for other in args:
        if isinstance(other, Tensor | int | float | complex):
            dtype = torch.promote_types(dtype, torch.result_type(tensors[-1], other))
    return made(torch.broadcast_shapes(*(tensor.shape for tensor in tensors)), dtype)


def _divided(*args: Any, **_: Any) -> Tensor:
    found = _pointwise(*args)
    return (
        found
        if found.dtype.is_floating_point or found.dtype.is_complex
        else made(found.shape, torch.get_default_dtype())
    )


def _compared(*args: Any) -> Tensor:
    return made(_pointwise(*args).shape, torch.bool)


def _same(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")


def _reduced(x: Tensor, dtype: torch.dtype, *args: Any, **kwargs: Any) -> Tensor:
    """A reduction over the axes that it names, over all of them by default."""
    dims = kwargs.get(
        "dim", next((arg for arg in args if isinstance(arg, int | tuple | list) and arg is not True), None)
    )  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # any argument
    keepdim = bool(kwargs.get("keepdim", any(arg is True for arg in args)))
    gone = {dim % max(x.dim(), 1) for dim in ([dims] if isinstance(dims, int) else dims or range(x.dim()))}
    sizes = [1 if axis in gone else size for axis, size in enumerate(x.shape) if keepdim or axis not in gone]
    return made(sizes, dtype)


def product(a: Tensor, b: Tensor) -> Tensor:
    """The shape of `a @ b`."""
    first, second = list(a.shape), list(b.shape)
    left = first if len(first) > 1 else [1, *first]
    right = second if len(second) > 1 else [*second, 1]
    if not first or not second or left[-1] != right[-2]:
        raise ValueError("shapes cannot be multiplied")
    batch = list(torch.broadcast_shapes(left[:-2], right[:-2]))
    rows = [left[-2]] if len(first) > 1 else []
    columns = [right[-1]] if len(second) > 1 else []
    return made([*batch, *rows, *columns], a.dtype)
