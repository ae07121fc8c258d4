"""Keeps the axes of what each statement of the user's functions assigns or returns, while a model runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import FrameType
from typing import Any, NamedTuple

from torch import Tensor

from dimtyped.flow.axes import Axis
from dimtyped.flow.interpreter import Flow
from dimtyped.flow.shapes.statement_tracer import StatementTracer
from dimtyped.flow.shapes.statements import FunctionSource, Statement
from dimtyped.names import is_scope, scope_of

Key = tuple[str, int]
"""A file, and the first line of a statement."""
Variable = tuple[str, int, str]
"""A file, the first line of a statement, and the variable that it assigns; no name for what it returns."""


class _Call(NamedTuple):
    """A call that is followed.

    Attributes:
        key: The function.
        names: The sizes that the module of a method declares, by name.
        annotated: The arguments whose parameters have an annotation.
    """

    key: Key
    names: Mapping[str, int]
    annotated: Mapping[str, Any]


class ShapeRecorder(StatementTracer):
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
        super().__init__(skip)
        self.functions: dict[Key, FunctionSource] = {}
        self.shapes: dict[Key, list[str]] = {}
        self.variables: dict[Variable, list[str]] = {}
        self._flow = flow

    def entered(self, frame: FrameType, function: FunctionSource, /) -> _Call:
        """Keeps the arguments that have no annotation."""
        key = frame.f_code.co_filename, function.first
        self.functions[key] = function
        given = [(name, frame.f_locals.get(name)) for name in function.parameters]
        names = _declared(frame)
        self._keep(key, given, names, named=True)
        return _Call(key, names, {name: frame.f_locals.get(name) for name in function.annotated})

    def assigned(self, frame: FrameType, call: _Call, statement: Statement, /) -> None:
        """Keeps the variables of the statement."""
        values = [(name, frame.f_locals.get(name)) for name in statement.targets]
        key = frame.f_code.co_filename, statement.line
        if statement.is_return:  # the comment of the line is the result's
            for name, value in values:
                self._keep_alone((*key, name), self._text(value, call.names))
        else:
            self._keep(key, values, call.names, named=len(values) > 1)

    def returned(self, frame: FrameType, call: _Call, statement: Statement | None, value: Any, /) -> None:
        """Keeps the result at its `return`."""
        if statement is not None:
            self._keep((frame.f_code.co_filename, statement.line), [("", value)], call.names, named=False)

    def left(self, call: _Call, /) -> None:
        """Keeps the arguments that have an annotation; only now, for it gives names after the call has begun."""
        for name, given in call.annotated.items():
            self._keep_alone((*call.key, name), self._text(given, call.names))

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
