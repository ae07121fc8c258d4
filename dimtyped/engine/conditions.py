"""Hints as conditions: the terms that a value must meet, and the names that it binds.

A condition is a list of terms joined by `and`, in the order in which jaxtyping checks: type, dtype, rank, leading axes,
trailing axes, the variadic axis.
"""

from __future__ import annotations

import builtins
import keyword
import re
from typing import TypeAlias

import torch

from dimtyped.annotations import (
    AnythingHint,
    ArrayHint,
    Axis,
    BeartypeHint,
    ClassHint,
    Hint,
    Kind,
    TupleHint,
    linear,
    load,
    parts_in_order,
    turn,
    unknown_names,
)
from dimtyped.engine.known_names import Known, KnownNames, Names
from dimtyped.engine.name_uses import variadic_names
from dimtyped.engine.source import SourceWriter
from dimtyped.runtime import PREFIX

Bindings: TypeAlias = list[tuple[str, str]]
"""Names, `*name` for several axes, and the source of their sizes."""
_WHOLE = (int, torch.SymInt)
_WORD_OR_PLACEHOLDER = re.compile(r"\{(?P<path>.*?)\}|(?P<word>(?<![\w.])[^\W\d]\w*)")


class Conditions:
    """Writes hints as conditions.

    Args:
        source: Where the constants are kept.
        known: The known names, and which of them need a variable.
        broadcast: The `*name`s that broadcast somewhere, whose sizes a helper must compare.
    """

    def __init__(self, source: SourceWriter, known: KnownNames, broadcast: frozenset[str]) -> None:
        self.filled: dict[str, str] = {}  # the source of the value of a parameter that a call may leave out
        self.unbound: list[
            tuple[str, str, bool]
        ] = []  # axes with a name without a size; True if every call comes there
        self._source = source
        self._known = known
        self._broadcast = broadcast

    def terms(self, hint: Hint, value: str, names: Names) -> tuple[list[str], Bindings]:
        """The terms of a flat hint and the variables to set once they hold; the names that they bind are added to `names`."""
        match hint:
            case AnythingHint():
                return [], []
            case ArrayHint():
                return self._tensor_terms(hint, value, names)
            case ClassHint(cls=cls):
                return [self._class_term(cls, value)], []
            case BeartypeHint(annotation=annotation):
                bearable, wanted = self._source.constant(load(), "bearable"), self._source.constant(annotation, "hint")
                traced = f"{PREFIX}bearable_traced({value}, {wanted}) if {PREFIX}is_tracing()"
                return [f"({traced} else {bearable}({value}, {wanted}))"], []
            case TupleHint(items=items):
                return self._tuple_terms(items, value, names)
            case _:
                raise AssertionError(f"{hint} is not flat")

    def _class_term(self, cls: type | tuple[type, ...], value: str) -> str:
        if cls is type(None):
            return f"{value} is None"
        return f"{self._source.isinstance}({value}, {self._source.constant(cls, 'class')})"

    def _tuple_terms(self, items: tuple[Hint, ...], value: str, names: Names) -> tuple[list[str], Bindings]:
        terms = [
            f"{self._source.isinstance}({value}, {self._source.tuple})",
            f"{self._source.len}({value}) == {len(items)}",
        ]
        bindings: Bindings = []
        for index, item in parts_in_order(tuple(enumerate(items)), names.certain, names.sizes):
            if isinstance(item, ArrayHint):
                local = self._source.fresh("item")
                more, bound = self._tensor_terms(item, local, names, first=f"({local} := {value}[{index}])")
            else:
                more, bound = self.terms(item, f"{value}[{index}]", names)
            terms += more
            bindings += bound
        return terms, bindings

    def _tensor_terms(self, hint: ArrayHint, value: str, names: Names, first: str = "") -> tuple[list[str], Bindings]:
        terms = [f"{self._source.isinstance}({first or value}, {self._source.constant(hint.array_type, 'class')})"]
        if hint.dtypes is not None:
            dtype = f"{value}.data.dtype" if hint.packed else f"{value}.dtype"
            terms.append(f"{dtype} in {self._source.literal(hint.dtypes, 'dtypes')}")
        whole = f"{PREFIX}packed_shape({value})" if hint.packed else f"{value}.shape"
        if hint.axes in names.shapes and not hint.packed:
            return [*terms, f"{whole} == {names.shapes[hint.axes]}"], []
        if len(hint.axes) == 1 and hint.axes[0] == Axis(Kind.ANY, "...", many=True):
            return terms, []
        shape = self._source.fresh("shape")
        many = hint.variadic
        if many is None:
            terms.append(f"{self._source.len}({shape} := {whole}) == {len(hint.axes)}")
        else:
            terms.append(self._at_least(len(hint.axes) - 1, f"({shape} := {whole})"))
        bindings = self._axis_terms(hint, shape, names, terms)
        if not hint.packed and _means_one_shape(hint.axes) and self._broadcast.isdisjoint(variadic_names(hint.axes)):
            names.shapes[hint.axes] = shape
        return terms, bindings

    def _at_least(self, count: int, shape: str) -> str:
        """The condition that a shape has this number of axes, in its fastest form."""
        match count:
            case 0:
                return f"{shape} is not None"
            case 1:
                return shape
            case _:
                return f"{self._source.len}({shape}) >= {count}"

    def _axis_terms(self, hint: ArrayHint, shape: str, names: Names, terms: list[str]) -> Bindings:
        many = hint.variadic
        count = len(hint.axes)
        lead = count if many is None else many
        bindings: Bindings = []
        places = list(range(lead)) if many is None else [*range(lead), *range(many + 1 - count, 0)]
        for index in sorted(
            places, key=lambda index: _turn(hint.axes[index], names)
        ):  # axes that bind a name come first
            unknown = hint.packed and index == 0  # the batch of a PackedSequence may be None inside a trace
            self._size_terms(hint.axes[index], f"{shape}[{index}]", names, terms, bindings, unknown=unknown)
        if many is not None:
            self._variadic_terms(hint.axes[many], _slice(shape, many, count - many - 1), names, terms, bindings)
        return bindings

    def _size_terms(
        self,
        axis: Axis,
        size: str,
        names: Names,
        terms: list[str],
        bindings: Bindings,
        *,
        unknown: bool = False,
    ) -> None:
        one = _exceptions(size, unknown, axis.broadcast)
        if axis.kind is Kind.SIZE:
            terms.append(f"({one}{size} == {axis.size})" if one else f"{size} == {axis.size}")
        elif axis.kind is Kind.EXPRESSION and (open_name := _name_to_solve(axis, names)) is not None:
            self._solve_terms(axis, open_name, size, one, names, terms, bindings)
        elif axis.kind is Kind.EXPRESSION and (candidates := _names_perhaps_to_solve(axis, names)):
            self._solve_one_of(axis, candidates, size, one, names, terms, bindings)
        elif axis.kind is Kind.EXPRESSION:
            expression = self._expression(axis, names)
            terms.append(f"({one}{size} == ({expression}))" if one else f"{size} == ({expression})")
        elif axis.kind is Kind.NAME:
            self._name_terms(axis, size, names, terms, bindings, unknown)

    def _solve_one_of(
        self, axis: Axis, candidates: list[str], size: str, one: str, names: Names, terms: list[str], bindings: Bindings
    ) -> None:
        """Solves an expression for the one name that this call has not bound; with several of them it raises."""
        term, solved = f"{size} == ({self._expression(axis, names)})", dict[str, str]()
        for name in candidates:
            factor, rest = self._linear_source(axis, name, names, [])
            others = (names.sizes[other].source for other in candidates if other != name)
            is_open = " and ".join(
                [f"{names.sizes[name].source} is None", *(f"{source} is not None" for source in others)]
            )
            left = f"({size} - ({rest}))"
            whole = f"{left} % ({factor}) == 0 and {left} // ({factor}) >= 0 if ({factor}) else {left} == 0"
            term = f"(({whole}) if {is_open} else {term})"
            before = names.sizes[name].source
            found = f"({left} // ({factor}) if ({factor}) else None) if {is_open} else {before}"
            solved[name] = f"({before} if {one.removesuffix(' or ')} else {found})" if one else f"({found})"
        terms.append(f"({one}{term})")
        for name, source in solved.items():
            variable = self._source.fresh("solved")
            terms.append(f"(({variable} := {source}) is not None or True)")
            names.sizes[name] = Known(variable, optional=True)
            if self._known.needs_variable(name):
                bindings.append((name, variable))

    def _solve_terms(
        self, axis: Axis, name: str, size: str, one: str, names: Names, terms: list[str], bindings: Bindings
    ) -> None:
        """Solves `2*batch` for `batch`: the result must be a whole number of at least 0, to which the name is bound."""
        values: Bindings = []
        factor, rest = self._linear_source(axis, name, names, values)
        known = names.sizes.get(name)
        left = size if rest == "0" else f"{size} - ({rest})"
        solved = left if factor == "1" else f"({left}) // ({factor})"
        fits = [] if factor == "1" else [f"({left}) % ({factor}) == 0"]
        if factor != "1" or rest != "0":
            fits.append(f"({solved}) >= 0")
        if not _is_number(factor):  # a factor of 0: then the name may have any size
            fits = [f"({' and '.join(fits)} if ({factor}) else {size} == ({rest}))"]
            solved = f"({solved} if ({factor}) else None)"
        term = " and ".join(fits) or self._source.python("True")
        if one:
            solved = f"(None if {one.removesuffix(' or ')} else {solved})"
        if known is not None:
            term = f"({known.source} is None and {term} or {known.source} is not None and {size} == {self._expression(axis, names)})"
            solved = f"({solved} if {known.source} is None else {known.source})"
        if values:
            whole, text = self._source.constant(_WHOLE, "whole"), self._source.constant(axis.text, "text")
            ints = " and ".join(f"{self._source.isinstance}(({var} := {path}), {whole})" for var, path in values)
            terms.append(f"({ints} or {PREFIX}unbound({self._source.constant(name, 'name')}, {text}))")
        terms.append(f"({one}{term})")
        is_optional = bool(one) or not _is_number(factor)
        variable = self._source.fresh("solved")
        terms.append(f"(({variable} := {solved}) is not None or True)")
        names.sizes[name] = Known(variable, optional=is_optional)
        if self._known.needs_variable(name):
            bindings.append((name, variable))

    def _linear_source(self, axis: Axis, name: str, names: Names, values: Bindings) -> tuple[str, str]:
        """The factor and the rest as source; the values that `{...}` reads are added to `values`."""

        def hold(match: re.Match[str]) -> str:
            if match["path"] is None:
                return match["word"]
            head, dot, rest = match["path"].strip().partition(".")
            values.append((self._source.fresh("value"), f"{self.filled.get(head, head)}{dot}{rest}"))
            return values[-1][0]

        text = _WORD_OR_PLACEHOLDER.sub(hold, axis.name)
        held = {variable for variable, _ in values}

        def replace(match: re.Match[str]) -> str:
            return match["word"] if match["word"] in held else self._size_of(match["word"], axis, names)

        factor, rest = linear(text, name) or ("", "")
        return _WORD_OR_PLACEHOLDER.sub(replace, factor), _WORD_OR_PLACEHOLDER.sub(replace, rest)

    def _name_terms(
        self, axis: Axis, size: str, names: Names, terms: list[str], bindings: Bindings, unknown: bool
    ) -> None:
        known = names.sizes.get(axis.name)
        one = _exceptions(size, unknown, axis.broadcast)
        if known is not None and not known.optional:
            terms.append(f"({one}{size} == {known.source})" if one else f"{size} == {known.source}")
            return
        source = f"({size} if {size} != 1 else None)" if axis.broadcast else size
        if known is not None:
            terms.append(f"({one}{known.source} is None or {size} == {known.source})")
            optional = axis.broadcast or unknown
            source = f"({source} if {known.source} is None else {known.source})" if optional else size
        names.sizes[axis.name] = Known(source, optional=axis.broadcast or unknown)
        if self._known.needs_variable(axis.name):
            bindings.append((axis.name, source))

    def _variadic_terms(self, axis: Axis, sizes: str, names: Names, terms: list[str], bindings: Bindings) -> None:
        if axis.kind is Kind.ANY:
            return
        known = names.variadic.get(axis.name)
        name = f"*{axis.name}"
        if axis.name in self._broadcast:
            both = self._source.fresh("joined")
            before = known.source if known is not None else "None"
            terms.append(f"({both} := {PREFIX}broadcast_variadic({before}, {axis.broadcast}, {sizes})) is not None")
            names.variadic[axis.name] = Known(both)
            bindings.append((name, both))
        elif known is None or known.optional:
            if known is not None:
                terms.append(f"({known.source} is None or {sizes} == {known.source})")
            names.variadic[axis.name] = Known(sizes)
            if self._known.needs_variable(name):
                bindings.append((name, sizes))
        else:
            terms.append(f"{sizes} == {known.source}")

    def _expression(self, axis: Axis, names: Names) -> str:
        """The source of `2*hidden` over the names known here; jaxtyping's own rules apply if a `{...}` is not an int."""
        values: Bindings = []

        def replace(match: re.Match[str]) -> str:
            path, word = match["path"], match["word"]
            if path is not None:
                head, dot, rest = path.strip().partition(".")
                values.append((self._source.fresh("value"), f"{self.filled.get(head, head)}{dot}{rest}"))
                return values[-1][0]
            if keyword.iskeyword(word):
                return word
            return self._size_of(word, axis, names)

        source = _WORD_OR_PLACEHOLDER.sub(replace, axis.name)
        if not values:
            return source
        whole = self._source.constant(_WHOLE, "whole")
        ints = " and ".join(f"{self._source.isinstance}(({name} := {path}), {whole})" for name, path in values)
        paths = ", ".join(path for _, path in values)
        sizes = ", ".join(f"{name!r}: {known.source}" for name, known in names.sizes.items())
        text = self._source.constant(axis.name, "text")
        return f"({source}) if {ints} else {PREFIX}evaluate({text}, ({paths},), {{{sizes}}})"

    def _size_of(self, word: str, axis: Axis, names: Names) -> str:
        known = names.sizes.get(word)
        text = self._source.constant(axis.text, "text")
        if known is None:
            if hasattr(builtins, word):
                return self._source.python(word)
            self.unbound.append((axis.text, word, self._known.is_certain))
            return f"{PREFIX}unbound({self._source.constant(word, 'name')}, {text})"
        if known.optional:
            return f"{PREFIX}bound({known.source}, {self._source.constant(word, 'name')}, {text})"
        return f"({known.source})"


def _name_to_solve(axis: Axis, names: Names) -> str | None:
    """The one name without a certain size in an expression, if the expression is linear in it."""
    unknown = unknown_names(axis.name, names.sizes) or unknown_names(axis.name, names.certain)
    plain = _WORD_OR_PLACEHOLDER.sub(lambda match: match["word"] or "0", axis.name)
    return unknown[0] if len(unknown) == 1 and linear(plain, unknown[0]) is not None else None


def _names_perhaps_to_solve(axis: Axis, names: Names) -> list[str]:
    """The names that may be bound before, if each may be the only one that is not and the expression is linear in it."""
    unknown = unknown_names(axis.name, names.certain)
    is_plain = "{" not in axis.name and all(name in names.sizes for name in unknown)
    return unknown if is_plain and all(linear(axis.name, name) is not None for name in unknown) else []


def _exceptions(size: str, unknown: bool, broadcast: bool) -> str:
    """The sizes that always fit: an unknown size, and 1 if the axis broadcasts."""
    return (f"{size} is None or " if unknown else "") + (f"{size} == 1 or " if broadcast else "")


def _turn(axis: Axis, names: Names) -> tuple[int, int]:
    """The order of checking an axis: another axis of the same tensor may bind the name that an expression lacks."""
    is_expression = axis.kind is Kind.EXPRESSION
    return (turn(axis.name, names.certain), turn(axis.name, names.sizes)) if is_expression else (0, 0)


def _is_number(source: str) -> bool:
    return source.lstrip("-").isdigit()


def _means_one_shape(axes: tuple[Axis, ...]) -> bool:
    """Returns True if two tensors with these axes, in one call, must have equal shapes."""
    return bool(axes) and all(axis.kind in (Kind.NAME, Kind.SIZE) and not axis.broadcast for axis in axes)


def _slice(shape: str, lead: int, trail: int) -> str:
    if not lead and not trail:
        return shape
    return f"{shape}[{lead or ''}:{-trail if trail else ''}]"
