"""The attributes through which typed layers expose their names to this package and those above it.

`dimtyped.nn` sets them on its layers. Torch's own layers do not have them, nor does a layer under construction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_SIZES = "_dim_names"
"""The sizes that were given as Dims, by the Dims' names."""
_LABELS = "_dim_labels"
"""Maps the layer's own names to the names that a user gave them."""
_TEXT = "_dim_text"
"""A method, which gives the layer as errors name it: `GRU(embed=128 -> hidden=256)`."""


def declared_sizes(module: object) -> Mapping[str, int]:
    """The sizes that a layer declares, by name."""
    return getattr(module, _SIZES, {})


def labels_of(module: object) -> Mapping[str, str]:
    """The user's name for each of a layer's own names."""
    return getattr(module, _LABELS, {})


def layer_text(module: object) -> str | None:
    """A layer as errors name it; None if it declares no names."""
    text: Callable[[], Any] | None = getattr(module, _TEXT, None)
    return str(text()) if callable(text) else None
