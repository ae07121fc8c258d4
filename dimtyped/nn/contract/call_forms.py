"""Layers that may be called in several forms, batched or not: which annotations hold is read off the call.

A form is named by a condition in Python over `forward`'s parameters, so that the check can state it in a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Inputs: TypeAlias = Mapping[str, Any]
"""The annotation of each parameter of `forward`, in one form of the call."""

ALWAYS = "True"
"""The condition that every call meets."""
UNCHECKED = None
"""In place of annotations: torch alone decides."""


def has_axes(parameter: str, count: int) -> str:
    """The form of a call whose argument has so many axes."""
    return f"isinstance({parameter}, Tensor) and {parameter}.dim() == {count}"


def without(inputs: Inputs, *parameters: str) -> Inputs:
    """The same form with some parameters left to torch."""
    return {name: hint for name, hint in inputs.items() if name not in parameters}
