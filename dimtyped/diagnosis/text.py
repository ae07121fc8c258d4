"""The text of an error: the mismatch, the value, the origin of each size, the fix.

Plain text without color, at most fifteen lines for one mismatch, never a tensor's values.
"""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch.nn.utils.rnn import PackedSequence

from dimtyped.annotations import (
    AnythingHint,
    ArrayHint,
    Axis,
    BeartypeHint,
    ClassHint,
    Hint,
    ItemsHint,
    Kind,
    MappingHint,
    RecordHint,
    TupleHint,
    UnionHint,
    annotation_text,
    arrays_in,
    free_names,
)
from dimtyped.diagnosis.mismatch import Binding, Findings, Mismatch, placed, size_text
from dimtyped.diagnosis.placements import placement_of, rank_text
from dimtyped.diagnosis.snapshots import Snapshot
from dimtyped.names import shape_text

_LINES = 15  # of an error with one mismatch
_WIDTH = 116  # of the fix's lines
_PLACES = 3  # arguments shown in full
_ANY = "..."
_NAMES = 6  # names whose origin is shown
_DTYPES = {
    "Bool": "bool",
    "BoolOrFloat": "bool or a float dtype",
    "Int": "a signed integer dtype",
    "UInt": "an unsigned integer dtype",
    "Integer": "an integer dtype",
    "Float": "a float dtype",
    "Complex": "a complex dtype",
    "Inexact": "a float or complex dtype",
    "Real": "a real dtype",
    "Num": "a number dtype",
}


@dataclass(frozen=True)
class Report:
    """The report of one failed call; `str` returns its text.

    Args:
        where: The function, or the layer's path.
        findings: The mismatches and the names that the second check found.
        labels: The user's words for the contract's names, for a layer whose sizes were given as Dims.
        hint: The fix, or an empty text.
        path: The path of the module in the running model, if it is not the model itself. Default: not shown.
        notes: Further lines about the wrong values: `100 is embed, declared by ...`. Default: nothing.
        around: The typed calls around this one, nearest first. Default: none.
        called: The user's line that made the call, if the traceback does not end there. Default: not shown.
    """

    where: str
    findings: Findings
    labels: Mapping[str, str]
    hint: str
    path: str = ""
    notes: tuple[str, ...] = ()
    around: tuple[str, ...] = ()
    called: str = ""

    def __str__(self) -> str:
        places = list(dict.fromkeys(mismatch.place for mismatch in self.findings.mismatches))
        where = f"{self.where} ({self.path})" if self.path else self.where
        lines = [f"{where}: {_subject(places[0])} does not fit: {self._problems(places[0])}", ""]
        hints = {mismatch.place: mismatch.hint for mismatch in reversed(self.findings.mismatches)}
        for before, place in zip((None, *places), places[:_PLACES], strict=False):
            lines += self._place(place, hints[before] if before is not None else None)
        if len(places) > _PLACES:
            lines.append(f"    and {len(places) - _PLACES} more")
        fix = ["", *_wrapped(self.hint)] if self.hint else []
        rank = list(filter(None, [rank_text()]))
        room = max(_LINES - len(lines) - len(fix) - len(self.notes) - bool(self.called) - len(rank), 3)
        around = self.around[: max(1, room - _NAMES)]
        known = (*self.notes, *around, *rank, *([f"called at {self.called}"] if self.called else []))
        lines += [*list(self._origins())[: room - len(around)], *(f"    {line}" for line in known)]
        return "\n".join(lines + fix)

    def name(self, name: str) -> str:
        """The user's word for a name."""
        return self.labels.get(name, name)

    # Mismatches -------------------------------------------------------------------------------------------------------

    def _problems(self, place: str) -> str:
        problems = (self.problem(mismatch) for mismatch in self.findings.mismatches if mismatch.place == place)
        return "; ".join(dict.fromkeys(problems))

    def problem(self, mismatch: Mismatch) -> str:
        """One mismatch in a few words: `hidden is 128, must be 256`."""
        match mismatch.kind:
            case "type":
                return f"it is {_type_text(mismatch.value)}, must be {_type_words(mismatch.hint)}"
            case "dtype":
                return f"its dtype is {dtype_text(mismatch.actual)}, must be {_dtype_words(mismatch)}"
            case "rank":
                return _rank_words(mismatch)
            case "expression":
                return f"the axis `{mismatch.dim}` cannot be evaluated: {mismatch.expected}"
            case "extent" if re.match(r"0 to \d+$", str(mismatch.expected)):  # an index, not a size
                return f"{mismatch.actual} is none of the {self._axis(mismatch)}, {mismatch.expected}"
            case "size" if _is_whole_shape(mismatch.hint):
                return f"its shape is {size_text(mismatch.actual)}, must be {size_text(mismatch.expected)}"
            case "size" if self.name(mismatch.dim) == _ANY:
                before = " and ".join(f"`{self.name(name)}`" for name in _names_before(mismatch))
                return (
                    f"its axes after {before} are {size_text(mismatch.actual)}, must be {size_text(mismatch.expected)}"
                )
            case _:
                return f"{self._axis(mismatch)} is {size_text(mismatch.actual)}, must be {size_text(mismatch.expected)}"

    def wanted(self, mismatch: Mismatch) -> str:
        """The expected type or dtype, as data: the annotation, or the dtypes if there are one or two."""
        if mismatch.kind == "type":
            return self.annotation(mismatch.hint)
        return _few_dtypes(mismatch) or str(mismatch.expected)

    def _axis(self, mismatch: Mismatch) -> str:
        return f"axis {mismatch.axis}" if mismatch.dim.isdigit() else self.name(mismatch.dim)

    def annotation(self, hint: Hint) -> str:
        """An annotation as its user would write it, in the user's names."""
        text = annotation_text(hint.annotation)
        for array in arrays_in(hint) if self.labels else ():
            text = text.replace(f'"{array.annotation.dim_str}"', f'"{self.axes(array)}"')
        return text

    def axes(self, hint: Hint) -> str:
        """The axes of the first tensor in an annotation, in the user's names."""
        first = next(iter(arrays_in(hint)), None)
        return " ".join(self._axis_text(axis) for axis in first.axes) if first is not None else ""

    def _axis_text(self, axis: Axis) -> str:
        if axis.many and self.name(f"*{axis.name}") == _ANY:
            return _ANY
        if axis.kind is Kind.EXPRESSION and axis.label:
            return axis.label
        return axis.text.replace(axis.name, self.name(axis.name)) if axis.kind is Kind.NAME else axis.text

    def _place(self, place: str, before: Hint | None) -> Iterator[str]:
        """The lines for one place: its annotation and its value. The annotation is left out if the place before has the same."""
        mismatches = [mismatch for mismatch in self.findings.mismatches if mismatch.place == place]
        hint, width = mismatches[0].hint, max(8, len(place))
        is_alike = before is not None and self.annotation(before) == self.annotation(hint)
        if before is not None and any(mismatch.kind != "size" for mismatch in mismatches):
            yield f"    {place}: {self._problems(place)}"
        if not is_alike:
            yield f"    {place:<{width}} {self.annotation(hint)}"
        yield f"    {place if is_alike else 'got':<{width}} {mismatches[0].value}{self._lies(mismatches[0])}"
        carets = self._carets(mismatches)
        if carets:
            yield f"    {'':<{width}} {carets}"

    def _lies(self, mismatch: Mismatch) -> str:
        """How a DTensor lies on its devices, in the annotation's names: ` batch@dp, replicated on tp`."""
        value, placement = mismatch.value, placement_of(mismatch.value.value)
        if placement is None:
            return " local tensor, not a DTensor" if value.is_tensor and self._has_dtensors else ""
        names = [str(size) for size in value.shape or ()]
        if isinstance(mismatch.hint, ArrayHint) and mismatch.kind != "rank":
            for axis, index in placed(mismatch.hint.axes, len(names)):
                names[index] = self._axis_text(axis)
        return f" {', '.join(placement.words(names))}"

    @property
    def _has_dtensors(self) -> bool:
        """True if an argument of the call is a DTensor."""
        call = self.findings.call
        return call is not None and any(placement_of(value.value) is not None for value in call.values.values())

    def _carets(self, mismatches: list[Mismatch]) -> str:
        """Carets below the sizes that do not fit, and the sizes they must have."""
        value = mismatches[0].value
        wrong = {m.axis: m for m in mismatches if m.kind in ("size", "extent") and m.axis is not None}
        if not wrong or value.shape is None:
            return ""
        line = " " * (len(dtype_text(value.dtype)) + len(" ("))
        for index, size in enumerate(value.shape):
            line += ("^" if index in wrong else " ") * len(str(size)) + "  "
        wanted = dict.fromkeys(self._wanted(m) for m in wrong.values() if not m.dim.isdigit())
        return f"{line.rstrip()} {', '.join(wanted)}".rstrip()

    def _wanted(self, mismatch: Mismatch) -> str:
        """An expected size with its name: a number, or a bound for some sizes that torch rejects."""
        if self.name(mismatch.dim) == _ANY:
            return f"must be {size_text(mismatch.expected)}"
        is_bound = isinstance(mismatch.expected, str)
        return f"{self.name(mismatch.dim)}{' ' if is_bound else ' = '}{size_text(mismatch.expected)}"

    # The origin of each size ------------------------------------------------------------------------------------------

    def _origins(self) -> Iterator[str]:
        rows = list(dict.fromkeys(self._rows()))[:_NAMES]
        name_width = max((len(name) for name, _, _ in rows), default=0)
        size_width = max((len(size) for _, size, _ in rows), default=0)
        for name, size, origin in rows:
            yield f"    {name:<{name_width}} = {size:<{size_width}}  {origin}"

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        """Each name involved, mismatches first, without names that only the wrong value has bound."""
        wrong = {mismatch.dim for mismatch in self.findings.mismatches if mismatch.kind != "extent"}
        places = {mismatch.place for mismatch in self.findings.mismatches}
        known = {**self.findings.bindings, **{f"*{name}": b for name, b in self.findings.runs.items()}}
        involved = sorted(self._involved() & known.keys(), key=lambda name: (name not in wrong, [*known].index(name)))
        for name in involved:
            binding = known[name]
            if binding.is_declared or name in wrong or binding.place not in places:
                size = binding.size[1] if name.startswith("*") else binding.size
                yield self.name(name), size_text(size), _origin(binding)

    def _involved(self) -> set[str]:
        names: set[str] = set()
        for mismatch in self.findings.mismatches:
            for array in arrays_in(mismatch.hint) if mismatch.kind != "dtype" else ():
                names.update(free_names(array))
                names.update(f"*{axis.name}" for axis in array.axes if axis.many and axis.kind is Kind.NAME)
        return names


def _is_whole_shape(hint: Hint) -> bool:
    """True for an annotation of one `*name`, which stands for all axes."""
    return isinstance(hint, ArrayHint) and len(hint.axes) == 1 and hint.axes[0].many


def _names_before(mismatch: Mismatch) -> list[str]:
    """The names of the axes before the several that do not fit."""
    axes = mismatch.hint.axes if isinstance(mismatch.hint, ArrayHint) else ()
    return [axis.name for axis in itertools.takewhile(lambda axis: not axis.many, axes)]


def axes_text(axes: Iterable[object]) -> str:
    """Axes as a user reads them: `(batch=4, seq=8)`."""
    return f"({', '.join(map(str, axes))})"


def dtype_text(dtype: Any) -> str:
    """`float32`."""
    return str(dtype).removeprefix("torch.")


def _subject(place: str) -> str:
    if place == "return":
        return "the result"
    part = re.match(r"return\.?(?=\W)|return\.", place)
    return f"`{place[part.end() :]}` of the result" if part else f"argument `{place}`"


def _type_text(value: Snapshot) -> str:
    """A value of a wrong type in a few words: `a tuple of 2`."""
    if value.items is not None and not issubclass(value.cls, PackedSequence):
        return f"a {value.cls.__name__} of {len(value.items)}"
    return str(value) if value.text else f"a {value.cls.__name__}"


def _type_words(hint: Hint) -> str:
    """The type that a hint expects: `a Tensor or None`."""
    match hint:
        case ArrayHint(array_type=cls):
            return f"a {cls.__name__}"
        case TupleHint(items=items):
            return f"a tuple of {len(items)}"
        case ItemsHint(cls=cls) | MappingHint(cls=cls) | RecordHint(cls=cls):
            return f"a {cls.__name__}"
        case UnionHint(options=options):
            return " or ".join(dict.fromkeys(_type_words(option) for option in options))
        case AnythingHint() | BeartypeHint() | ClassHint():
            return annotation_text(hint.annotation)


def _wrapped(hint: str) -> list[str]:
    """The fix on lines of their own, broken between words and never inside code."""
    joined = re.sub("`[^`]*`", lambda code: code[0].replace(" ", "\0"), hint)
    lines = textwrap.wrap(joined, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [f"  {line}".replace("\0", " ") for line in lines]


def _rank_words(mismatch: Mismatch) -> str:
    axes = "axis" if mismatch.actual == 1 else "axes"
    is_open = isinstance(mismatch.hint, ArrayHint) and mismatch.hint.variadic is not None
    least = "at least " if is_open and not isinstance(mismatch.expected, str) else ""  # "3 or 4": a layer's own words
    return f"it has {mismatch.actual} {axes}, must have {least}{mismatch.expected}"


def _few_dtypes(mismatch: Mismatch) -> str:
    """The accepted dtypes if there are one or two, `int32 or int64`; else an empty text."""
    dtypes = mismatch.hint.dtypes if isinstance(mismatch.hint, ArrayHint) else None
    return " or ".join(sorted(map(dtype_text, dtypes))) if dtypes is not None and 0 < len(dtypes) <= 2 else ""


def _dtype_words(mismatch: Mismatch) -> str:
    return _few_dtypes(mismatch) or _DTYPES.get(mismatch.expected, f"a {mismatch.expected} dtype")


def _origin(binding: Binding) -> str:
    if binding.value is None:
        return binding.place
    source = "the result" if binding.place == "return" else f"`{binding.place}`"
    return f"from {source} {shape_text(binding.value.shape or ())}"
