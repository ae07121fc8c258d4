"""The known sizes of names at a point of a check's source."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field

from dimtyped.annotations import Axis, Hint
from dimtyped.engine.name_uses import Uses, bound_names
from dimtyped.engine.source import SourceWriter
from dimtyped.runtime import PREFIX


@dataclass(frozen=True, slots=True)
class Known:
    """A name at a point of the source: an expression for its size, which may be None if `optional`."""

    source: str
    optional: bool = False


@dataclass(slots=True)
class Names:
    """The names that are known at a point: sizes by name, several axes by `*name`, and whole shapes by their axes."""

    sizes: dict[str, Known] = field(default_factory=dict[str, Known])
    variadic: dict[str, Known] = field(default_factory=dict[str, Known])
    shapes: dict[tuple[Axis, ...], str] = field(default_factory=dict[tuple[Axis, ...], str])

    @property
    def certain(self) -> set[str]:
        """The names that have a size in every call."""
        return {name for name, known in self.sizes.items() if not known.optional}

    def copy(self) -> Names:
        """A copy that can change without changing this one."""
        return Names(dict(self.sizes), dict(self.variadic), dict(self.shapes))


class KnownNames:
    """Keeps the known size of each name while a check is written, and the variables that hold it.

    Args:
        source: Where the assignments are written.
        uses: How the tensor annotations use each name; one that only equal axes use needs no variable.
        keep_all: True if every name must stay available, even if no annotation uses it again.
    """

    def __init__(self, source: SourceWriter, uses: Uses, *, keep_all: bool) -> None:
        self.current = Names()
        self.stage = ""
        self.uses = uses
        self._source = source
        self._keep_all = keep_all
        self._loops = 0
        self._branches = 0

    @property
    def is_certain(self) -> bool:
        """True where every call comes."""
        return self._branches == 0

    @contextmanager
    def branch(self, head: str, hints: Iterable[Hint]) -> Generator[None]:
        """A block that may or may not run: the names that it binds are optional after it."""
        with self.alternatives(tuple(hints)), self._source.block(head):
            yield

    @contextmanager
    def loop(self, head: str, hint: Hint) -> Generator[None]:
        """A block that runs any number of times: a turn sees the names that the previous turn has bound."""
        self._loops += 1
        with self.alternatives((hint,)), self._source.block(head):
            yield
        self._loops -= 1

    @contextmanager
    def alternatives(self, hints: tuple[Hint, ...]) -> Generator[Names]:
        """Lines of which only some may run: the names they bind are optional after them. Yields the names known before."""
        before = self.current
        self._branches += 1
        self.current = before.copy()
        for name in dict.fromkeys(name for hint in hints for name in bound_names(hint)):
            if self.needs_variable(name):
                self._prepare_variable(name, (before, self.current))
        after = self.current.copy()
        yield after
        self._branches -= 1
        self.current = after

    def _prepare_variable(self, name: str, tables: tuple[Names, ...]) -> None:
        """Writes a variable for a name that may be bound; it is None if nothing has bound the name yet."""
        known = self._known(name)
        variable = self.variable(name)
        if known is None or (known.optional and known.source != variable):
            self._source.write(f"{variable} = {known.source if known is not None else None}")
            for names in tables:
                _table(names, name)[name.lstrip("*")] = Known(variable, optional=True)

    def variable(self, name: str) -> str:
        """The variable that holds a name's size, or the sizes of a `*name`."""
        return f"{PREFIX}{self.stage}{'variadic' if name.startswith('*') else 'dim'}_{name.lstrip('*')}"

    def needs_variable(self, name: str) -> bool:
        """Returns True if a later check reads the size of the name: it then needs a variable."""
        if self._branches:
            return self._keep_all or self._loops > 0 or self.uses[name].most > 1
        return len(self.uses[name].axes) > 1

    def bind(self, bindings: list[tuple[str, str]]) -> None:
        """Writes the variables of names that are bound here."""
        for name, source in bindings:
            variable = self.variable(name)
            self._source.write(f"{variable} = {source}")
            known = _table(self.current, name)
            known[name.lstrip("*")] = Known(variable, known[name.lstrip("*")].optional)

    def is_optional(self, name: str) -> bool:
        """Returns True for a name that may or may not be bound here."""
        known = self._known(name)
        return known is not None and known.optional

    def _known(self, name: str) -> Known | None:
        return _table(self.current, name).get(name.lstrip("*"))


def _table(names: Names, name: str) -> dict[str, Known]:
    return names.variadic if name.startswith("*") else names.sizes
