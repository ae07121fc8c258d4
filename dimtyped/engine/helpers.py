"""The functions that the source of a check calls, beside those of the failure path."""

from __future__ import annotations

from typing import Any

import torch

from dimtyped.annotations import broadcast_variadic, evaluate, is_bearable, packed_shape
from dimtyped.engine.call_names import AMBIGUOUS
from dimtyped.engine.source import TENSOR
from dimtyped.errors import DeclarationError
from dimtyped.runtime import PREFIX, at_trace_time, is_tracing


def unbound(name: str, axis: str) -> Any:
    """Raises the error for an expression that uses a name without a size."""
    error = DeclarationError(
        f"the axis `{axis}` uses `{name}`, which no parameter before it binds and no module declares\n"
        f"  Put a tensor with an axis named `{name}` before it, or declare `{name}` as a DimSize."
    )
    error.dim, error.expected, error.actual = name, "names that are bound before it, or declared", axis
    error.hint = f"put a tensor with an axis named `{name}` before it, or declare `{name}` as a DimSize"
    raise error


def bound(size: Any, name: str, axis: str) -> Any:
    """The size of a name that an optional argument may have bound."""
    return unbound(name, axis) if size is None else size


def evaluation_error(where: str, error: Exception) -> DeclarationError:
    """The DeclarationError for an exception that the expression of an axis raised."""
    if isinstance(error, DeclarationError):
        error.where = error.where or where
        return error
    wrong = DeclarationError(f"{where}: an axis cannot be evaluated: {type(error).__name__}: {error}")
    wrong.where, wrong.actual = where, f"{type(error).__name__}: {error}"
    wrong.expected = "a size"
    wrong.hint = "write an expression over names that a parameter before it binds or a module declares"
    return wrong


def bearable_traced(value: Any, hint: Any) -> bool:
    """Checks a hint by beartype inside a trace, where only strings and bools are constants."""
    return not isinstance(value, (str, bool)) or _is_bearable_constant(value, hint)


@at_trace_time
def _is_bearable_constant(value: Any, hint: Any) -> bool:
    return is_bearable(value, hint)


def is_ragged(value: Any) -> bool:
    """Returns True for a nested tensor, which has no shape in the strided layout."""
    return isinstance(value, torch.Tensor) and value.is_nested


def is_shapeless(value: Any) -> bool:
    """Returns True for a nested tensor in the strided layout, which has no shape to check."""
    return is_ragged(value) and value.layout == torch.strided


HELPERS: dict[str, Any] = {
    f"{PREFIX}is_tracing": is_tracing,
    f"{PREFIX}AMBIGUOUS": AMBIGUOUS,
    TENSOR: torch.Tensor,
} | {
    f"{PREFIX}{helper.__name__}": helper
    for helper in (
        DeclarationError,
        is_ragged,
        broadcast_variadic,
        evaluate,
        unbound,
        bound,
        bearable_traced,
        packed_shape,
    )
}
