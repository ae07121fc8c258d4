"""Has hypothesis make tensors for `Float[Tensor, "batch seq"]`: `from_type`, `builds`, `@given(...)`.

Hypothesis runs `register` when it is imported, by its entry point. This is installed beside the package `dimtyped`, not
in it, so that neither that nor torch is imported then, nor ever in a run that makes no tensors.
"""

from __future__ import annotations

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
    from dimtyped.testing import tensors  # noqa: PLC0415  # the first tensor that this run makes

    return tensors(annotation)
