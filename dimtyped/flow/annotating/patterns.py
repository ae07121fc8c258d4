"""What all values of a parameter have in common, as an annotation can say it: tensors of so many axes, tuples of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from dimtyped.flow.annotating.values import ItemsSeen, NothingSeen, OtherSeen, Seen, TensorSeen

Observation = tuple[int, Seen]
"""The number of a call, and the value."""


class Unclear(Exception):  # noqa: N818 - no error of a user's: nothing is proposed
    """No annotation of tensors says what the values are; its text says why."""


@dataclass(eq=False, slots=True)
class Slot:
    """One axis of an annotation.

    Attributes:
        holder: The parameter that has it; empty for the result.
        axis: Its place in the tensor, if the parameter or the result is that tensor and nothing around it; else -1.
        rank: The number of axes of the tensor.
        sizes: Its size in each call.
        names: The names that it is known by in every call.
        varies: True if its size differs within one call, so that it can have no name.
    """

    holder: str
    axis: int
    rank: int
    sizes: dict[int, int] = field(default_factory=dict[int, int])
    names: set[str] | None = None
    varies: bool = False

    def add(self, call: int, size: int, names: Sequence[str]) -> None:
        """Adds what was seen of it."""
        self.varies |= self.sizes.setdefault(call, size) != size
        self.names = set(names) if self.names is None else self.names & set(names)

    def agrees(self, other: Slot) -> bool:
        """True if both have the same size in each call that has both, and there is one."""
        common = self.sizes.keys() & other.sizes.keys()
        return bool(common) and all(self.sizes[call] == other.sizes[call] for call in common)

    def may_be(self, other: Slot) -> bool:
        """True if no call shows that their sizes differ."""
        return all(self.sizes[call] == other.sizes[call] for call in self.sizes.keys() & other.sizes.keys())

    @property
    def constant(self) -> int | None:
        """Its size if that is the same in all calls."""
        found = set(self.sizes.values())
        return next(iter(found)) if len(found) == 1 and not self.varies else None


@dataclass(slots=True)
class ArrayPattern:
    """A tensor.

    Attributes:
        slots: Its axes.
        is_open: True if there may be any number of axes before them.
        dtypes: Its dtypes.
    """

    slots: list[Slot]
    is_open: bool
    dtypes: set[torch.dtype]


@dataclass(slots=True)
class TuplePattern:
    """A tuple, an item for each place."""

    items: list[Pattern]


@dataclass(slots=True)
class ItemsPattern:
    """A list, a dict, or a tuple of any length, all of whose items are alike."""

    kind: type
    item: Pattern


@dataclass(frozen=True, slots=True)
class PlainPattern:
    """A number or a text."""

    kind: type


@dataclass(slots=True)
class UnionPattern:
    """Any of several patterns, or None."""

    options: list[Pattern]
    or_none: bool


Pattern = ArrayPattern | TuplePattern | ItemsPattern | PlainPattern | UnionPattern


def pattern_of(holder: str, observed: Sequence[Observation], *, is_whole: bool = True) -> Pattern:
    """The pattern of the values that were seen.

    Args:
        holder: The parameter; empty for the result.
        observed: The values.
        is_whole: False for items of a container.

    Raises:
        Unclear: There is none.
    """
    some = [(call, value) for call, value in observed if not isinstance(value, NothingSeen)]
    if not some:
        raise Unclear("was None in every call")
    if OtherSeen() in (value for _, value in some):
        raise Unclear("was no tensor in some call")
    options = list(_options(holder, some, is_whole=is_whole))
    or_none = len(some) < len(observed)
    return options[0] if len(options) == 1 and not or_none else UnionPattern(options, or_none)


def _options(holder: str, observed: Sequence[Observation], *, is_whole: bool) -> Iterator[Pattern]:
    tensors = [(call, value) for call, value in observed if isinstance(value, TensorSeen)]
    if tensors:
        yield _array(holder, tensors, is_whole=is_whole)
    for kind in (tuple, list, dict):
        held = [(call, value) for call, value in observed if isinstance(value, ItemsSeen) and value.kind is kind]
        if held:
            yield _container(holder, kind, held)
    plain = (value.kind for _, value in observed if isinstance(value, OtherSeen))
    yield from map(PlainPattern, dict.fromkeys(plain))


def _container(holder: str, kind: type, held: Sequence[tuple[int, ItemsSeen]]) -> Pattern:
    lengths = {len(value.items) for _, value in held}
    if kind is tuple and len(lengths) == 1 and lengths != {0}:
        places = range(lengths.pop())
        columns = [[(call, value.items[place]) for call, value in held] for place in places]
        return TuplePattern([_item(holder, place, column) for place, column in enumerate(columns)])
    items = [(call, item) for call, value in held for item in value.items]
    if not items:
        raise Unclear(f"was an empty {kind.__name__} in every call")
    return ItemsPattern(kind, pattern_of(holder, items, is_whole=False))


def _item(holder: str, place: int, column: list[Observation]) -> Pattern:
    try:
        return pattern_of(holder, column, is_whole=False)
    except Unclear as unclear:
        text = str(unclear)
        raise Unclear(f"item {place} {text}" if not text.startswith("item") else text) from None


def _array(holder: str, tensors: Sequence[tuple[int, TensorSeen]], *, is_whole: bool) -> ArrayPattern:
    ranks = {len(value.sizes) for _, value in tensors}
    rank = ranks.pop() if len(ranks) == 1 else min(1, *ranks)
    is_open = bool(ranks)
    slots = [Slot(holder, axis if is_whole and not is_open else -1, rank) for axis in range(rank)]
    for call, value in tensors:
        own = len(value.sizes) - rank
        for slot, size, names in zip(slots, value.sizes[own:], value.names[own:], strict=True):
            slot.add(call, size, names)
    return ArrayPattern(slots, is_open, {value.dtype for _, value in tensors})


def arrays_in(pattern: Pattern) -> Iterator[ArrayPattern]:
    """The tensors in a pattern."""
    match pattern:
        case ArrayPattern():
            yield pattern
        case TuplePattern(items=inner) | UnionPattern(options=inner):
            for each in inner:
                yield from arrays_in(each)
        case ItemsPattern(item=item):
            yield from arrays_in(item)
        case PlainPattern():
            return


# Texts ----------------------------------------------------------------------------------------------------------------

_UNSIGNED = (torch.uint8, torch.uint16, torch.uint32, torch.uint64)


def hint_name(dtypes: set[torch.dtype]) -> str:
    """The name in jaxtyping of the kind of these dtypes: `Float` of float32."""
    kinds = {_kind(dtype) for dtype in dtypes}
    if len(kinds) == 1:
        return kinds.pop()
    if kinds <= {"Int", "UInt"}:
        return "Integer"
    if kinds <= {"Float", "Complex"}:
        return "Inexact"
    return "Num" if "Bool" not in kinds else "Shaped"


def _kind(dtype: torch.dtype) -> str:
    if dtype.is_floating_point:
        return "Float"
    if dtype.is_complex:
        return "Complex"
    if dtype is torch.bool:
        return "Bool"
    return "UInt" if dtype in _UNSIGNED else "Int"


def text_of(pattern: Pattern, words: dict[Slot, str], prefix: str, tensor: str) -> str:
    """The annotation.

    Args:
        pattern: What it says.
        words: The text of each axis.
        prefix: What stands before the names of jaxtyping: `jaxtyping.` or nothing.
        tensor: `Tensor`, or what the file calls it.
    """

    def text(inner: Pattern) -> str:
        match inner:
            case ArrayPattern(slots=slots, is_open=is_open, dtypes=dtypes):
                axes = " ".join([*(["..."] if is_open else []), *(words[slot] for slot in slots)])
                return f'{prefix}{hint_name(dtypes)}[{tensor}, "{axes}"]'
            case TuplePattern(items=items):
                return f"tuple[{', '.join(map(text, items))}]"
            case ItemsPattern(kind=kind, item=item):
                return {tuple: "tuple[{}, ...]", list: "list[{}]", dict: "dict[str, {}]"}[kind].format(text(item))
            case PlainPattern(kind=kind):
                return kind.__name__
            case UnionPattern(options=options, or_none=or_none):
                return " | ".join(dict.fromkeys([*map(text, options), *(["None"] if or_none else [])]))

    return text(pattern)
