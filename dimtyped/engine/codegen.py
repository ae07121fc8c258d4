"""Hints as Python source: statements that check a value, and set the names that it binds."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeVar

from dimtyped.annotations import (
    AnythingHint,
    ArrayHint,
    BeartypeHint,
    ClassHint,
    Hint,
    ItemsHint,
    Kind,
    MappingHint,
    RecordHint,
    TupleHint,
    UnionHint,
    parts_in_order,
)
from dimtyped.engine.conditions import Conditions
from dimtyped.engine.known_names import KnownNames, Names
from dimtyped.engine.name_uses import Uses, bound_names, is_none
from dimtyped.engine.source import SourceWriter
from dimtyped.runtime import CHECKED_NAME, PREFIX

T = TypeVar("T")


class CheckCodegen:
    """Writes the checks of one function.

    Args:
        uses: How the tensor annotations use each name; one that only equal axes use needs no variable.
        broadcast: The `*name`s that broadcast somewhere, whose sizes a helper must compare.
        keep_all: True if every name must stay available, even if no annotation uses it again. Default: False.
        taken: The parameters' names, which the source must not use for anything else.
    """

    def __init__(
        self, uses: Uses, broadcast: frozenset[str], *, keep_all: bool = False, taken: Collection[str] = ()
    ) -> None:
        self.source = SourceWriter(taken)
        self.known = KnownNames(self.source, uses, keep_all=keep_all)
        self.conditions = Conditions(self.source, self.known, broadcast)
        self.unchecked: tuple[str, ...] = ()  # lines that leave the check, for a tensor that has no shape

    def check(self, hint: Hint, value: str, fail: tuple[str, ...]) -> None:
        """Writes the check of `value`; the lines of `fail` run if it does not fit."""
        match hint:
            case AnythingHint():
                return
            case TupleHint(items=items) if not _is_flat(hint):
                self._check_tuple(items, value, fail)
            case UnionHint(options=options):
                self._check_union(options, value, fail)
            case ItemsHint():
                self._check_items(hint, value, fail)
            case MappingHint():
                self._check_mapping(hint, value, fail)
            case RecordHint():
                self._check_record(hint, value, fail)
            case _:
                self._check_flat(hint, value, fail)

    def _check_flat(self, hint: Hint, value: str, fail: tuple[str, ...]) -> None:
        names = self.known.current.copy()
        terms, bindings = self.conditions.terms(hint, value, names)
        if not terms:
            return
        condition = " and ".join(terms)
        if _evaluates(hint):
            verdict = self.source.fresh("fits")
            with self.source.block("try:"):
                self.source.write(f"{verdict} = {condition}")
            error = self.source.fresh("error")
            declaration = f"({self.source.python('NameError')}, {PREFIX}DeclarationError)"
            with self.source.block(f"except {declaration} as {error}:"):
                self.source.write(f"raise {PREFIX}unevaluable({CHECKED_NAME}, {error}) from None")
            # such as a division by a size of 0: then no size fits
            with self.source.block(f"except {self.source.python('Exception')}:"):
                self.source.write(f"{verdict} = False")
            condition = verdict
        elif self.unchecked and isinstance(hint, ArrayHint):
            condition = self._judge(condition, value)
        with self.source.block(f"if not ({condition}):"):
            self.source.write(*fail)
        self.known.current = names
        self.known.bind(bindings)

    def _judge(self, condition: str, value: str) -> str:
        """Puts the condition into a variable; a ragged tensor, which has no shape, leaves the check. A `try` costs nothing."""
        verdict = self.source.fresh("fits")
        with self.source.block("try:"):
            self.source.write(f"{verdict} = {condition}")
        with self.source.block(f"except {self.source.python('RuntimeError')}:"):
            with self.source.block(f"if not {PREFIX}is_ragged({value}):"):
                self.source.write("raise")
            self.source.write(*self.unchecked)
        return verdict

    def _check_tuple(self, items: tuple[Hint, ...], value: str, fail: tuple[str, ...]) -> None:
        source = self.source
        is_tuple = f"{source.isinstance}({value}, {source.tuple}) and {source.len}({value}) == {len(items)}"
        with source.block(f"if not ({is_tuple}):"):
            self.source.write(*fail)
        for index, item in self._in_order(enumerate(items)):
            if not isinstance(item, AnythingHint):
                part = self.source.fresh("item")
                self.source.write(f"{part} = {value}[{index}]")
                self.check(item, part, fail)

    def _check_union(self, options: tuple[Hint, ...], value: str, fail: tuple[str, ...]) -> None:
        if any(isinstance(option, AnythingHint) for option in options):
            return
        with self.known.alternatives(options) as before:
            if all(_is_flat(option) and not _evaluates(option) for option in options):
                self._choose_flat(options, value, fail, before)
            elif any(is_none(option) for option in options):
                others = tuple(option for option in options if not is_none(option))
                with self.source.block(f"if {value} is not None:"):
                    self._choose(others, value, fail, before)
            else:
                self._choose(options, value, fail, before)

    def _choose_flat(self, options: tuple[Hint, ...], value: str, fail: tuple[str, ...], before: Names) -> None:
        head = "if"
        for option in sorted(
            options, key=is_none, reverse=True
        ):  # None first: it is the cheapest test, and not a tensor
            self.known.current = before.copy()
            terms, bindings = self.conditions.terms(option, value, self.known.current)
            with self.source.block(f"{head} {' and '.join(terms)}:"):
                self.known.bind(bindings)
                self.source.write("pass") if not bindings else None
            head = "elif"
        with self.source.block("else:"):
            self.source.write(*fail)

    def _choose(self, options: tuple[Hint, ...], value: str, fail: tuple[str, ...], before: Names) -> None:
        found = self.source.fresh("found")
        self.source.write(f"{found} = False")
        bindable = dict.fromkeys(name for option in options for name in bound_names(option))
        variables = "".join(f"{self.known.variable(name)}, " for name in bindable if self.known.is_optional(name))
        kept = self.source.fresh("kept")
        if variables:
            self.source.write(f"{kept} = ({variables})")
        for index, option in enumerate(options):
            self.known.current = before.copy()
            with self.source.block(f"if not {found}:"), self.source.block(f"for {self.source.fresh('once')} in (0,):"):
                if index and variables:  # names that the previous option bound before it failed
                    self.source.write(f"{variables}= {kept}")
                self.check(option, value, ("break",))
                self.source.write(f"{found} = True")
        with self.source.block(f"if not {found}:"):
            self.source.write(*fail)

    def _check_items(self, hint: ItemsHint, value: str, fail: tuple[str, ...]) -> None:
        with self.source.block(f"if not {self.source.isinstance}({value}, {self.source.constant(hint.cls, 'class')}):"):
            self.source.write(*fail)
        collection = self.source.constant(Collection, "class")
        values = (
            f"({value} if {self.source.isinstance}({value}, {collection}) else ())" if hint.if_collection else value
        )
        self._check_each(values, ((hint.item, self.source.fresh("item")),), fail)

    def _check_mapping(self, hint: MappingHint, value: str, fail: tuple[str, ...]) -> None:
        with self.source.block(f"if not {self.source.isinstance}({value}, {self.source.constant(hint.cls, 'class')}):"):
            self.source.write(*fail)
        pairs = ((hint.key, self.source.fresh("key")), (hint.value, self.source.fresh("value")))
        self._check_each(f"{value}.items()", pairs, fail)

    def _check_each(self, values: str, parts: tuple[tuple[Hint, str], ...], fail: tuple[str, ...]) -> None:
        if all(isinstance(hint, AnythingHint) for hint, _ in parts):
            return
        mismatch = self.source.fresh("mismatch")
        leaves = fail[-1].split()[0] in ("return", "raise")  # then the loop needs no `break`
        inner = fail if leaves else (f"{mismatch} = True", "break")
        if not leaves:
            self.source.write(f"{mismatch} = False")
        whole = TupleHint(None, tuple(hint for hint, _ in parts))
        with self.known.loop(f"for {', '.join(name for _, name in parts)} in {values}:", whole):
            for hint, name in parts:
                self.check(hint, name, inner)
        if not leaves:
            with self.source.block(f"if {mismatch}:"):
                self.source.write(*fail)

    def _check_record(self, record: RecordHint, value: str, fail: tuple[str, ...]) -> None:
        cls = self.source.constant(record.cls, "class")
        with self.source.block(f"if not {self.source.isinstance}({value}, {cls}):"):
            self.source.write(*fail)
        for name, hint in self._in_order(record.fields):
            if not isinstance(hint, AnythingHint):
                part = self.source.fresh("field")
                self.source.write(f"{part} = {value}.get({name!r})" if record.has_keys else f"{part} = {value}.{name}")
                self.check(hint, part, fail)

    def _in_order(self, parts: Iterable[tuple[T, Hint]]) -> list[tuple[T, Hint]]:
        return parts_in_order(tuple(parts), self.known.current.certain, self.known.current.sizes)


def _evaluates(hint: Hint) -> bool:
    from_axes = isinstance(hint, ArrayHint) and any(axis.kind is Kind.EXPRESSION for axis in hint.axes)
    return from_axes or (isinstance(hint, TupleHint) and any(_evaluates(item) for item in hint.items))


def _is_flat(hint: Hint) -> bool:
    """Returns True if one condition can check the hint."""
    if isinstance(hint, TupleHint):
        return all(_is_flat(item) for item in hint.items)
    return isinstance(hint, AnythingHint | ArrayHint | ClassHint | BeartypeHint)
