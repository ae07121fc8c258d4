"""The sizes that a call does not bind, read when its check starts: from attributes, and from the module's scope."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dimtyped.annotations import arrays_in, free_names, path_source
from dimtyped.engine.check_plan import CheckPlan
from dimtyped.engine.known_names import Known
from dimtyped.engine.source import SourceWriter
from dimtyped.names import ATTRIBUTE, KEYED_SIZES, ambiguous_names, is_watched, scope_key_names
from dimtyped.runtime import CHECKED_NAME, PREFIX


class DeclaredSizes:
    """Writes the lines that read the declared sizes.

    Args:
        plan: The data that the check is written from.
        source: The writer that collects the lines.
        variable: Returns the variable of a name.
        leave: Writes the call of another check, whose source it takes, in place of this one.
    """

    def __init__(
        self, plan: CheckPlan, source: SourceWriter, variable: Callable[[str], str], leave: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._source = source
        self._variable = variable
        self._leave = leave
        self._owner = ""
        self._parts: dict[str, str] = {}
        self._used = _used_names(plan)

    def write(self) -> dict[str, Known]:
        """Writes it, and returns the source of each size."""
        signature, scope_key = self._plan.signature, self._plan.scope_key
        sizes = {name: Known(str(size)) for name, size in signature.fixed.items()}
        owner = signature.parameters[0].name if signature.parameters else ""
        self._owner = owner
        self._read_parts(signature.attributes)
        used = ((name, path) for name, path in signature.attributes.items() if name in self._used)
        sizes.update((name, Known(self.read(path))) for name, path in used)
        if scope_key is not None:
            sizes.update(self._read_scope(owner, scope_key))
        elif self._plan.may_be_method:
            self._look_for_scope(owner)
        return sizes

    def read(self, path: str) -> str:
        """The source that reads an attribute of the owner, from a part that is already read if there is one."""
        if "{self}" in path:
            return path_source(path, self._owner)
        part, _, attribute = path.rpartition(".")
        if path in self._parts:
            return self._parts[path]
        return f"{self._parts[part]}.{attribute}" if part in self._parts else f"{self._owner}.{path}"

    def _read_parts(self, attributes: Mapping[str, str]) -> None:
        """Reads each part of the owner that several conditions or sizes use, once."""
        asked = {path for when, *_ in self._plan.forms if when is not None for path in when.paths}
        asked |= {path.rpartition(".")[0] for path in asked}
        for part in dict.fromkeys(path.rpartition(".")[0] for path in attributes.values()):
            if part and part in asked:
                source = self.read(part)
                self._parts[part] = self._source.fresh("part")
                self._source.write(f"{self._parts[part]} = {source}")

    def _read_scope(self, owner: str, scope_key: str) -> dict[str, Known]:
        source, keyed_sizes = self._source, f"{PREFIX}keyed_sizes"
        if is_watched(scope_key):
            self._read_watched(owner, keyed_sizes)
        else:
            with source.block("try:"):
                source.write(f"{keyed_sizes} = {owner}.{KEYED_SIZES}")
            with source.block(f"except {source.python('AttributeError')}:"):
                source.write(f"{keyed_sizes} = {PREFIX}missing_scope({owner}).keyed_sizes")
        with source.block(f"if {keyed_sizes}[0] != {scope_key!r}:"):
            source.write(f"{PREFIX}specialization = {PREFIX}prepare_specialization({keyed_sizes}[0])")
            self._leave_to_specialization()
        self._reject_ambiguous(owner, scope_key)
        found: dict[str, Known] = {}
        for index, name in enumerate(scope_key_names(scope_key), start=1):
            if name in self._used and name not in self._plan.signature.fixed:
                source.write(f"{self._variable(name)} = {keyed_sizes}[{index}]")
                found[name] = Known(self._variable(name))
        return found

    def _read_watched(self, owner: str, keyed_sizes: str) -> None:
        """Reads the names of a module that does not report its changes: it asks its scope for them."""
        source, scope = self._source, f"{PREFIX}scope"
        with source.block("try:"):
            source.write(f"{scope} = {owner}.{ATTRIBUTE}")
        with source.block(f"except {source.python('AttributeError')}:"):
            source.write(f"{scope} = {PREFIX}missing_scope({owner})")
        # a trace must not ask: it would guard the module's identity, and compile each block of a model anew
        asks = f"not {PREFIX}is_dynamo_compiling() and {scope}.has_changed()"
        with source.block(f"if {asks} and {PREFIX}see_changes({CHECKED_NAME}, {owner}):"):
            source.write(f"{scope} = {owner}.{ATTRIBUTE}")
        source.write(f"{keyed_sizes} = {scope}.keyed_sizes")

    def _reject_ambiguous(self, owner: str, scope_key: str) -> None:
        """A name that could mean more than one size is an error, unless the module has changed unnoticed."""
        for name in (name for name in ambiguous_names(scope_key) if name in self._used):
            with self._source.block(f"if {PREFIX}is_ambiguous({owner}, {name!r}):"):
                self._source.write(f"raise {PREFIX}ambiguous({CHECKED_NAME}, {owner}, {name!r})")
            self._leave(f"{CHECKED_NAME}.wrapper")

    def _look_for_scope(self, owner: str) -> None:
        source = self._source
        with source.block(f"if {source.isinstance}({owner}, {PREFIX}Module):"):
            scope_key = f"*{PREFIX}scope_key_of({CHECKED_NAME}, ({owner},))"
            source.write(f"{PREFIX}specialization = {PREFIX}specialization_for({scope_key})")
            with source.block(f"if {PREFIX}specialization is not None:"):
                self._leave_to_specialization()

    def _leave_to_specialization(self) -> None:
        self._leave(f"{self._source.python('getattr')}({CHECKED_NAME}.specializations, {PREFIX}specialization)")


def _used_names(plan: CheckPlan) -> tuple[str, ...]:
    """The names whose declared sizes the check needs."""
    if plan.is_off:
        return ()
    hints = [hint for signature in plan.signatures for hint in signature.hints]
    used = dict.fromkeys(name for hint in hints for array in arrays_in(hint) for name in free_names(array))
    if plan.exports_names and plan.scope_key is not None:  # `assert_dims` may use the names that the module declares
        words = plan.scope_key.split()
        used.update(dict.fromkeys(name for name in scope_key_names(plan.scope_key) if name in words))
    return tuple(used)
