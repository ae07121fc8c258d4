"""The sizes that a module was made with, by the names that its `__init__` has for them: `n_embd` of `config.n_embd`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch

from dimtyped.flow.annotating.source import FunctionReading, Readings
from dimtyped.flow.shapes.statement_tracer import StatementTracer

_KEPT = "_dimtyped_made_with"
"""The attribute that has them: a copy of the module has it too."""
_UNSURE = -1


class ConstructorTracer(StatementTracer):
    """A context in which each module that is made keeps the sizes it was made with."""

    def __init__(self, readings: Readings) -> None:
        super().__init__()
        self._readings = readings

    def entered(self, frame: FrameType, *_: object) -> FunctionReading | None:
        """Follows constructors alone."""
        return self._readings.of(frame.f_code) if is_constructor(frame) else None

    def assigned(self, *_: object) -> None:
        """Nothing is kept before the constructor ends."""

    def returned(self, frame: FrameType, call: FunctionReading, *_: object) -> None:
        """Keeps the sizes."""
        keep_sizes(frame, call)


def is_constructor(frame: FrameType) -> bool:
    """True in the `__init__` of a module."""
    code = frame.f_code
    return (
        code.co_name == "__init__"
        and code.co_argcount > 0
        and isinstance(frame.f_locals.get(code.co_varnames[0]), torch.nn.Module)
    )


@dataclass(frozen=True, slots=True)
class MadeWith:
    """What a module was made with.

    Attributes:
        sizes: The sizes that its constructors have names for.
        layers: The names among these that are given to layers.
        numbers: The numbers in its constructors.
    """

    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    layers: frozenset[str] = frozenset()
    numbers: frozenset[int] = frozenset()


def keep_sizes(frame: FrameType, reading: FunctionReading) -> None:
    """Keeps with a module the sizes that its `__init__` has names for."""
    known = frame.f_locals
    owner = known[frame.f_code.co_varnames[0]]
    before: MadeWith = owner.__dict__.get(_KEPT, MadeWith())  # that of a class above it
    sizes = dict(before.sizes)
    for name, size in _sizes(known, reading):
        sizes[name] = size if sizes.get(name, size) == size else _UNSURE
    owner.__dict__[_KEPT] = MadeWith(
        sizes, before.layers | frozenset(reading.arguments), before.numbers | reading.numbers
    )


def _sizes(known: Mapping[str, Any], reading: FunctionReading) -> Iterator[tuple[str, int]]:
    """The whole numbers among the variables of a constructor, and among the attributes that it reads of them."""
    yield from ((name, int(value)) for name, value in known.items() if _is_size(value))
    for holder, attribute in reading.attributes:
        value = _held(known.get(holder), attribute)
        if _is_size(value):
            yield attribute, int(value)


def _held(holder: Any, attribute: str) -> Any:
    """An attribute that the object or its class holds; a property is not run."""
    own = getattr(holder, "__dict__", {})
    return own.get(attribute, getattr(type(holder), "__dict__", {}).get(attribute))


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 1


def made_with(owner: Any) -> MadeWith:
    """What an object was made with, and the sizes that it holds."""
    held: dict[str, Any] = getattr(owner, "__dict__", {})
    made: MadeWith = held.get(_KEPT, MadeWith())
    own = {name: int(value) for name, value in held.items() if _is_size(value) and not name.startswith("_")}
    sizes = {name: size for name, size in {**own, **made.sizes}.items() if size != _UNSURE}
    return MadeWith(sizes, made.layers, made.numbers)
