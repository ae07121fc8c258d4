"""An operation with its arguments evaluated, not run yet."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from dimtyped.diagnosis.torch_errors.light import light_run
from dimtyped.diagnosis.torch_errors.stand_ins import Unknown

_MOST_NUMBERS = 100_000
_GROWING = ("histogram", "cartesian", "combinations", "vander", "as_strided")
"""Operators whose result may be far larger than their tensors."""


@dataclass
class Part:
    """An argument of an operation.

    Args:
        node: Its code; None for one that is not in the code, such as a layer's weight.
        value: Its value, or the stand-in for it.
        text: Its code as text.
    """

    node: ast.expr | None
    value: Any
    text: str


@dataclass
class Operation:
    """The last step of an expression, with its arguments evaluated.

    Args:
        name: The operator's name: `matmul`, `cat`, `view`, `getitem`.
        run: Calls it on other arguments.
        args: The positional arguments; the first one is the tensor of a method.
        kwargs: The others.
        is_pure: True if it changes no argument, so that it may be run as a part of another expression.
    """

    name: str
    run: Callable[..., Any]
    args: list[Part]
    kwargs: dict[str, Part] = field(default_factory=dict[str, Part])
    is_pure: bool = True

    def __call__(self) -> Any:
        """Runs it, on a copy of what it would change."""
        values = [part.value for part in self.args]
        if not self.is_pure and values and isinstance(values[0], Tensor):
            values[0] = values[0].clone()
        is_meta = any(isinstance(value, Tensor) and value.is_meta for value in values)
        if not is_meta and self._may_be_large():
            raise Unknown
        run = light_run(self.name) if is_meta else None
        return (run or self.run)(*values, **{name: part.value for name, part in self.kwargs.items()})

    def _may_be_large(self) -> bool:
        """True if numbers in the code may make a large tensor of small ones: `x.repeat(100_000, 1000)`."""
        if self.name.startswith(_GROWING):
            return True
        given = [part.value for part in (*self.args[1:], *self.kwargs.values())]
        numbers = [number for value in given for number in (value if isinstance(value, list | tuple) else (value,))]  # pyright: ignore[reportUnknownVariableType]  # any argument
        return math.prod(abs(number) for number in numbers if type(number) is int and number) > _MOST_NUMBERS

    def with_tensors(self, others: Mapping[int, Tensor]) -> Operation:
        """The same operation on other tensors, in place of those with these ids."""
        args = [replace(part, value=_exchanged(part.value, others)) for part in self.args]
        kwargs = {name: replace(part, value=_exchanged(part.value, others)) for name, part in self.kwargs.items()}
        return replace(self, args=args, kwargs=kwargs)


def _exchanged(value: Any, others: Mapping[int, Tensor]) -> Any:
    if type(value) in (list, tuple):
        return type(value)(_exchanged(item, others) for item in value)
    return others.get(id(value), value)
