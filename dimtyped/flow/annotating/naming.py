"""The names of the axes of one function: declared, given, from variables and comments, as elsewhere; else letters."""

from __future__ import annotations

import itertools
import keyword
import string
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from dimtyped.flow.annotating.elsewhere import Elsewhere
from dimtyped.flow.annotating.inputs import InputAxis
from dimtyped.flow.annotating.patterns import Slot
from dimtyped.flow.annotating.recorder import CallSeen
from dimtyped.flow.annotating.shape_comments import Words

_MOST_TIMES = 16
_FIRST_SIDE = 2
"""The first axis that is no batch or time of what a program keeps, which only this program gives one size."""


class Namer:
    """Gives each axis of a function's annotations a name, a number or an expression.

    A name that two axes have says that their sizes are equal, so they were in every call. A name that the module declares says
    that this is the size.

    Args:
        calls: The calls of the function.
        slots: Its axes, those of parameters first.
        is_varied: True if the runs had several sizes.

    Attributes:
        words: The text of each axis so far.
    """

    def __init__(self, calls: Sequence[CallSeen], slots: Sequence[Slot], *, is_varied: bool) -> None:
        self.words: dict[Slot, str] = {}
        self._calls = calls
        self._reading = calls[0].reading
        self._slots = slots
        self._is_varied = is_varied
        self._taken: dict[str, list[Slot]] = {}

    @property
    def left(self) -> list[Slot]:
        """The axes that have no text yet."""
        return [slot for slot in self._slots if slot not in self.words]

    def name_by_source(self, given: Mapping[str, Words]) -> None:
        """Takes the names that the function's own source has, and those of its module.

        Args:
            given: The names of the axes of inputs that the user wrote.
        """
        for slot in self._slots:
            if slot.varies:
                self.words[slot] = "_"
        annotated = {each.name: (each.axes,) for each in self._reading.parameters if each.axes}
        self._by_place({**annotated, **({"": (self._reading.result_axes,)} if self._reading.result_axes else {})})
        self._by_declaration()
        self._by_place({name: (words,) for name, words in given.items()})
        self._by_unpacking()
        self._by_place(self._reading.written)
        self._by_return()
        self._by_equal()
        self._by_value([call.unpacked for call in self._calls])
        self._by_value([call.commented for call in self._calls])
        self._by_argument()
        self._by_constructor()

    def name_the_rest(self, elsewhere: Elsewhere, optional: Iterable[str], fixed: Container[InputAxis]) -> None:
        """Takes names from other functions, numbers, expressions, and letters for what is left.

        Args:
            elsewhere: The names that other functions have for sizes.
            optional: The parameters that may be None.
            fixed: The axes of inputs whose sizes were varied in vain.
        """
        for slot, name in elsewhere.names_of(self.left, self._calls):
            if not self._is_otherwise(slot, name):
                self._accept(slot, name)
        self._by_equal()
        self._by_number(fixed)
        self._by_letter(slot for slot in self._slots if slot.holder)
        self._by_expression(frozenset(optional))
        self._by_letter(self._slots)

    @property
    def named(self) -> Iterator[tuple[Slot, str]]:
        """The axes that have a name."""
        return ((slot, word) for slot, word in self.words.items() if word.isidentifier() and word != "_")

    def _accept(self, slot: Slot, name: str) -> bool:
        """Gives an axis a name, if it can have it."""
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_") or slot in self.words:
            return False
        for place, size in slot.sizes.items():
            call = self._calls[place]
            if name in call.ambiguous or call.declared.get(name, size) != size:
                return False
        if not all(map(slot.may_be, self._taken.get(name, ()))):
            return False
        self._taken.setdefault(name, []).append(slot)
        self.words[slot] = name
        return True

    # the sources of names

    def _by_declaration(self) -> None:
        """Names that the module declares for this size: the one that flows there, or the only one."""
        for slot in self.left:
            known = [dict(self._calls[place].declared) for place in slot.sizes]
            fitting = [name for name in _in_all(known, list(slot.sizes.values())) if name.isidentifier()]
            flowing = [name for name in fitting if name in (slot.names or ())]
            if flowing:
                self._accept(slot, flowing[0])
            elif len(fitting) == 1 and self._is_varied and slot.constant != 1:
                self._accept(slot, fitting[0])

    def _by_place(self, written: Mapping[str, Sequence[Words]]) -> None:
        """Names that are written for a parameter or the result, each for its axis."""
        for holder, shapes in written.items():
            own = [slot for slot in self._slots if slot.holder == holder and slot.axis >= 0]
            for words in shapes:
                if own and len(words) == own[0].rank == len(own) and self._fits(own, words):
                    for slot, word in zip(own, words, strict=True):
                        self._accept(slot, word)
                    break

    def _fits(self, slots: Sequence[Slot], words: Words) -> bool:
        """True unless the words are wrong: a number is another size, a name has two, or is one of the constructor's."""
        for slot, word in zip(slots, words, strict=True):
            if (word.isdecimal() and slot.constant != int(word)) or self._is_otherwise(slot, word):
                return False
        named = [(slot, word) for slot, word in zip(slots, words, strict=True) if word]
        return all(one.agrees(other) for (one, a), (other, b) in itertools.combinations(named, 2) if a == b)

    def _is_otherwise(self, slot: Slot, name: str) -> bool:
        """True if the constructor of the module has another size for the name."""
        return any(self._calls[place].made_with.sizes.get(name, size) != size for place, size in slot.sizes.items())

    def _by_unpacking(self) -> None:
        """`B, T, C = x.shape` of a parameter."""
        for name, place in self._reading.unpacked.items():
            if place is not None:
                holder, axis = place
                own = [slot for slot in self._slots if slot.holder == holder and slot.axis >= 0]
                if -len(own) <= axis < len(own):
                    self._accept(own[axis], name)

    def _by_return(self) -> None:
        """The comment at the only `return` that gives the result."""
        lines = {call.returned_at for call in self._calls}
        words = self._reading.commented.get(next(iter(lines))) if len(lines) == 1 else None
        if words is not None:
            self._by_place({"": (words,)})

    def _by_equal(self) -> None:
        """The name of another axis that always has the same size."""
        for slot in self.left:
            for other, name in list(self.named):
                if slot.agrees(other) and self._is_the_same(slot) and self._accept(slot, name):
                    break

    def _is_the_same(self, slot: Slot) -> bool:
        """False of an axis that was never varied and whose size the module has several names for."""
        if slot.constant is None:
            return True
        if slot.constant == 1:
            return False
        known = [self._calls[place].made_with for place in slot.sizes]
        names = _in_all([{n: made.sizes[n] for n in made.layers & made.sizes.keys()} for made in known], _sizes(slot))
        return len(names) < 2

    def _by_value(self, known: Sequence[Mapping[str, int]]) -> None:
        """A variable that has the size in each call; of several the one of the same place."""
        for slot in self.left:
            if slot.constant == 1:
                continue
            fitting = _in_all([known[place] for place in slot.sizes], _sizes(slot))
            places = self._reading.unpacked
            same = [
                name
                for name in fitting
                if (place := places.get(name)) and place[1] in (slot.axis, slot.axis - slot.rank)
            ]
            for name in same[:1] if same else fitting if len(fitting) == 1 else []:
                self._accept(slot, name)

    def _by_argument(self) -> None:
        """A whole number that the function takes: `batch` of `init_hidden(self, batch)`."""
        takes_tensors = any(slot.holder for slot in self._slots)
        for slot in self.left:
            if slot.constant is None or (slot.constant != 1 and not takes_tensors):
                fitting = _in_all([self._calls[place].integers for place in slot.sizes], _sizes(slot))
                for name in fitting[:1]:
                    self._accept(slot, name)

    def _by_constructor(self) -> None:
        """The name that the constructor has for the size; of several the one that the function uses, or that layers get."""
        for slot in self.left:
            if slot.constant == 1:
                continue
            made = [self._calls[place].made_with for place in slot.sizes]
            fitting = _in_all([each.sizes for each in made], _sizes(slot))
            used = {attribute for holder, attribute in self._reading.attributes if holder == self._reading.owner}
            of_layers = [name for name in fitting if all(name in each.layers for each in made)]
            chosen = [name for name in fitting if name in used] or (self._is_varied and (of_layers or fitting))
            if chosen and len(chosen) == 1:
                self._accept(slot, chosen[0])

    def _by_number(self, fixed: Container[InputAxis]) -> None:
        """A size that was 1, or that a number in the code is, whatever the others were; a side of an image that could not change."""
        for slot in self.left:
            size = slot.constant
            made = (self._calls[place].made_with.numbers for place in slot.sizes)
            numbers = self._reading.numbers.union(*made)
            is_fixed = slot.axis >= _FIRST_SIDE and (slot.holder, slot.axis) in fixed
            if self._is_varied and size is not None and (size == 1 or size in numbers or is_fixed):
                self.words[slot] = str(size)

    def _by_expression(self, optional: frozenset[str]) -> None:
        """Products, multiples, and sums with 1 of names that a parameter binds, for axes of the result."""
        words = self.words
        bound = [
            slot
            for slot in self._slots
            if slot.holder and slot.holder not in optional and slot.axis >= 0 and slot.constant is None
        ]
        first: dict[str, Slot] = {}
        for slot in bound:
            if words[slot].isidentifier() and words[slot] != "_":
                first.setdefault(words[slot], slot)
        fixed = {slot.constant for slot in self._slots if slot.holder}
        for slot in self.left:
            if not slot.holder and slot.constant is None:
                text = next(_expressions(slot, first, fixed), None)
                if text is not None:
                    self.words[slot] = text

    def _by_letter(self, slots: Iterable[Slot]) -> None:
        """`a`, `b`; the same for axes that always have the same size."""
        letters = itertools.chain(string.ascii_lowercase, (f"a{count}" for count in itertools.count()))
        for slot in slots:
            if slot in self.words:
                continue
            letter = next(letter for letter in letters if letter not in self._taken and self._accept(slot, letter))
            for other in self.left:
                if slot.agrees(other) and self._is_the_same(other):
                    self._accept(other, letter)


def _sizes(slot: Slot) -> list[int]:
    return list(slot.sizes.values())


def _in_all(known: Sequence[Mapping[str, int]], sizes: Sequence[int]) -> list[str]:
    """The names that have these sizes, one in each mapping."""
    if not known:
        return []
    return [name for name in known[0] if all(each.get(name) == size for each, size in zip(known, sizes, strict=True))]


def _expressions(slot: Slot, names: Mapping[str, Slot], fixed: Container[int | None]) -> Iterator[str]:
    """The expressions that have the sizes of an axis in all calls; the sizes in `fixed` may be any in other calls."""
    usable = {name: other for name, other in names.items() if slot.sizes.keys() <= other.sizes.keys()}
    for (one, first), (two, second) in itertools.combinations(usable.items(), 2):
        if all(size == first.sizes[call] * second.sizes[call] for call, size in slot.sizes.items()):
            yield f"{one}*{two}"
    for name, other in usable.items():
        pairs = {(other.sizes[call], size) for call, size in slot.sizes.items()}
        if len(pairs) > 1:
            multiples = (times for times in range(2, _MOST_TIMES) if all(b == times * a for a, b in pairs))
            yield from (f"{times}*{name}" for times in multiples if times not in fixed)
            yield from (f"{name}{more:+d}" for more in (1, -1) if all(b == a + more for a, b in pairs))
    for (one, first), (two, second) in itertools.combinations(usable.items(), 2):
        if all(size == first.sizes[call] + second.sizes[call] for call, size in slot.sizes.items()):
            yield f"{one}+{two}"
