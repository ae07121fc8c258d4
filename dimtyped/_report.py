"""The text of an error: what does not fit, what was got, where each size came from, the mend.

Plain text, at most fifteen lines for one mismatch, never a tensor's values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dimtyped._axes import Axis, Kind, annotation_text, is_array_annotation, read_array
from dimtyped._describe import Seen, shape_text
from dimtyped._hints import ArrayHint, arrays_in
from dimtyped._mismatch import Binding, Findings, Mismatch, size_text
from dimtyped._signature import free_names

_PLACES = 3  # arguments told in full
_NAMES = 6  # names whose origin is told
_DTYPES = {
    "Bool": "bool",
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
    """One failed call, to be told.

    Args:
        where: The function, or the layer's path.
        findings: What the second check found.
        labels: What to call the contract's names, for a layer whose sizes were given as Dims.
        hint: The mend, or an empty text.
    """

    where: str
    findings: Findings
    labels: Mapping[str, str]
    hint: str

    def __str__(self) -> str:
        mismatches = self.findings.mismatches
        places = list(dict.fromkeys(mismatch.place for mismatch in mismatches))
        lines = [f"{self.where}: {_subject(places[0])} does not fit: {self._problems(places[0])}", ""]
        for place in places[:_PLACES]:
            lines += self._place(place, is_first=place == places[0])
        if len(places) > _PLACES:
            lines.append(f"    and {len(places) - _PLACES} more")
        lines += self._origins()
        if self.hint:
            lines += ["", f"  {self.hint}"]
        return "\n".join(lines)

    def name(self, name: str) -> str:
        """What the user calls a name."""
        return self.labels.get(name, name)

    # What does not fit ------------------------------------------------------------------------------------------------

    def _problems(self, place: str) -> str:
        return "; ".join(self.problem(mismatch) for mismatch in self.findings.mismatches if mismatch.place == place)

    def problem(self, mismatch: Mismatch) -> str:
        """One mismatch in a few words: `hidden is 128, must be 256`."""
        match mismatch.kind:
            case "type":
                return f"it is {_type_text(mismatch.value)}, must be {self.annotation(mismatch.expected)}"
            case "dtype":
                return f"its dtype is {dtype_text(mismatch.actual)}, must be {_dtype_words(mismatch)}"
            case "rank":
                return _rank_words(mismatch)
            case "expression":
                return f"the axis `{mismatch.dim}` cannot be worked out: {mismatch.expected}"
            case _:
                return f"{self._axis(mismatch)} is {size_text(mismatch.actual)}, must be {size_text(mismatch.expected)}"

    def _axis(self, mismatch: Mismatch) -> str:
        return f"axis {mismatch.axis}" if mismatch.dim.isdigit() else self.name(mismatch.dim)

    def annotation(self, annotation: Any) -> str:
        """An annotation as its user would write it, in the user's names."""
        if not is_array_annotation(annotation) or not self.labels:
            return annotation_text(annotation)
        axes = " ".join(self._axis_text(axis) for axis in read_array(annotation).axes)
        return annotation_text(annotation).replace(f'"{annotation.dim_str}"', f'"{axes}"')

    def _axis_text(self, axis: Axis) -> str:
        if axis.kind is Kind.EXPRESSION and axis.label:
            return axis.label
        return axis.text.replace(axis.name, self.name(axis.name)) if axis.kind is Kind.NAME else axis.text

    def _place(self, place: str, *, is_first: bool) -> Iterator[str]:
        mismatches = [mismatch for mismatch in self.findings.mismatches if mismatch.place == place]
        width = max(8, len(place))
        if not is_first:
            yield f"    {place}: {self._problems(place)}"
        yield f"    {place:<{width}} {self.annotation(mismatches[0].hint.annotation)}"
        yield f"    {'got':<{width}} {mismatches[0].value}"
        carets = self._carets(mismatches)
        if carets:
            yield f"    {'':<{width}} {carets}"

    def _carets(self, mismatches: list[Mismatch]) -> str:
        """Carets below the sizes that do not fit, and what they must be."""
        value = mismatches[0].value
        wrong = {m.axis: m for m in mismatches if m.kind == "size" and m.axis is not None}
        if not wrong or value.shape is None:
            return ""
        line = " " * (len(dtype_text(value.dtype)) + len(" ("))
        for index, size in enumerate(value.shape):
            line += ("^" if index in wrong else " ") * len(str(size)) + "  "
        wanted = [f"{self.name(m.dim)} = {size_text(m.expected)}" for m in wrong.values() if not m.dim.isdigit()]
        return f"{line.rstrip()} {', '.join(wanted)}".rstrip()

    # Where each size came from ----------------------------------------------------------------------------------------

    def _origins(self) -> Iterator[str]:
        rows = list(dict.fromkeys(self._rows()))
        name_width = max((len(name) for name, _, _ in rows), default=0)
        size_width = max((len(size) for _, size, _ in rows), default=0)
        for name, size, origin in rows[:_NAMES]:
            yield f"    {name:<{name_width}} = {size:<{size_width}}  {origin}"

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        """Each name involved, those that do not fit first."""
        wrong = [mismatch.dim for mismatch in self.findings.mismatches]
        known = {**self.findings.bindings, **{f"*{name}": b for name, b in self.findings.runs.items()}}
        involved = sorted(self._involved() & known.keys(), key=lambda name: (name not in wrong, [*known].index(name)))
        for name in involved:
            binding = known[name]
            size = binding.size[1] if name.startswith("*") else binding.size
            yield self.name(name), size_text(size), _origin(binding)

    def _involved(self) -> set[str]:
        names: set[str] = set()
        for mismatch in self.findings.mismatches:
            for array in arrays_in(mismatch.hint):
                names.update(free_names(array))
                names.update(f"*{axis.name}" for axis in array.axes if axis.many and axis.kind is Kind.NAME)
        return names


def dtype_text(dtype: Any) -> str:
    """`float32`."""
    return str(dtype).removeprefix("torch.")


def _subject(place: str) -> str:
    return "the result" if place == "return" else f"argument `{place}`"


def _type_text(value: Seen) -> str:
    return str(value) if value.text else f"a {value.cls.__name__}"


def _rank_words(mismatch: Mismatch) -> str:
    axes = "axis" if mismatch.actual == 1 else "axes"
    least = "at least " if isinstance(mismatch.hint, ArrayHint) and mismatch.hint.variadic is not None else ""
    return f"it has {mismatch.actual} {axes}, must have {least}{mismatch.expected}"


def _dtype_words(mismatch: Mismatch) -> str:
    hint = mismatch.hint
    if isinstance(hint, ArrayHint) and hint.dtypes is not None and len(hint.dtypes) <= 2:
        return " or ".join(sorted(dtype_text(dtype) for dtype in hint.dtypes))
    return _DTYPES.get(mismatch.expected, f"one of {mismatch.expected}")


def _origin(binding: Binding) -> str:
    if binding.value is None:
        return binding.place
    source = "the result" if binding.place == "return" else f"`{binding.place}`"
    return f"from {source} {shape_text(binding.value.shape or ())}"
