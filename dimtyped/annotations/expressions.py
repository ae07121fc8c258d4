"""Axes that are expressions, and names of several axes: their value in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from dimtyped.errors import DeclarationError, with_fields


def broadcast_variadic(before: tuple[bool, Any] | None, broadcast: bool, shape: Any) -> tuple[bool, Any] | None:
    """The sizes of several axes broadcast with those that their `*name` holds, by jaxtyping's rules; None where they do not fit."""
    if before is None:
        return (broadcast, shape)
    was_broadcast, old = before
    if not was_broadcast and not broadcast:
        return before if shape == old else None
    both = _broadcast(shape, old)
    if both is None:
        return None
    if was_broadcast:
        return (broadcast, both) if broadcast or both == tuple(shape) else None
    return before if both == tuple(old) else None


def _broadcast(left: Any, right: Any) -> tuple[Any, ...] | None:
    longest = max(len(left), len(right))
    wide_left = (*[1] * (longest - len(left)), *left)
    wide_right = (*[1] * (longest - len(right)), *right)
    if any(a != b and a != 1 and b != 1 for a, b in zip(wide_left, wide_right, strict=True)):
        return None
    return tuple([b if a == 1 else a for a, b in zip(wide_left, wide_right, strict=True)])


def evaluate(expression: str, values: tuple[Any, ...], sizes: Mapping[str, Any]) -> Any:
    """A symbolic axis whose `{...}` hold more than ints, by jaxtyping's own rule: put in as text, then evaluated."""
    texts = iter(values)
    parts = expression.split("{")
    text = parts[0] + "".join(f"{_plain(next(texts))}{part.partition('}')[2]}" for part in parts[1:])
    known = {name: size for name, size in sizes.items() if size is not None}
    size = eval(text, known)  # the annotation's own text, as jaxtyping evaluates it
    if isinstance(size, tuple | list):
        raise _several_sizes(expression, tuple(size))  # pyright: ignore[reportUnknownArgumentType]  # a user's own
    return size


def _several_sizes(axis: str, sizes: tuple[Any, ...]) -> DeclarationError:
    """The error for an axis that is several sizes, and so fits none."""
    path = axis.strip("{}")
    each = " ".join(f"{{{path}[{index}]}}" for index in range(len(sizes)))
    hint = f"write one axis for each, `{each}`, or bind several by a name, `*shape`"
    return with_fields(
        DeclarationError(f"the axis `{axis}` is {sizes}, and an axis is one size\n  {hint[0].upper()}{hint[1:]}."),
        expected="one size",
        actual=sizes,
        hint=hint,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Size):
        return tuple(value)
    return int(value) if isinstance(value, torch.SymInt) else value
