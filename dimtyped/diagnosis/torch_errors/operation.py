"""An operation with its arguments evaluated, not run yet."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from dimtyped.diagnosis.torch_errors.light import light_run


@dataclass
class Part:
    """An argument of an operation.

    Args:
        node: Its code; None for one that is not in the code, such as a layer's weight.
        value: What stands for it.
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
        run = light_run(self.name) if any(isinstance(v, Tensor) and v.is_meta for v in values) else None
        return (run or self.run)(*values, **{name: part.value for name, part in self.kwargs.items()})

    def with_tensors(self, others: Mapping[int, Tensor]) -> Operation:
        """The same operation on other tensors, in place of those with these ids."""
        args = [replace(part, value=_exchanged(part.value, others)) for part in self.args]
        kwargs = {name: replace(part, value=_exchanged(part.value, others)) for name, part in self.kwargs.items()}
        return replace(self, args=args, kwargs=kwargs)


def _exchanged(value: Any, others: Mapping[int, Tensor]) -> Any:
    if type(value) in (list, tuple):
        return type(value)(_exchanged(item, others) for item in value)
    return others.get(id(value), value)
