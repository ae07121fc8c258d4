"""The names that the functions of a program have for one size: what one leaves unnamed, another may name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dimtyped.flow.annotating.patterns import Slot
from dimtyped.flow.annotating.recorder import CallSeen

Sizes = dict[int, set[int]]
"""The sizes in each run."""


class Elsewhere:
    """The names of sizes that differ between runs, by function."""

    def __init__(self) -> None:
        self._functions: list[list[tuple[Sizes, str]]] = []

    def add(self, named: Iterable[tuple[Slot, str]], calls: Sequence[CallSeen]) -> None:
        """Adds the names of one function."""
        pairs = [(_by_run(slot, calls), name) for slot, name in named]
        for name in calls[0].reading.unpacked:
            held = ((call.run, call.unpacked[name]) for call in calls if name in call.unpacked)
            pairs.append((_together(held), name))
        self._functions.append([(sizes, name) for sizes, name in pairs if sizes is not None])

    def names_of(self, slots: Sequence[Slot], calls: Sequence[CallSeen]) -> Iterator[tuple[Slot, str]]:
        """The names that other functions have for the sizes of axes: those of the function that has the most come first."""
        wanted = [(slot, sizes) for slot in slots if (sizes := _by_run(slot, calls)) is not None]
        found = [
            [(slot, name) for slot, sizes in wanted for known, name in names if _are_one(sizes, known)]
            for names in self._functions
        ]
        for pairs in sorted(found, key=lambda pairs: -len({slot for slot, _ in pairs})):
            yield from pairs


def _by_run(slot: Slot, calls: Sequence[CallSeen]) -> Sizes | None:
    """The sizes of an axis in each run; None if it always has the same."""
    return None if slot.varies else _together((calls[place].run, size) for place, size in slot.sizes.items())


def _together(sizes: Iterable[tuple[int, int]]) -> Sizes | None:
    found: Sizes = {}
    for run, size in sizes:
        found.setdefault(run, set()).add(size)
    return found if _differ(found.values()) else None


def _differ(sizes: Iterable[set[int]]) -> bool:
    """True if runs have different sizes."""
    return len(set(map(frozenset, sizes))) > 1


def _are_one(one: Sizes, other: Sizes) -> bool:
    common = one.keys() & other.keys()
    return all(one[run] == other[run] for run in common) and _differ(one[run] for run in common)
