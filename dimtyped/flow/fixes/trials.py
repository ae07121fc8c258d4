"""Trials: a call is made again on tensors without numbers, with another operand or argument, and its rule judges it."""

import contextlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dimtyped.flow.axes import Axes, Axis, Verdict, compare
from dimtyped.flow.calls import Call, Outcome, Rule

JOINS = ("cat", "concat", "concatenate")
"""Operators that broadcast nothing."""


class Meetings(Call):
    """A call that keeps the pairs of axes that meet, also those of two sizes.

    Attributes:
        met: The pairs.
        outcome: The axes of the results, as the rule gave them.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.met: list[tuple[Axis, Axis]] = []
        self.outcome: Outcome = None

    def meet(self, first: Axis, second: Axis) -> Axis:
        """Keeps the pair; axes of two sizes are no mistake of the names."""
        self.met.append((first, second))
        if first.size == second.size:
            return super().meet(first, second)
        return first if first.size > second.size else second

    def meet_if_sizes_agree(self, first: Axis, second: Axis) -> Axis:
        """Keeps the pair."""
        return self.meet(first, second)

    def widened(self, first: Axis, second: Axis) -> Axis:
        """Keeps the pair."""
        self.met.append((first, second))
        return super().widened(first, second)

    @property
    def unequal(self) -> list[tuple[Axis, Axis]]:
        """The pairs of two sizes, neither of them 1 where that is broadcast."""
        pairs = [(one, other) for one, other in dict.fromkeys(self.met) if one.size != other.size]
        return [pair for pair in pairs if self.name in JOINS or 1 not in (pair[0].size, pair[1].size)]

    @property
    def keeps_apart(self) -> bool:
        """True if the rule objects to nothing, and no independent axis that is left is mixed."""
        axes = self.outcome if isinstance(self.outcome, list) else [self.outcome]
        left = {dimension for each in axes for axis in each or () for dimension in axis.dimensions}
        mixed = {dimension for axis in self.mixed for dimension in axis.dimensions}
        return not self.problems and all(self.independent.isdisjoint(each.names) for each in mixed & left)

    @property
    def is_right(self) -> bool:
        """True if the rule objects to nothing, and some named axis meets itself."""
        if not self.keeps_apart or self.unequal:
            return False
        verdicts = [compare(one, other) for one, other in self.met if one.size == other.size and one.has_name]
        return Verdict.CLASH not in verdicts and Verdict.SAME in verdicts


@dataclass(frozen=True)
class Operand:
    """A tensor without numbers, and its axes."""

    tensor: Tensor
    axes: Axes

    @classmethod
    def of(cls, tensor: Tensor, axes: Axes) -> "Operand":
        """One that stands for a tensor, with its axes, or with those given."""
        return cls(torch.empty([axis.size for axis in axes], dtype=tensor.dtype, device="meta"), axes)


class Trials:
    """Makes a call again.

    Args:
        call: The call.
        function: What was called.
        rule: Its rule.
    """

    def __init__(self, call: Call, function: Any, rule: Rule):
        self.call = call
        self._function = function
        self._rule = rule

    def run(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Meetings | None:
        """The call with other arguments, among them an `Operand` for a tensor; None if torch or the rule does not take them."""
        known: dict[int, Axes] = {}

        def stand_in(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return type(value)(map(stand_in, value)) if type(value) in (list, tuple) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # a user's
            if isinstance(value, Tensor):
                value = Operand.of(value, self.call.axes(value))
            if not isinstance(value, Operand):
                return value  # pyright: ignore[reportUnknownVariableType]  # a user's
            known[id(value.tensor)] = value.axes
            return value.tensor

        given = [stand_in(value) for value in args]
        named = {name: stand_in(value) for name, value in kwargs.items()}
        with warnings.catch_warnings(), contextlib.suppress(Exception):  # whatever torch or the rule says against it
            warnings.simplefilter("ignore")
            result = self._function(*given, **named)
            made = self._made(given, named, result, known)
            made.outcome = self._rule(made)
            return made
        return None

    def without_result(self) -> Meetings:
        """The call as it was made, as far as its rule goes without a result."""
        made = Meetings(self.call.name, self.call.args, self.call.kwargs, None, self.call.axes)
        with contextlib.suppress(Exception):  # the rule is made for calls that succeed
            self._rule(made)
        return made

    def _made(self, args: list[Any], kwargs: dict[str, Any], result: Any, known: dict[int, Axes]) -> Meetings:
        call = self.call
        return Meetings(call.name, args, kwargs, result, lambda tensor: known[id(tensor)], independent=call.independent)
