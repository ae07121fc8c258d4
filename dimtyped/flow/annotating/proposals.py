"""Annotations for the functions whose calls were seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass, field

from torch import Tensor

from dimtyped.flow.annotating.elsewhere import Elsewhere
from dimtyped.flow.annotating.inputs import InputAxis
from dimtyped.flow.annotating.naming import Namer
from dimtyped.flow.annotating.patterns import (
    ArrayPattern,
    Pattern,
    Slot,
    Unclear,
    UnionPattern,
    arrays_in,
    hint_name,
    pattern_of,
    text_of,
)
from dimtyped.flow.annotating.recorder import CallSeen, FunctionKey
from dimtyped.flow.annotating.shape_comments import Words
from dimtyped.flow.annotating.values import Seen, holds_tensors, kind_of

RESULT = ""
"""What stands for the result among the names of parameters."""


@dataclass
class Proposal:
    """The annotations for one function.

    Attributes:
        file: Its file.
        line: The line of its `def`.
        name: Its name, with the classes around it.
        patterns: What is annotated: parameters, and the result by an empty name.
        words: The text of each axis.
        notes: Why something of it is left without an annotation.
    """

    file: str
    line: int
    name: str
    patterns: dict[str, Pattern]
    words: Mapping[Slot, str]
    notes: list[str] = field(default_factory=list[str])

    def hints_of(self, holder: str) -> set[str]:
        """The names of jaxtyping that the annotation of a parameter, or of the result, has."""
        return {hint_name(array.dtypes) for array in arrays_in(self.patterns[holder])}

    def text(self, holder: str, prefix: str = "", tensor: str = "Tensor") -> str:
        """The annotation of a parameter, or of the result.

        Args:
            holder: The parameter; empty for the result.
            prefix: What stands before the names of jaxtyping: `jaxtyping.` or nothing.
            tensor: The name of the class of tensors in the file.
        """
        return text_of(self.patterns[holder], dict(self.words), prefix, tensor)


@dataclass
class _Function:
    """A function whose annotations are being made."""

    calls: list[CallSeen]
    patterns: dict[str, Pattern]
    notes: list[str]
    namer: Namer

    @property
    def optional(self) -> list[str]:
        return [holder for holder, pattern in self.patterns.items() if not isinstance(pattern, ArrayPattern)]


def proposals_of(
    calls: Sequence[CallSeen],
    given: Mapping[FunctionKey, Mapping[str, Words]],
    fixed: Mapping[FunctionKey, AbstractSet[InputAxis]],
    varied: AbstractSet[int],
) -> list[Proposal]:
    """Annotations for each function that was called, in the order of files and lines.

    Args:
        calls: The calls of all runs that completed.
        given: The names that the user wrote for the axes of inputs, by function and parameter.
        fixed: The axes of inputs, by function, whose sizes were varied in vain.
        varied: The runs that had other sizes than the first.
    """
    by_function: dict[FunctionKey, list[CallSeen]] = {}
    for call in calls:
        by_function.setdefault(call.key, []).append(call)
    functions = {key: _function(found, varied) for key, found in sorted(by_function.items())}
    elsewhere = Elsewhere()
    for key, function in functions.items():
        function.namer.name_by_source(given.get(key, {}))
        elsewhere.add(function.namer.named, function.calls)
    found: list[Proposal] = []
    for (file, line), function in functions.items():
        function.namer.name_the_rest(elsewhere, function.optional, fixed.get((file, line), frozenset()))
        reading = function.calls[0].reading
        wanted = {*reading.open, *([] if reading.result else [RESULT])}
        patterns = {holder: pattern for holder, pattern in function.patterns.items() if holder in wanted}
        if patterns or function.notes:
            found.append(Proposal(file, line, reading.name, patterns, function.namer.words, function.notes))
    return found


def _function(calls: list[CallSeen], varied: AbstractSet[int]) -> _Function:
    reading, notes = calls[0].reading, list[str]()
    runs = {call.run for call in calls}
    is_varied = len(runs) > 1 and not varied.isdisjoint(runs)
    patterns: dict[str, Pattern] = {}
    for parameter in reading.parameters:
        observed = [(place, call.arguments[parameter.name]) for place, call in enumerate(calls)]
        pattern = None if parameter.is_packed else _pattern(parameter.name, observed, notes, calls)
        if pattern is not None:
            patterns[parameter.name] = _with_none(pattern) if parameter.is_none else pattern
    result = _result(calls, notes)
    if result is not None:
        patterns[RESULT] = result
    slots = [slot for pattern in patterns.values() for array in arrays_in(pattern) for slot in array.slots]
    known = {each.name for each in reading.parameters if each.annotation}
    kept = [note for note in notes if note.partition(":")[0].strip("`") not in known]
    return _Function(calls, patterns, kept, Namer(calls, slots, is_varied=is_varied))


def _pattern(
    holder: str, observed: Sequence[tuple[int, Seen]], notes: list[str], calls: Sequence[CallSeen]
) -> Pattern | None:
    """The pattern of a parameter; None, and a note, if an annotation cannot say what it takes."""
    if not any(holds_tensors(value) for _, value in observed):
        return None
    kinds = {kind_of(value) for _, value in observed}
    assigned = {kind for call in calls for kind in call.rebound.get(holder, ())}
    try:
        pattern = pattern_of(holder, observed)
    except Unclear as unclear:
        notes.append(f"`{holder}`: it {unclear}")
        return None
    if not assigned <= kinds:
        words = " and ".join(sorted("another value" if kind is object else _word(kind) for kind in assigned - kinds))
        notes.append(f"`{holder}`: the function assigns {words} to it")
        return None
    return pattern


def _word(kind: type) -> str:
    return {Tensor: "a tensor", type(None): "None"}.get(kind, f"a {kind.__name__}")


def _with_none(pattern: Pattern) -> Pattern:
    if isinstance(pattern, UnionPattern):
        return UnionPattern(pattern.options, or_none=True)
    return UnionPattern([pattern], or_none=True)


def _result(calls: Sequence[CallSeen], notes: list[str]) -> Pattern | None:
    """The pattern of the result; None, and a note, if a run does not say all of it."""
    reading = calls[0].reading
    if reading.result or not any(holds_tensors(call.result) for call in calls):
        return None
    unused = sorted(reading.returns - {call.returned_at for call in calls})
    if unused:
        notes.append(f"the result: the return in line {unused[0]} did not run")
        return None
    try:
        return pattern_of(RESULT, [(place, call.result) for place, call in enumerate(calls)])
    except Unclear as unclear:
        if any(holds_tensors(value) for call in calls for value in call.arguments.values()):
            notes.append(f"the result: {unclear}")
        return None
