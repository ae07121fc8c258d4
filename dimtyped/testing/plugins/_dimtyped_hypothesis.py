"""Lets Hypothesis make tensors for `Float[Tensor, "batch seq"]`: `from_type`, `builds`, `@given(...)`.

Hypothesis calls `register` through an entry point when it is imported. This module lies outside the package `dimtyped`,
so that importing Hypothesis imports neither dimtyped nor torch. A run that makes no tensor never imports them.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def register() -> None:
    """Registers our strategies for jaxtyping's annotations with hypothesis, once jaxtyping is imported."""
    from hypothesis.strategies._internal import types  # noqa: PLC0415  # hypothesis is being imported now

    resolvers: dict[str, Any] | None = getattr(types, "_global_extra_lookup", None)
    if resolvers is not None:  # hypothesis has no public way to resolve a family of classes, only one class at a time
        resolvers["jaxtyping"] = strategy_of


def strategy_of(annotation: Any) -> Any:
    """A strategy for an annotation of a torch tensor; None for anything else."""
    torch, base = sys.modules.get("torch"), getattr(sys.modules.get("jaxtyping"), "AbstractArray", None)
    if torch is None or base is None or not (isinstance(annotation, type) and issubclass(annotation, base)):
        return None
    array_type: Any = getattr(annotation, "array_type", None)
    if not (isinstance(array_type, type) and issubclass(array_type, torch.Tensor)):
        return None
    return importlib.import_module("dimtyped.testing").tensors(annotation)
