"""The tensors in a module's inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in tuples, lists, dicts and the like; nested ones have no shape and are left out."""
    for leaf in pytree.tree_leaves(value):
        if isinstance(leaf, Tensor) and not leaf.is_nested:
            yield leaf


def bytes_of(value: Any) -> int:
    """The memory of the tensors in a value."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_in(value))
