"""Keeps the axes of what each statement of the user's functions assigns or returns, while a model runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from types import FrameType
from typing import Any, Self

from torch import Tensor

from dimtyped.flow.axes import Axis
from dimtyped.flow.interpreter import Flow
from dimtyped.flow.shapes.statements import FunctionSource, Sources, Statement
from dimtyped.names import is_scope, scope_of
from dimtyped.runtime import Places

Key = tuple[str, int]
"""A file, and the first line of a statement."""
Variable = tuple[str, int, str]
"""A file, the first line of a statement, and the variable that it assigns; no name for what it returns."""


class ShapeRecorder:
    """A context in which each line of the user's functions is followed.

    Args:
        flow: Knows the axes of tensors.
        skip: Packages whose lines are not the user's.

    Attributes:
        functions: The functions that ran, by file and first line.
        shapes: The texts of each statement's shapes: more than one if it ran with several.
        variables: The same for each variable alone, and for each parameter at the line of the `def`.
    """

    def __init__(self, flow: Flow, skip: Iterable[str] = ()) -> None:
        self.functions: dict[Key, FunctionSource] = {}
        self.shapes: dict[Key, list[str]] = {}
        self.variables: dict[Variable, list[str]] = {}
        self._flow = flow
        self._places = Places(skip)
        self._sources = Sources()
        self._before: dict[FrameType, Statement] = {}
        self._previous: Any = None

    def __enter__(self) -> Self:
        """Begins to follow; a debugger's own trace function waits meanwhile."""
        self._previous = sys.gettrace()
        sys.settrace(self._enter_frame)
        return self

    def __exit__(self, *error: object) -> None:
        """Ends it."""
        sys.settrace(self._previous)
        self._before.clear()

    def _enter_frame(self, frame: FrameType, event: str, _: Any) -> Any:
        if event != "call" or not self._places.is_users(frame.f_code):
            return None
        function = self._sources.of(frame.f_code)
        if function is None:
            return None
        file = frame.f_code.co_filename
        self.functions[file, function.first] = function
        given = [(name, frame.f_locals.get(name)) for name in function.parameters]
        names = _declared(frame)
        self._keep((file, function.first), given, names, named=True)
        annotated = {name: frame.f_locals.get(name) for name in function.annotated}

        def follow(frame: FrameType, event: str, value: Any) -> Any:
            if event in ("line", "return"):
                self._leave_statement(frame, file, function, event, value, names)
            if event == "return":  # only now: annotations give their names after the call has begun
                for name, given in annotated.items():
                    self._keep_alone((file, function.first, name), self._text(given, names))
            return follow

        return follow

    def _leave_statement(
        self,
        frame: FrameType,
        file: str,
        function: FunctionSource,
        event: str,
        value: Any,
        names: Mapping[str, int],
    ) -> None:
        """Keeps what the statement before assigned, once another one begins or the function returns."""
        current = function.lines.get(frame.f_lineno)
        before = self._before.get(frame)
        if event == "return":
            self._before.pop(frame, None)
            if current is not None and current.is_return and before is current:
                self._keep((file, current.line), [("", value)], names, named=False)
        elif current is before and current is not None and frame.f_lineno != current.line:
            return  # another line of the same statement
        elif current is not None:
            self._before[frame] = current
        if before is not None and before.targets:
            known = frame.f_locals
            values = [(name, known.get(name)) for name in before.targets]
            self._keep((file, before.line), values, names, named=len(before.targets) > 1)

    def _keep(self, key: Key, values: Iterable[tuple[str, Any]], names: Mapping[str, int], *, named: bool) -> None:
        alike: dict[str, list[str]] = {}
        for name, value in values:
            shape = self._text(value, names)
            alike.setdefault(shape, []).append(name)
            self._keep_alone((*key, name), shape)
        alike.pop("", None)
        text = ", ".join(f"{', '.join(same)}: {shape}" if named else shape for shape, same in alike.items())
        found = self.shapes.setdefault(key, []) if text else []
        if text and text not in found:
            found.append(text)

    def _keep_alone(self, variable: Variable, shape: str) -> None:
        found = self.variables.setdefault(variable, []) if shape else []
        if shape and shape not in found:
            found.append(shape)

    def _text(self, value: Any, names: Mapping[str, int]) -> str:
        shapes = [[_axis_text(axis, names) for axis in self._flow.axes_of(tensor)] for tensor in _tensors(value)]
        texts = [f"({', '.join(axes)})" for axes in shapes]
        if len(set(texts)) == 1 and len(texts) > 1:
            return f"{len(texts)} x {texts[0]}"
        return ", ".join(texts)


def _declared(frame: FrameType) -> Mapping[str, int]:
    """The sizes that the module of a method declares, by name."""
    owner: Any = frame.f_locals.get("self")
    return scope_of(owner).names if is_scope(owner) else {}


def _axis_text(axis: Axis, names: Mapping[str, int]) -> str:
    """The name of an axis, or its size where it has none.

    A piece of an axis has the declared name that its number has, as `heads` and `embed//heads` have.
    """
    if len(axis.factors) != 1 or axis.factors[0].is_whole or not axis.is_named:
        return str(axis) if axis.has_name else str(axis.size)
    (piece,) = axis.factors
    own = _name_of(piece.size, names)
    if own:
        return own
    outer = _name_of(piece.dimension.size // piece.size, names) if piece.stride == 1 else ""
    return f"{piece.dimension.name}//{outer}" if outer else str(axis)


def _name_of(size: int, names: Mapping[str, int]) -> str:
    """The only declared name of a size; empty if none or several have it."""
    found = [name for name, each in names.items() if each == size and name.isidentifier()]
    return found[0] if len(found) == 1 else ""


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a value, and in the tuples and lists of it."""
    if isinstance(value, Tensor):
        if not value.is_nested:
            yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
