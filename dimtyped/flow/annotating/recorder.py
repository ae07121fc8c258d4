"""Keeps what each call of the user's functions took and returned, and which names it had for sizes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import FrameType, FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from dimtyped.flow.annotating.made_with import MadeWith, is_constructor, keep_sizes, made_with
from dimtyped.flow.annotating.source import FunctionReading, Readings
from dimtyped.flow.annotating.values import OtherSeen, Seen, kind_of, seen
from dimtyped.flow.axes import Axis, Dimension, axis_of
from dimtyped.flow.interpreter import Flow
from dimtyped.flow.shapes.statement_tracer import StatementTracer
from dimtyped.flow.shapes.statements import FunctionSource, Statement
from dimtyped.names import Scope, scope_of

FunctionKey = tuple[str, int]
"""A file, and the line of a function's `def`."""
_UNSURE = -1
_MOST_CALLS = 4


@dataclass(slots=True)
class CallSeen:
    """One call.

    Attributes:
        key: The function.
        reading: Its source.
        run: The number of the run.
        arguments: What it took, by parameter.
        declared: The sizes that the module of a method declares.
        ambiguous: The names that the module's layers disagree about.
        made_with: What the owner of a method was made with.
        integers: The whole numbers that it took.
        unpacked: The sizes that the function has variables for.
        commented: The sizes of the names in comments at its statements.
        rebound: The kinds of values that parameters were assigned.
        result: What it returned.
        returned_at: The line of its `return`; 0 at its end.
    """

    key: FunctionKey
    reading: FunctionReading
    run: int
    arguments: dict[str, Seen]
    declared: Mapping[str, int] = field(default_factory=dict[str, int])
    ambiguous: frozenset[str] = frozenset()
    made_with: MadeWith = field(default_factory=MadeWith)
    integers: dict[str, int] = field(default_factory=dict[str, int])
    unpacked: dict[str, int] = field(default_factory=dict[str, int])
    commented: dict[str, int] = field(default_factory=dict[str, int])
    rebound: dict[str, set[type]] = field(default_factory=dict[str, set[type]])
    result: Seen = field(default_factory=OtherSeen)
    returned_at: int = 0


class CallRecorder(StatementTracer):
    """A context in which the calls of the user's functions are kept.

    Args:
        flow: Knows the axes of tensors.
        readings: Reads the user's files.
        run: The number of the run.
        is_wanted: True of the files whose functions are looked at.
        skip: Packages whose lines are not the user's.

    Attributes:
        calls: The calls that returned, in that order.
    """

    def __init__(
        self, flow: Flow, readings: Readings, run: int, is_wanted: Callable[[str], bool], skip: Iterable[str] = ()
    ) -> None:
        super().__init__(skip)
        self.calls: list[CallSeen] = []
        self._flow = flow
        self._readings = readings
        self._run = run
        self._is_wanted = is_wanted

    def entered(self, frame: FrameType, function: FunctionSource, /) -> CallSeen | None:  # noqa: ARG002  # a tracer gets it
        """Keeps the arguments of a function that annotations can be proposed for."""
        reading = self._readings.of(frame.f_code) if self._is_wanted(frame.f_code.co_filename) else None
        if reading is None or (reading.skipped and not is_constructor(frame)):
            return None
        known = frame.f_locals
        arguments = {each.name: seen(known.get(each.name), self._axes) for each in reading.parameters}
        call = CallSeen((frame.f_code.co_filename, reading.line), reading, self._run, arguments)
        call.integers = {name: value for name in arguments if type(value := known.get(name)) is int}
        owner = known.get(reading.owner)
        if owner is not None and not isinstance(owner, type):
            call.made_with = made_with(owner)
        if isinstance(owner, torch.nn.Module) and not is_constructor(frame):
            scope = scope_of(owner)
            call.declared, call.ambiguous = scope.names, _ambiguous(scope)
        return call

    def assigned(self, frame: FrameType, call: CallSeen, statement: Statement) -> None:
        """Keeps the sizes that variables have, and the shapes that comments say."""
        known, words = frame.f_locals, call.reading.commented.get(statement.line)
        for name in statement.targets:
            value = known.get(name)
            if name in call.reading.unpacked and type(value) is int:
                _keep(call.unpacked, name, value)
            if name in call.arguments:
                call.rebound.setdefault(name, set()).add(kind_of(seen(value, self._axes)))
            if words is not None and isinstance(value, Tensor) and len(words) == value.dim():
                _keep_words(call.commented, words, tuple(value.shape))

    def returned(self, frame: FrameType, call: CallSeen, statement: Statement | None, value: Any) -> None:
        """Keeps the result; of a constructor the sizes that the module was made with."""
        if is_constructor(frame):
            keep_sizes(frame, call.reading)
        if not call.reading.skipped:
            call.result = seen(value, self._axes)
            call.returned_at = statement.line if statement is not None else 0
            self.calls.append(call)

    def _axes(self, tensor: Tensor) -> tuple[Axis, ...]:
        return self._flow.axes_of(tensor)


class PlainCallRecorder(CallRecorder):
    """A recorder that names the axes of what the first call takes, in a model without names: a reshape across them is a finding.

    Its arguments are those of `CallRecorder`.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._has_begun = False

    def entered(self, frame: FrameType, function: FunctionSource, /) -> CallSeen | None:
        """Names the axes of the arguments of the first call."""
        call = super().entered(frame, function)
        if call is not None and not self._has_begun:
            self._has_begun = True
            for name in call.arguments:
                self._name_axes(name, frame.f_locals.get(name))
        return call

    def _name_axes(self, name: str, value: object) -> None:
        if isinstance(value, Tensor) and not value.is_nested and not self._flow.is_named(value):
            axes = [axis_of(Dimension(size, f"{name}.{place}")) for place, size in enumerate(value.shape)]
            self._flow.name_tensor(value, axes)


class OuterCallRecorder(CallRecorder):
    """A recorder that also keeps which modules, and which functions of tensors, the program itself calls, and with what.

    Its arguments are those of `CallRecorder`.

    Attributes:
        outer: The modules and functions, each with its inputs by name; a few calls of each.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.outer: list[tuple[torch.nn.Module | FunctionType, dict[str, Any]]] = []
        self._running: FrameType | None = None

    def entered(self, frame: FrameType, function: FunctionSource, /) -> CallSeen | None:
        """Keeps the inputs of a module, or of a function of tensors, that none of them calls."""
        call = super().entered(frame, function)
        if call is None or _is_below(frame, self._running) or any(each.is_packed for each in call.reading.parameters):
            return call
        given = {name: frame.f_locals.get(name) for name in call.arguments}
        outer = _module_of(frame, call) if call.reading.owner else _function_of(frame, given.values())
        if outer is not None:
            self._running = frame
            if sum(each is outer for each, _ in self.outer) < _MOST_CALLS:
                self.outer.append((outer, pytree.tree_map_only(Tensor, Tensor.detach, given)))
        return call


def _module_of(frame: FrameType, call: CallSeen) -> torch.nn.Module | None:
    """The module whose `forward` a frame runs."""
    owner = frame.f_locals.get(call.reading.owner)
    return owner if isinstance(owner, torch.nn.Module) and frame.f_code.co_name == "forward" else None


def _function_of(frame: FrameType, given: Collection[object]) -> FunctionType | None:
    """The function that a frame runs, if it only computes: all that it takes are tensors and numbers."""
    function: Any = inspect.unwrap(frame.f_globals.get(frame.f_code.co_name, _module_of))
    takes_tensors = any(isinstance(value, Tensor) for value in given)
    is_pure = takes_tensors and all(isinstance(value, Tensor | int | float | None) for value in given)
    return function if is_pure and getattr(function, "__code__", None) is frame.f_code else None


def _is_below(frame: FrameType | None, other: FrameType | None) -> bool:
    """True if a frame was called, directly or not, by another one."""
    while frame is not None and frame is not other:
        frame = frame.f_back
    return frame is not None


def _ambiguous(scope: Scope) -> frozenset[str]:
    names = {claim.name for claim in (*scope.claims, *scope.inherited)}
    return frozenset(name for name in names if name not in scope.names)


def _keep_words(kept: dict[str, int], words: tuple[str, ...], sizes: tuple[int, ...]) -> None:
    """Keeps the sizes of the names in a comment; none of one that does not fit the tensor."""
    pairs = list(zip(words, sizes, strict=True))
    said = {name: size for name, size in pairs if name and not name.isdecimal()}
    if any(word.isdecimal() and int(word) != size for word, size in pairs):
        return
    if all(said[name] == size for name, size in pairs if name in said):
        for name, size in said.items():
            _keep(kept, name, size)


def _keep(kept: dict[str, int], name: str, size: int) -> None:
    """Keeps the size of a name; one that has two is of no use."""
    kept[name] = size if kept.get(name, size) == size else _UNSURE
