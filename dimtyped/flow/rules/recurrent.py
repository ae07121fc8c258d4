"""Recurrent layers, followed by their contract: the output has `directions*hidden`, the state `layers*directions`."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from torch import Tensor

from dimtyped.flow.axes import Axes, Axis, Dimension, anonymous, axis_of, product
from dimtyped.flow.calls import Call, LastStep, NoRule, Outcome
from dimtyped.flow.rules.table import rule

DIRECTIONS = Dimension(2, "directions", "bidirectional=True")
"""The two directions of every bidirectional layer."""


@lru_cache(maxsize=64)
def layers_of(count: int) -> Axis:
    """The axis of so many layers: the same for all recurrent layers that have so many."""
    return axis_of(Dimension(count, "layers", f"num_layers={count}"))


class Packed(Dimension):
    """The steps of a packed batch of sequences, which knows what was packed."""

    __slots__ = ("batch", "time")

    def __init__(self, size: int, batch: Axis, time: Axis):
        super().__init__(size, None, "pack_padded_sequence")
        self.batch = batch
        self.time = time


class _Recurrent:
    """One call of a recurrent operator, on a batch or on packed sequences."""

    def __init__(self, call: Call):
        self.call = call
        args = call.args
        self.is_packed = isinstance(args[1], Tensor) and not isinstance(args[2], (list, tuple))
        self.is_packed = self.is_packed or (call.name == "lstm" and isinstance(args[1], Tensor))
        at = 2 if self.is_packed else 1
        self.input = call.axes(args[0])
        self.states = self._axes_of_all(args[at])
        self.weights = args[at + 1]
        self.layers, self.is_bidirectional = args[at + 3], args[at + 6]
        self.is_batch_first = not self.is_packed and args[at + 7]

    def _axes_of_all(self, states: Any) -> list[Axes]:
        return [self.call.axes(state) for state in ((states,) if isinstance(states, Tensor) else states)]

    def run(self) -> Outcome:
        self._contract()
        results = self.call.tensors_out
        out = self._sequence(self.states[0][-1])
        if self.is_bidirectional and not self.is_packed:
            self.call.note(results[0], LastStep(1 if self.is_batch_first and len(out) == 3 else 0))
        return [out, *(self._state(state) for state in self.states)]

    def _contract(self) -> None:
        input_weight, state_weight = (self.call.axes(weight) for weight in self.weights[:2])
        self.call.contract((), (self.input[-1], input_weight[-1]))
        hidden = self.call.meet(self.states[0][-1], state_weight[-1])
        self.states[0] = (*self.states[0][:-1], hidden)
        self.call.mixes(*(state[-1] for state in self.states))
        for state in self.states:
            self.call.moves(*state[:1])
        if not self.is_packed:
            self.call.mixes(self.input[self._time])
            if len(self.input) == 3:
                self.call.meet(self.input[1 - self._time], self.states[0][1])

    @property
    def _time(self) -> int:
        return 1 if self.is_batch_first and len(self.input) == 3 else 0

    def _sequence(self, hidden: Axis) -> Axes:
        sides = [axis_of(DIRECTIONS)] if self.is_bidirectional else []
        if self.is_packed:
            self.call.moves(self.input[0])
        rest = list(self.input[:-1])
        if len(self.input) == 3:
            batch = 1 - self._time
            rest[batch] = self.call.meet(rest[batch], self.states[0][1])
        return (*rest, product([*sides, hidden]))

    def _state(self, state: Axes) -> Axes:
        first = state[0]
        if not first.has_name:
            sides = [axis_of(DIRECTIONS)] if self.is_bidirectional else []
            first = product([layers_of(self.layers), *sides])
        if len(state) == 3 and not self.is_packed:
            batch = self.input[1 - self._time]
            return (first, self.call.meet(batch, state[1]), state[2])
        return (first, *state[1:])


@rule("gru", "lstm", "rnn_tanh", "rnn_relu")
def recurrent(call: Call) -> Outcome:
    """(batch, time, in) and a state of (layers*directions, batch, hidden)."""
    if call.kwargs:
        raise NoRule
    return _Recurrent(call).run()


@rule("gru_cell", "lstm_cell", "rnn_tanh_cell", "rnn_relu_cell")
def cell(call: Call) -> Outcome:
    """(batch, in) and a state of (batch, hidden)."""
    axes = call.first()
    given = call.arg(1, "hx")
    states = [call.axes(state) for state in ((given,) if isinstance(given, Tensor) else given)]
    input_weight, state_weight = call.axes(call.tensor(2, "w_ih")), call.axes(call.tensor(3, "w_hh"))
    call.contract((), (axes[-1], input_weight[-1]), (states[0][-1], state_weight[-1]))
    call.mixes(*(state[-1] for state in states))
    hidden = call.meet(states[0][-1], state_weight[-1])
    batch = call.broadcast(axes[:-1], states[0][:-1])
    made: list[Axes | None] = [(*batch, hidden), *((*batch, state[-1]) for state in states[1:])]
    return made


@rule("_pack_padded_sequence")
def pack(call: Call) -> Outcome:
    """(batch, time, *) gives (steps, *); the note on the steps keeps both axes."""
    axes = call.first()
    batch, time = (axes[0], axes[1]) if call.arg(2, "batch_first") else (axes[1], axes[0])
    data, batch_sizes = call.tensors_out
    lengths = call.axes(call.tensor(1, "lengths"))
    call.moves(batch, time, *lengths)
    steps = axis_of(Packed(data.shape[0], batch, time))
    return [(steps, *axes[2:]), (anonymous(batch_sizes.shape[0], "batch sizes of a packed sequence"),)]


@rule("_pad_packed_sequence")
def pad(call: Call) -> Outcome:
    """(steps, *) gives (batch, time, *) again."""
    axes = call.first()
    result, lengths = call.tensors_out
    is_batch_first = bool(call.arg(2, "batch_first"))
    sizes: Sequence[int] = tuple(result.shape)
    batch, time = _unpacked(axes[0], *(sizes[:2] if is_batch_first else sizes[1::-1]))
    call.moves(axes[0], *call.axes(call.tensor(1, "batch_sizes")))
    first = (batch, time) if is_batch_first else (time, batch)
    return [(*first, *axes[1:]), (batch if batch.size == lengths.shape[0] else anonymous(lengths.shape[0]),)]


def _unpacked(steps: Axis, batch: int, time: int) -> tuple[Axis, Axis]:
    packed = steps.dimension
    if not isinstance(packed, Packed):
        return anonymous(batch, "pad_packed_sequence"), anonymous(time, "pad_packed_sequence")
    return (
        packed.batch if packed.batch.size == batch else anonymous(batch, "pad_packed_sequence"),
        packed.time if packed.time.size == time else anonymous(time, "pad_packed_sequence"),
    )
