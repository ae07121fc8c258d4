"""The inputs of a model that is run several times: which of their sizes may change, and which change together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

Position = tuple[int, int]
"""The place of a tensor among the inputs, and of an axis in it."""
Sizes = Mapping[Position, int]
InputAxis = tuple[str, int]
"""An input that is a tensor, and an axis of it."""
_MOST_RUNS = 150
_ENOUGH = 2
"""The number of other sizes that are tried of what may change: one alone may be a multiple of what the code divides by."""


@dataclass(frozen=True)
class ShapedInput:
    """A tensor to make.

    Args:
        dtype: Its dtype.
        axes: Its sizes; a name stands for any size, the same everywhere.
    """

    dtype: torch.dtype
    axes: tuple[int | str, ...]


class Inputs:
    """The inputs of a call, by name.

    Args:
        given: Values, tensors, and tensors to make; also in tuples, lists and dicts.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        found, self._structure = pytree.tree_flatten_with_path(dict(given))
        self._paths = [path for path, _ in found]
        self._leaves = [leaf for _, leaf in found]

    @property
    def names(self) -> list[str]:
        """The names of sizes."""
        words = (axis for leaf in self._leaves if isinstance(leaf, ShapedInput) for axis in leaf.axes)
        return list(dict.fromkeys(word for word in words if isinstance(word, str)))

    def sizes(self, named: Mapping[str, int]) -> dict[Position, int]:
        """The size of each axis of each tensor.

        Args:
            named: The sizes of the names.
        """
        found: dict[Position, int] = {}
        for place, leaf in enumerate(self._leaves):
            for axis, size in enumerate(_axes(leaf)):
                found[place, axis] = named[size] if isinstance(size, str) else size
        return found

    def made(self, sizes: Sizes) -> dict[str, Any]:
        """The inputs with these sizes; a given tensor of the same sizes is used as it is."""
        leaves = [_made(leaf, self._shape(place, sizes)) for place, leaf in enumerate(self._leaves)]
        return pytree.tree_unflatten(leaves, self._structure)

    def _shape(self, place: int, sizes: Sizes) -> tuple[int, ...]:
        return tuple(sizes[place, axis] for axis in range(len(_axes(self._leaves[place]))))

    def _groups(self) -> tuple[list[list[Position]], list[Position]]:
        """The positions of each name, and those that have a number."""
        named: dict[str, list[Position]] = {}
        numbers: list[Position] = []
        for place, leaf in enumerate(self._leaves):
            for axis, word in enumerate(_axes(leaf)):
                named.setdefault(word, []).append((place, axis)) if isinstance(word, str) else numbers.append(
                    (place, axis)
                )
        return list(named.values()), numbers

    def varied(self, base: Sizes, runs: Callable[[Sizes], bool], *, first_together: bool = False) -> set[InputAxis]:
        """Runs with other sizes: each that may change alone, those that change together, and all at once.

        Args:
            base: The sizes with which it runs.
            runs: Runs it; False if it raises.
            first_together: True if first axes of one size are those of one batch, and change together where they can.

        Returns:
            The axes that could not change.
        """
        attempts = itertools.count()
        found: dict[Position, int] = {}

        def change(group: Iterable[Position]) -> bool:
            group = list(group)
            taken = {base[group[0]], *found.values()}
            working: list[int] = []
            for size in _others(base[group[0]], 6 if len(group) > 1 else 4):
                if next(attempts) < _MOST_RUNS and runs({**base, **dict.fromkeys(group, size)}):
                    working.append(size)
                if len(working) == _ENOUGH:
                    break
            if working:
                found.update(dict.fromkeys(group, next((each for each in working if each not in taken), working[0])))
            return bool(working)

        named, numbers = self._groups()
        for group in named:
            change(group)
        batch = [position for position in numbers if position[1] == 0] if first_together else []
        if len({base[position] for position in batch}) == 1 < len(batch) and change(batch):
            numbers = [position for position in numbers if position not in batch]
        single = [position for position in numbers if not change([position])]
        tied = list(single)
        while tied:
            first, *others = tied
            alike = [other for other in others if base[other] == base[first]]
            pairs = ([first, other] for other in alike)
            group = next((pair for pair in pairs if change(pair)), None) or [first, *alike]
            if len(group) > 2:
                change(group)
            tied = [position for position in tied if position not in group]
        if len(set(found.values())) > 1:
            runs({**base, **found})
        is_searched = next(attempts) < _MOST_RUNS
        return set(self._places(position for position in single if position not in found)) if is_searched else set()

    def _places(self, positions: Iterable[Position]) -> Iterator[InputAxis]:
        """The inputs of positions; nothing for those in containers."""
        for leaf, axis in positions:
            path = self._paths[leaf]
            if len(path) == 1 and isinstance(path[0], pytree.MappingKey):
                yield path[0].key, axis


def _axes(leaf: Any) -> tuple[int | str, ...]:
    if isinstance(leaf, ShapedInput):
        return leaf.axes
    return tuple(leaf.shape) if isinstance(leaf, Tensor) else ()


def _made(leaf: Any, shape: tuple[int, ...]) -> Any:
    if isinstance(leaf, Tensor) and tuple(leaf.shape) == shape:
        return leaf
    if not isinstance(leaf, Tensor | ShapedInput):
        return leaf
    device = leaf.device if isinstance(leaf, Tensor) else None
    if leaf.dtype.is_floating_point or leaf.dtype.is_complex:
        return torch.rand(shape, dtype=leaf.dtype, device=device)
    return torch.full(shape, leaf.dtype is torch.bool, dtype=leaf.dtype, device=device)


def _others(size: int, most: int) -> list[int]:
    """Other sizes to try: near ones, which few operators divide, and ones that share divisors."""
    near = [size + 1, size + 2, 2 * size, size // 2, size - 1, 3 * size]
    return [each for each in dict.fromkeys(near) if each > 1 and each != size][:most]
