"""The attributes through which typed layers expose their names to this package and those above it.

`dimtyped.nn` gives them to its layers. A layer of torch's own has none, nor has a layer that is still being made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_SIZES = "_dim_names"
"""The sizes that were given as Dims, by the Dims' names."""
_LABELS = "_dim_labels"
"""The names that a user gave the layer's own, by these."""
_TEXT = "_dim_text"
"""A method, which gives the layer as errors name it: `GRU(embed=128 -> hidden=256)`."""


def declared_sizes(module: object) -> Mapping[str, int]:
    """The sizes that a layer declares, by name."""
    return getattr(module, _SIZES, {})


def labels_of(module: object) -> Mapping[str, str]:
    """The user's name for each of a layer's own names."""
    return getattr(module, _LABELS, {})


def layer_text(module: object) -> str | None:
    """A layer as errors name it, None where it declares no names."""
    text: Callable[[], Any] | None = getattr(module, _TEXT, None)
    return str(text()) if callable(text) else None
