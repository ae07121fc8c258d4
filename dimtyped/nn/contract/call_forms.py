"""Layers with several call forms, batched or not: the condition and the annotations of each form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from dimtyped.engine import Predicate, of_call

Inputs: TypeAlias = Mapping[str, Any]
"""The annotation of each parameter of `forward`, in one form of the call."""

UNCHECKED = None
"""Stands in place of annotations if torch alone checks the call."""


def is_tensor(parameter: str) -> Predicate:
    """The argument is a tensor."""
    return of_call(f"isinstance({parameter}, Tensor)")


def has_axes(parameter: str, count: int) -> Predicate:
    """The argument is a tensor with this number of axes."""
    return is_tensor(parameter) & of_call(f"{parameter}.dim() == {count}")


def is_none(parameter: str) -> Predicate:
    """The argument is not given."""
    return of_call(f"{parameter} is None")


def without(inputs: Inputs, *parameters: str) -> Inputs:
    """The form without checks of some parameters, which are left to torch."""
    return {name: hint for name, hint in inputs.items() if name not in parameters}
