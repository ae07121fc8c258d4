"""One call of an operator, as its rule sees it: the arguments, their axes, and the rule's statements."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dimtyped.diagnosis import axes_text
from dimtyped.flow.axes import Axes, Axis, Cutting, Dimension, One, Verdict, anonymous, better, compare, same
from dimtyped.runtime import Place

Outcome = Axes | list[Axes | None] | None
"""The axes that a rule returns: of the one result, or of each result that has them, or an entry for each result."""
Rule = Callable[["Call"], Outcome]


class NoRule(Exception):  # noqa: N818 - no error of a user's: a rule that does not hold for this call
    """Raised by a rule that does not cover a call: the result is anonymous and the call counts as not followed."""


class Problem:
    """A mistake that a rule found in a call."""

    __slots__ = ("axes", "fix", "kind", "names", "text")

    def __init__(self, kind: str, text: str, axes: Sequence[Axis], fix: str = ""):
        self.kind = kind
        self.text = text
        self.axes = tuple(axes)
        self.fix = fix
        self.names = tuple(dict.fromkeys(map(str, axes)))


@dataclass(frozen=True, slots=True)
class LastStep:
    """A note on the output of a bidirectional layer, in which each direction has another last step.

    Args:
        time: The index of its axis of time.
    """

    time: int


@dataclass(frozen=True, slots=True)
class Pending:
    """A note on a tensor that is wrong if it is used as it is, and right if a part of it is taken.

    Args:
        problem: What is wrong.
        place: Where it arose.
    """

    problem: Problem
    place: Place


Note = LastStep | Problem | Pending
"""A note on a tensor beside its axes. A rule notes a `Problem`; the interpreter adds the place."""


class Call:
    """A call of an operator that has succeeded.

    Args:
        name: The operator's name in the table of rules.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
        axes_of: Gives the axes of a tensor.
        note_of: Gives the note on a tensor.
        independent: Names along which nothing may carry values.
        before: Axes that the arguments had before the call, by `id`, where the call may have changed them.

    Attributes:
        problems: The mistakes that the rule found.
        mixed: The axes of the arguments along which the call carries values.
        moved: Axes along which values only change places, as in `flip`; they are not reported.
        notes: The notes on the results, by `id`.
        function: What was called, where the call can be made again.
    """

    function: Callable[..., Any] | None = None

    def __init__(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        result: object,
        axes_of: Callable[[Tensor], Axes],
        note_of: Callable[[Tensor], Note | None] | None = None,
        before: dict[int, Axes] | None = None,
        independent: Collection[str] = (),
    ):
        self.name = name
        self.args = args
        self.kwargs = kwargs
        self.result = result
        self.problems: list[Problem] = []
        self.mixed: list[Axis] = []
        self.moved: list[Axis] = []
        self._axes_of = axes_of
        self._note_of = note_of
        self._before = before or {}
        self.independent = frozenset(independent)
        self.notes: dict[int, Note] = {}

    # arguments

    def arg(self, position: int, *names: str, default: Any = None) -> Any:
        """An argument by position or by any of its names."""
        if position < len(self.args):
            return self.args[position]
        for name in names:
            if name in self.kwargs:
                return self.kwargs[name]
        return default

    def tensor(self, position: int, *names: str) -> Tensor:
        """A tensor argument; a rule that needs one does not hold without it."""
        found = self.arg(position, *names)
        if not isinstance(found, Tensor):
            raise NoRule
        return found

    def ints(self, position: int, *names: str, default: Any = None) -> Any:
        """An argument that is one int, a sequence of ints, or ints from that position on: `permute(0, 2, 1)`."""
        found = self.arg(position, *names, default=default)
        if (
            isinstance(found, int)
            and len(self.args) > position + 1
            and all(isinstance(i, int) for i in self.args[position:])
        ):
            return tuple(self.args[position:])
        return found

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors among the arguments, in order, those in lists too; `out` is none of them."""
        found: list[Tensor] = []
        for value in (*self.args, *(value for name, value in self.kwargs.items() if name != "out")):
            if isinstance(value, Tensor):
                found.append(value)
            elif isinstance(value, (list, tuple)):
                found += [item for item in value if isinstance(item, Tensor)]  # pyright: ignore[reportUnknownVariableType] - a user's list
        return found

    def axes(self, tensor: Tensor) -> Axes:
        """The axes of an argument."""
        return self._before.get(id(tensor)) or self._axes_of(tensor)

    def first(self) -> Axes:
        """The axes of the first argument, or of `input` or `self`."""
        return self.axes(self.tensor(0, "input", "self"))

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the result, which is one tensor."""
        if not isinstance(self.result, Tensor):
            raise NoRule
        return tuple(self.result.shape)

    @property
    def tensors_out(self) -> list[Tensor]:
        """The tensors of the result, which is a tuple."""
        if not isinstance(self.result, (tuple, list)):
            raise NoRule
        return [each for each in self.result if isinstance(each, Tensor)]

    def note_of(self, tensor: Tensor) -> Note | None:
        """The note on an argument."""
        return self._note_of(tensor) if self._note_of else None

    # statements of the rule

    def note(self, result: Tensor, note: Note) -> None:
        """Leaves a note on a result."""
        self.notes[id(result)] = note

    def report(self, kind: str, text: str, *axes: Axis, fix: str = "") -> None:
        """States that something is wrong."""
        self.problems.append(Problem(kind, text, axes, fix))

    def mixes(self, *axes: Axis) -> None:
        """States that the call carries values along these axes of its arguments."""
        self.mixed += axes

    def moves(self, *axes: Axis) -> None:
        """States that the call changes places along these axes, which is not a mistake."""
        self.moved += axes

    def meet(self, first: Axis, second: Axis) -> Axis:
        """States that two axes of equal size are treated as equal; returns the axis of the result."""
        verdict = compare(first, second)
        if verdict is not Verdict.CLASH:
            self._check_cutting(first, second)
            return better(first, second)
        self.report("coincidence", f"{first} meets {second}; both are {first.size}, in this run", first, second)
        return anonymous(first.size, f"{first} and {second}")

    def _check_cutting(self, first: Axis, second: Axis) -> None:
        """Reports positions that are cut by the batch: each sample would get the position of its index in the batch."""
        for one, other in ((first, second), (second, first)):
            dimension = other.dimension
            if dimension is None or not isinstance(one.dimension, Cutting):
                continue
            if not self.independent.isdisjoint(dimension.names):
                self.report("selection", f"{one.dimension.origin} of {one.size} rows meets {other}", other)

    def meet_if_sizes_agree(self, first: Axis, second: Axis) -> Axis:
        """Calls `meet` if the sizes agree; returns the larger axis if one of them is 1 or less."""
        if first.size == second.size:
            return self.meet(first, second)
        return first if first.size > second.size else second

    def broadcast(self, *operands: Axes) -> Axes:
        """States that operands are broadcast together, as torch does; returns the axes of the result."""
        if len(operands) == 1:
            return operands[0]
        rank = max(map(len, operands), default=0)
        made: list[Axis] = []
        for place in range(-rank, 0):
            here = [axes[place] for axes in operands if len(axes) >= -place]
            found = here[0]
            for axis in here[1:]:
                found = self.meet(found, axis) if found.size == axis.size else self.widened(found, axis)
            made.append(found)
        result = tuple(made)
        return self._without_outer(operands, result) if rank > 1 else result

    def widened(self, first: Axis, second: Axis) -> Axis:
        """The one of two axes of a broadcast whose size is not 1; torch raises if neither is."""
        return second if first.size == 1 else first

    def _without_outer(self, operands: Sequence[Axes], result: Axes) -> Axes:
        """Reports a name that a broadcast between ranks gives to two axes: `(batch)` with `(batch, 1)`."""
        rank = len(result)
        for short in operands:
            for tall in operands:
                if 0 < len(short) < len(tall) == rank:
                    found = _twice(short, tall, result)
                    if found is not None:
                        self.report("outer", _outer_text(short, tall, result), result[found])
                        return tuple(
                            anonymous(axis.size) if place == found else axis for place, axis in enumerate(result)
                        )
        return result

    def contract(self, result: Axes, *pairs: tuple[Axis, Axis]) -> Axes:
        """States that pairs of axes are multiplied and summed; returns `result`, the axes that are left."""
        for first, second in pairs:
            self.meet(first, second)
            self.mixes(first, second)
        return result


_MEANT = (One.INSERTED, One.KEPT)
"""Axes of size 1 that are there to be broadcast: `x.norm(dim=1, keepdim=True) + y.norm(dim=1)` are distances."""


def _twice(short: Axes, tall: Axes, result: Axes) -> int | None:
    """The place at which `short` alone brings a dimension that `tall` has already, further out."""
    shift = len(tall) - len(short)
    outer: set[Dimension] = {axis.dimension for axis in tall[:shift] if axis.dimension and axis.is_named}
    for place in range(shift, len(tall)):
        axis, one = short[place - shift], tall[place]
        if one.size == 1 and one.one not in _MEANT and axis.dimension in outer and same(axis, result[place]):
            return place
    return None


def _outer_text(short: Axes, tall: Axes, result: Axes) -> str:
    return f"{text_of(short)} with {text_of(tall)} gives {text_of(result)}"


def axis_text(axis: Axis) -> str:
    """An axis as a user reads it: `batch=4`, or its size."""
    return f"{axis}={axis.size}" if axis.has_name else str(axis.size)


def text_of(axes: Iterable[Axis]) -> str:
    """Axes as a user reads them: `(batch=4, seq=8)`."""
    return axes_text(map(axis_text, axes))


def dim_of(index: Any, rank: int) -> int:
    """A dimension's index counted from the first."""
    if not isinstance(index, int):
        raise NoRule
    return index + rank if index < 0 else index


def dims_of(index: Any, rank: int) -> tuple[int, ...]:
    """The indices of dimensions counted from the first; all of them for None or an empty sequence."""
    if isinstance(index, int):
        return (dim_of(index, rank),)
    if not index:
        return tuple(range(rank))
    return tuple(dim_of(item, rank) for item in index)


def without(axes: Axes, dims: Iterable[int]) -> Axes:
    """The axes that are not at these indices."""
    gone = set(dims)
    return tuple(axis for index, axis in enumerate(axes) if index not in gone)


def replaced(axes: Axes, index: int, axis: Axis) -> Axes:
    """The axes with another one at an index."""
    return (*axes[:index], axis, *axes[index + 1 :])


def resized(axes: Axes, sizes: Sequence[int], origin: str) -> Axes:
    """The axes whose size stayed the same, anonymous ones for the rest."""
    if len(axes) != len(sizes):
        raise NoRule
    return tuple(axis if axis.size == size else anonymous(size, origin) for axis, size in zip(axes, sizes, strict=True))
