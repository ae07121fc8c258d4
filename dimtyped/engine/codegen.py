"""Hints as Python source: the conditions a value must meet, and the names that it binds.

The writer keeps what is known of each name where it stands: `bound` (a Python expression holds its
size), `optional` (the expression may hold None) or nothing. A condition is a list of terms joined by `and`, in
the order in which jaxtyping checks: type, dtype, rank, leading axes, trailing axes, the variadic axis.
"""

from __future__ import annotations

import builtins
import functools
import itertools
import keyword
import operator
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch

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
    arrays_in,
    free_names,
    load,
)

_WHOLE = (int, torch.SymInt)
_WORD_OR_PLACEHOLDER = re.compile(r"\{(?P<path>.*?)\}|(?P<word>(?<![\w.])[^\W\d]\w*)")


@dataclass(frozen=True, slots=True)
class Known:
    """What a name is at a point of the source: an expression for its size, None-able if `optional`."""

    source: str
    optional: bool = False


@dataclass(slots=True)
class Names:
    """What is known at a point: sizes by name, runs of axes by `*name`, and whole shapes by their axes."""

    sizes: dict[str, Known] = field(default_factory=dict[str, Known])
    runs: dict[str, Known] = field(default_factory=dict[str, Known])
    shapes: dict[tuple[Axis, ...], str] = field(default_factory=dict[tuple[Axis, ...], str])

    def copy(self) -> Names:
        """These names, to be changed apart."""
        return Names(dict(self.sizes), dict(self.runs), dict(self.shapes))


class CheckCodegen:
    """Writes the checks of one function, line by line.

    Args:
        prefix: What every name of ours begins with, so that none is a parameter's.
        uses: How the tensor annotations use each name; one that only equal axes use needs no variable.
        joined: The `*name`s that broadcast somewhere, which a helper must join.
        keep_all: Whether every name must be at hand later on, though no annotation uses it again. Default: no.
        taken: The parameters' names: where one is Python's own, `len`, the source finds Python's under another.
        unchecked: For our own layers: how to call what is checked, for a tensor that torch takes and that has no shape.
    """

    def __init__(
        self,
        prefix: str,
        uses: Uses,
        joined: frozenset[str],
        keep_all: bool = False,
        unchecked: tuple[str, ...] = (),
        taken: Collection[str] = (),
    ) -> None:
        self.prefix = prefix
        self.unchecked = unchecked
        self.stage = ""
        self.names = Names()
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self.filled: dict[str, str] = {}  # what stands for a parameter that a call may leave out
        self.uses = uses
        self._joined = joined
        self._keep_all = keep_all
        self._taken = taken
        self._depth = 1
        self._loops = 0
        self._branches = 0
        self._counter = itertools.count()
        self.isinstance, self.len, self.tuple = (self.python(name) for name in ("isinstance", "len", "tuple"))

    # Lines ------------------------------------------------------------------------------------------------------------

    def write(self, *lines: str) -> None:
        """Adds lines at the current depth."""
        self.lines.extend(f"{'    ' * self._depth}{line}" for line in lines)

    @contextmanager
    def block(self, head: str) -> Generator[None]:
        """Writes `head` and what follows one level deeper."""
        self.write(head)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def constant(self, value: Any, kind: str) -> str:
        """The name under which the source finds this object."""
        for name, known in self.constants.items():
            if known is value:
                return name
        name = f"{self.prefix}{kind}{len(self.constants)}"
        self.constants[name] = value
        return name

    def python(self, name: str) -> str:
        """The name under which the source finds one of Python's own functions or classes."""
        return self.constant(getattr(builtins, name), "python") if name in self._taken else name

    def fresh(self, kind: str) -> str:
        """A variable that nothing else uses."""
        return f"{self.prefix}{kind}{next(self._counter)}"

    # Checks -----------------------------------------------------------------------------------------------------------

    def check(self, hint: Hint, value: str, fail: tuple[str, ...]) -> None:
        """Writes the check of `value`, the lines of `fail` where it does not fit."""
        match hint:
            case AnythingHint():
                return
            case TupleHint(items=items) if not self._is_flat(hint):
                self._check_tuple(items, value, fail)
            case UnionHint(options=options):
                self._check_union(options, value, fail)
            case ItemsHint():
                self._check_items(hint, value, fail)
            case MappingHint():
                self._check_mapping(hint, value, fail)
            case RecordHint(cls=cls, fields=fields):
                self._check_record(cls, fields, value, fail)
            case _:
                self._check_flat(hint, value, fail)

    @contextmanager
    def branch(self, head: str, hints: Iterable[Hint]) -> Generator[None]:
        """A block that may or may not run: what it binds is only optional bound after it."""
        before = self._open_branch(tuple(hints))
        with self.block(head):
            yield
        self._close_branch(before)

    @contextmanager
    def loop(self, head: str, hint: Hint) -> Generator[None]:
        """A block that runs any number of times: what one turn binds, the next one finds."""
        self._loops += 1
        before = self._open_branch((hint,))
        with self.block(head):
            yield
        self._loops -= 1
        self._close_branch(before)

    def _check_flat(self, hint: Hint, value: str, fail: tuple[str, ...]) -> None:
        names = self.names.copy()
        terms, bindings = self.terms(hint, value, names)
        if not terms:
            return
        condition = " and ".join(terms)
        if self._evaluates(hint):
            verdict = self.fresh("fits")
            with self.block("try:"):
                self.write(f"{verdict} = {condition}")
            error = self.fresh("error")
            declaration = f"({self.python('NameError')}, {self.prefix}DeclarationError)"
            with self.block(f"except {declaration} as {error}:"):
                self.write(f"raise {self.prefix}unevaluable({self.prefix}entry, {error}) from None")
            with self.block(
                f"except {self.python('Exception')}:"
            ):  # such as a division by a size of 0: then no size fits
                self.write(f"{verdict} = False")
            condition = verdict
        elif self.unchecked and isinstance(hint, ArrayHint):
            condition = self._judge(condition, value)
        with self.block(f"if not ({condition}):"):
            self.write(*fail)
        self.names = names
        self._bind(bindings)

    def _judge(self, condition: str, value: str) -> str:
        """The condition in a variable; a ragged tensor, which has no shape, leaves the check. Trying costs nothing."""
        verdict = self.fresh("fits")
        with self.block("try:"):
            self.write(f"{verdict} = {condition}")
        with self.block(f"except {self.python('RuntimeError')}:"):
            with self.block(f"if not {self.prefix}is_ragged({value}):"):
                self.write("raise")
            self.write(*self.unchecked)
        return verdict

    def _check_tuple(self, items: tuple[Hint, ...], value: str, fail: tuple[str, ...]) -> None:
        with self.block(f"if not ({self.isinstance}({value}, {self.tuple}) and {self.len}({value}) == {len(items)}):"):
            self.write(*fail)
        for index, item in enumerate(items):
            if not isinstance(item, AnythingHint):
                part = self.fresh("item")
                self.write(f"{part} = {value}[{index}]")
                self.check(item, part, fail)

    def _check_union(self, options: tuple[Hint, ...], value: str, fail: tuple[str, ...]) -> None:
        if any(isinstance(option, AnythingHint) for option in options):
            return
        before = self._open_branch(options)
        if all(self._is_flat(option) and not self._evaluates(option) for option in options):
            self._choose_flat(options, value, fail, before)
        elif any(_is_none(option) for option in options):
            with self.block(f"if {value} is not None:"):
                self._choose(tuple(option for option in options if not _is_none(option)), value, fail, before)
        else:
            self._choose(options, value, fail, before)
        self._close_branch(before)

    def _choose_flat(self, options: tuple[Hint, ...], value: str, fail: tuple[str, ...], before: Names) -> None:
        head = "if"
        for option in sorted(options, key=_is_none, reverse=True):  # None first: the cheapest to see, and no tensor
            self.names = before.copy()
            terms, bindings = self.terms(option, value, self.names)
            with self.block(f"{head} {' and '.join(terms)}:"):
                self._bind(bindings)
                self.write("pass") if not bindings else None
            head = "elif"
        with self.block("else:"):
            self.write(*fail)

    def _choose(self, options: tuple[Hint, ...], value: str, fail: tuple[str, ...], before: Names) -> None:
        found = self.fresh("found")
        self.write(f"{found} = False")
        bindable = dict.fromkeys(name for option in options for name in _bound_names(option))
        variables = "".join(f"{self.variable(name)}, " for name in bindable if self._is_open(name))
        kept = self.fresh("kept")
        if variables:
            self.write(f"{kept} = ({variables})")
        for index, option in enumerate(options):
            self.names = before.copy()
            with self.block(f"if not {found}:"), self.block(f"for {self.fresh('once')} in (0,):"):
                if index and variables:  # what the option before has bound on its way to the failure
                    self.write(f"{variables}= {kept}")
                self.check(option, value, ("break",))
                self.write(f"{found} = True")
        with self.block(f"if not {found}:"):
            self.write(*fail)

    def _is_open(self, name: str) -> bool:
        known = self._known(name)
        return known is not None and known.optional

    def _check_items(self, hint: ItemsHint, value: str, fail: tuple[str, ...]) -> None:
        with self.block(f"if not {self.isinstance}({value}, {self.constant(hint.cls, 'class')}):"):
            self.write(*fail)
        collection = self.constant(Collection, "class")
        values = f"({value} if {self.isinstance}({value}, {collection}) else ())" if hint.if_collection else value
        self._check_each(values, ((hint.item, self.fresh("item")),), fail)

    def _check_mapping(self, hint: MappingHint, value: str, fail: tuple[str, ...]) -> None:
        with self.block(f"if not {self.isinstance}({value}, {self.constant(hint.cls, 'class')}):"):
            self.write(*fail)
        pairs = ((hint.key, self.fresh("key")), (hint.value, self.fresh("value")))
        self._check_each(f"{value}.items()", pairs, fail)

    def _check_each(self, values: str, parts: tuple[tuple[Hint, str], ...], fail: tuple[str, ...]) -> None:
        if all(isinstance(hint, AnythingHint) for hint, _ in parts):
            return
        misfit = self.fresh("misfit")
        leaves = fail[-1].split()[0] in ("return", "raise")  # then the loop need not be left by hand
        inner = fail if leaves else (f"{misfit} = True", "break")
        if not leaves:
            self.write(f"{misfit} = False")
        whole = TupleHint(None, tuple(hint for hint, _ in parts))
        with self.loop(f"for {', '.join(name for _, name in parts)} in {values}:", whole):
            for hint, name in parts:
                self.check(hint, name, inner)
        if not leaves:
            with self.block(f"if {misfit}:"):
                self.write(*fail)

    def _check_record(self, cls: type, fields: tuple[tuple[str, Hint], ...], value: str, fail: tuple[str, ...]) -> None:
        with self.block(f"if not {self.isinstance}({value}, {self.constant(cls, 'class')}):"):
            self.write(*fail)
        for name, hint in fields:
            if not isinstance(hint, AnythingHint):
                part = self.fresh("field")
                self.write(f"{part} = {value}.{name}")
                self.check(hint, part, fail)

    # Terms ------------------------------------------------------------------------------------------------------------

    def terms(self, hint: Hint, value: str, names: Names) -> tuple[list[str], list[tuple[str, str]]]:
        """The terms of a flat hint and the variables to set once they hold; `names` learns what they bind."""
        match hint:
            case AnythingHint():
                return [], []
            case ArrayHint():
                return self._tensor_terms(hint, value, names)
            case ClassHint(cls=cls):
                is_none = cls is type(None)
                return [
                    f"{value} is None" if is_none else f"{self.isinstance}({value}, {self.constant(cls, 'class')})"
                ], []
            case BeartypeHint(annotation=annotation):
                bearable, wanted = self.constant(load(), "bearable"), self.constant(annotation, "hint")
                traced = f"{self.prefix}bearable_traced({value}, {wanted}) if {self.prefix}is_tracing()"
                return [f"({traced} else {bearable}({value}, {wanted}))"], []
            case TupleHint(items=items):
                return self._tuple_terms(items, value, names)
            case _:
                raise AssertionError(f"{hint} is not flat")

    def _tuple_terms(
        self, items: tuple[Hint, ...], value: str, names: Names
    ) -> tuple[list[str], list[tuple[str, str]]]:
        terms = [f"{self.isinstance}({value}, {self.tuple})", f"{self.len}({value}) == {len(items)}"]
        bindings: list[tuple[str, str]] = []
        for index, item in enumerate(items):
            if isinstance(item, ArrayHint):
                local = self.fresh("item")
                more, bound = self._tensor_terms(item, local, names, first=f"({local} := {value}[{index}])")
            else:
                more, bound = self.terms(item, f"{value}[{index}]", names)
            terms += more
            bindings += bound
        return terms, bindings

    def _tensor_terms(
        self, hint: ArrayHint, value: str, names: Names, first: str = ""
    ) -> tuple[list[str], list[tuple[str, str]]]:
        terms = [f"{self.isinstance}({first or value}, {self.constant(hint.array_type, 'class')})"]
        if hint.dtypes is not None:
            dtype = f"{value}.data.dtype" if hint.packed else f"{value}.dtype"
            terms.append(f"{dtype} in {self.constant(hint.dtypes, 'dtypes')}")
        whole = f"{self.prefix}packed_shape({value})" if hint.packed else f"{value}.shape"
        if hint.axes in names.shapes and not hint.packed:
            return [*terms, f"{whole} == {names.shapes[hint.axes]}"], []
        if len(hint.axes) == 1 and hint.axes[0] == Axis(Kind.ANY, "...", many=True):
            return terms, []
        shape = self.fresh("shape")
        many = hint.variadic
        if many is None:
            terms.append(f"{self.len}({shape} := {whole}) == {len(hint.axes)}")
        else:
            terms.append(self._at_least(len(hint.axes) - 1, f"({shape} := {whole})"))
        bindings = self._axis_terms(hint, shape, names, terms)
        if not hint.packed and _means_one_shape(hint.axes) and self._joined.isdisjoint(_runs(hint.axes)):
            names.shapes[hint.axes] = shape
        return terms, bindings

    def _at_least(self, count: int, shape: str) -> str:
        """That a shape has so many axes; that it has one is asked most, and this is the fastest way."""
        match count:
            case 0:
                return f"{shape} is not None"
            case 1:
                return shape
            case _:
                return f"{self.len}({shape}) >= {count}"

    def _axis_terms(self, hint: ArrayHint, shape: str, names: Names, terms: list[str]) -> list[tuple[str, str]]:
        many = hint.variadic
        count = len(hint.axes)
        lead = count if many is None else many
        bindings: list[tuple[str, str]] = []
        for index, axis in enumerate(hint.axes[:lead]):
            unknown = hint.packed and index == 0  # the batch of a PackedSequence may be None inside a trace
            self._size_terms(axis, f"{shape}[{index}]", names, terms, bindings, unknown=unknown)
        if many is not None:
            for index in range(many + 1, count):
                self._size_terms(hint.axes[index], f"{shape}[{index - count}]", names, terms, bindings)
            self._run_terms(hint.axes[many], _slice(shape, many, count - many - 1), names, terms, bindings)
        return bindings

    def _size_terms(
        self,
        axis: Axis,
        size: str,
        names: Names,
        terms: list[str],
        bindings: list[tuple[str, str]],
        *,
        unknown: bool = False,
    ) -> None:
        one = _exceptions(size, unknown, axis.broadcast)
        if axis.kind is Kind.SIZE:
            terms.append(f"({one}{size} == {axis.size})" if one else f"{size} == {axis.size}")
        elif axis.kind is Kind.EXPRESSION:
            expression = self._expression(axis, names)
            terms.append(f"({one}{size} == ({expression}))" if one else f"{size} == ({expression})")
        elif axis.kind is Kind.NAME:
            self._name_terms(axis, size, names, terms, bindings, unknown)

    def _name_terms(
        self, axis: Axis, size: str, names: Names, terms: list[str], bindings: list[tuple[str, str]], unknown: bool
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
        if self._needs_variable(axis.name):
            bindings.append((axis.name, source))

    def _run_terms(self, axis: Axis, run: str, names: Names, terms: list[str], bindings: list[tuple[str, str]]) -> None:
        if axis.kind is Kind.ANY:
            return
        known = names.runs.get(axis.name)
        name = f"*{axis.name}"
        if axis.name in self._joined:
            joined = self.fresh("joined")
            before = known.source if known is not None else "None"
            terms.append(f"({joined} := {self.prefix}join({before}, {axis.broadcast}, {run})) is not None")
            names.runs[axis.name] = Known(joined)
            bindings.append((name, joined))
        elif known is None or known.optional:
            if known is not None:
                terms.append(f"({known.source} is None or {run} == {known.source})")
            names.runs[axis.name] = Known(run)
            if self._needs_variable(name):
                bindings.append((name, run))
        else:
            terms.append(f"{run} == {known.source}")

    def _expression(self, axis: Axis, names: Names) -> str:
        """`2*hidden` over what is known here; jaxtyping's own rules where a `{...}` is no int."""
        values: list[tuple[str, str]] = []

        def replace(match: re.Match[str]) -> str:
            path, word = match["path"], match["word"]
            if path is not None:
                head, dot, rest = path.strip().partition(".")
                values.append((self.fresh("value"), f"{self.filled.get(head, head)}{dot}{rest}"))
                return values[-1][0]
            if keyword.iskeyword(word):
                return word
            return self._size_of(word, axis, names)

        source = _WORD_OR_PLACEHOLDER.sub(replace, axis.name)
        if not values:
            return source
        whole = self.constant(_WHOLE, "whole")
        ints = " and ".join(f"{self.isinstance}(({name} := {path}), {whole})" for name, path in values)
        paths = ", ".join(path for _, path in values)
        sizes = ", ".join(f"{name!r}: {known.source}" for name, known in names.sizes.items())
        text = self.constant(axis.name, "text")
        return f"({source}) if {ints} else {self.prefix}evaluate({text}, ({paths},), {{{sizes}}})"

    def _size_of(self, word: str, axis: Axis, names: Names) -> str:
        known = names.sizes.get(word)
        text = self.constant(axis.text, "text")
        if known is None:
            if hasattr(builtins, word):
                return self.python(word)
            return f"{self.prefix}unbound({self.constant(word, 'name')}, {text})"
        if known.optional:
            return f"{self.prefix}bound({known.source}, {self.constant(word, 'name')}, {text})"
        return f"({known.source})"

    # Names ------------------------------------------------------------------------------------------------------------

    def variable(self, name: str) -> str:
        """The variable that holds a name's size, or the sizes of a `*name`."""
        return f"{self.prefix}{self.stage}{'run' if name.startswith('*') else 'dim'}_{name.lstrip('*')}"

    def _needs_variable(self, name: str) -> bool:
        """Whether its source is worth a variable, or would not be there any more where it is read."""
        if self._branches:
            return self._keep_all or self._loops > 0 or self.uses[name].most > 1
        return len(self.uses[name].axes) > 1

    def _bind(self, bindings: list[tuple[str, str]]) -> None:
        for name, source in bindings:
            variable = self.variable(name)
            self.write(f"{variable} = {source}")
            known = self.names.runs if name.startswith("*") else self.names.sizes
            known[name.lstrip("*")] = Known(variable, known[name.lstrip("*")].optional)

    def _open_branch(self, hints: tuple[Hint, ...]) -> Names:
        """Before a block that may not run: a variable for each name that it may bind, None where nothing has yet."""
        before = self.names
        self._branches += 1
        self.names = before.copy()
        for name in dict.fromkeys(name for hint in hints for name in _bound_names(hint)):
            if not self._needs_variable(name):
                continue
            known = self._known(name)
            variable = self.variable(name)
            if known is None or (known.optional and known.source != variable):
                self.write(f"{variable} = {known.source if known is not None else None}")
                for names in (before, self.names):
                    (names.runs if name.startswith("*") else names.sizes)[name.lstrip("*")] = Known(
                        variable, optional=True
                    )
        return self.names.copy()

    def _known(self, name: str) -> Known | None:
        return self.names.runs.get(name[1:]) if name.startswith("*") else self.names.sizes.get(name)

    def _close_branch(self, before: Names) -> None:
        """After it: what was unknown before is only optional known now."""
        self._branches -= 1
        self.names = before

    def _evaluates(self, hint: Hint) -> bool:
        from_axes = isinstance(hint, ArrayHint) and any(axis.kind is Kind.EXPRESSION for axis in hint.axes)
        return from_axes or (isinstance(hint, TupleHint) and any(self._evaluates(item) for item in hint.items))

    def _is_flat(self, hint: Hint) -> bool:
        """Whether one condition can say it."""
        if isinstance(hint, TupleHint):
            return all(self._is_flat(item) for item in hint.items)
        return isinstance(hint, AnythingHint | ArrayHint | ClassHint | BeartypeHint)


@dataclass(slots=True)
class Use:
    """How the tensor annotations use one name.

    Attributes:
        axes: The different axes that they have. Equal axes are compared as one shape; those of what may be None do not
            count, for most calls leave it out.
        most: In how many annotations of one call it may stand: of a union's options only one counts.
    """

    axes: set[tuple[Axis, ...]] = field(default_factory=set[tuple[Axis, ...]])
    most: int = 0


Uses: TypeAlias = Mapping[str, Use]


def count_uses(hints: Collection[Hint]) -> tuple[Uses, frozenset[str]]:
    """How the tensor annotations use each name, and which `*name`s broadcast somewhere."""
    uses: defaultdict[str, Use] = defaultdict(Use)
    joined: set[str] = set()
    for array in (array for hint in hints for array in arrays_in(hint)):
        joined.update(axis.name for axis in array.axes if axis.many and axis.broadcast)
    for array in (array for hint in hints if not _may_be_none(hint) for array in arrays_in(hint)):
        for name in _uses_of(array):
            uses[name].axes.add(array.axes)
    for name, count in sum(map(_most_uses, hints), Counter[str]()).items():
        uses[name].most = count
    return uses, frozenset(joined)


def reads_text(hints: Iterable[Hint]) -> bool:
    """Whether an axis reads a value, `{self.width}`: it may be a text, `"seq+1"`, and need any name bound before it."""
    return any(
        axis.kind is Kind.EXPRESSION and "{" in axis.name
        for hint in hints
        for array in arrays_in(hint)
        for axis in array.axes
    )


def _most_uses(hint: Hint) -> Counter[str]:
    """In how many annotations of this hint each name stands at most, whichever option of a union holds."""
    match hint:
        case UnionHint(options=options):
            return functools.reduce(operator.or_, map(_most_uses, options), Counter[str]())
        case TupleHint(items=items):
            return sum(map(_most_uses, items), Counter[str]())
        case _:
            return Counter(name for array in arrays_in(hint) for name in _uses_of(array))


def _uses_of(array: ArrayHint) -> set[str]:
    runs = {f"*{name}" for name in _runs(array.axes)}
    singles = {axis.name for axis in array.axes if axis.kind is Kind.NAME and not axis.many}
    inside = set(free_names(array)) if any(axis.kind is Kind.EXPRESSION for axis in array.axes) else set[str]()
    return runs | singles | inside


def _exceptions(size: str, unknown: bool, broadcast: bool) -> str:
    """The sizes that fit whatever is wanted: one that nobody knows, and 1 where that broadcasts."""
    return (f"{size} is None or " if unknown else "") + (f"{size} == 1 or " if broadcast else "")


def _is_none(hint: Hint) -> bool:
    return isinstance(hint, ClassHint) and hint.cls is type(None)


def _may_be_none(hint: Hint) -> bool:
    return isinstance(hint, UnionHint) and any(map(_is_none, hint.options))


def _bound_names(hint: Hint) -> list[str]:
    """The names that checking this hint may bind, `*name` for runs."""
    return [
        f"*{axis.name}" if axis.many else axis.name
        for array in arrays_in(hint)
        for axis in array.axes
        if axis.kind is Kind.NAME
    ]


def _runs(axes: tuple[Axis, ...]) -> list[str]:
    return [axis.name for axis in axes if axis.many and axis.kind is Kind.NAME]


def _means_one_shape(axes: tuple[Axis, ...]) -> bool:
    """Whether two tensors with these axes, in one call, must have equal shapes."""
    return bool(axes) and all(axis.kind in (Kind.NAME, Kind.SIZE) and not axis.broadcast for axis in axes)


def _slice(shape: str, lead: int, trail: int) -> str:
    if not lead and not trail:
        return shape
    return f"{shape}[{lead or ''}:{-trail if trail else ''}]"
