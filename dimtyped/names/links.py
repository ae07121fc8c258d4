"""What a module remembers of other modules, which a copy or a pickle of it does not: its holder, and what it replaces."""

from __future__ import annotations

import weakref
from collections.abc import Iterable

import torch

REPLACED = "_dim_replaces"


class ParentLink:
    """A container's link to the module that holds it. A copy or a pickle of the container has none."""

    def __init__(self, parent: torch.nn.Module | None = None, key: str = "") -> None:
        self._parent = weakref.ref(parent) if parent is not None else None
        self.key = key

    def parent(self) -> torch.nn.Module | None:
        """The module above, if the link still holds."""
        return self._parent() if self._parent is not None else None

    def __reduce__(self) -> tuple[type[ParentLink], tuple[()]]:
        return (ParentLink, ())


class Replaced:
    """The layers that another layer was made to replace. A copy or a pickle of that layer has none."""

    def __init__(self, layers: Iterable[torch.nn.Module] = ()) -> None:
        self._layers = tuple(weakref.ref(layer) for layer in layers)

    def has(self, layer: object) -> bool:
        """True if the layer is one of them."""
        return any(reference() is layer for reference in self._layers) and layer is not None

    def __reduce__(self) -> tuple[type[Replaced], tuple[()]]:
        return (Replaced, ())


def replaces(layer: torch.nn.Module, others: Iterable[torch.nn.Module]) -> None:
    """Records that a layer of another size replaces these. Where it is assigned, their claims no longer count."""
    layer.__dict__[REPLACED] = Replaced(others)
