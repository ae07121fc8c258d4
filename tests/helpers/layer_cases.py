"""A table of layers and calls for the generic drop-in tests, and strategies that make layers of random sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import strategies as st
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from dimtyped import Dim, nn

TYPED = ("Linear", "Embedding", "RNN", "LSTM", "GRU")


@dataclass(frozen=True)
class Case:
    """One way to make a layer and one way to call it.

    Args:
        kind: The layer's name in `torch.nn`.
        sizes: Its positional arguments.
        options: Its keyword arguments.
        inputs: Makes what it is called with.
    """

    kind: str
    sizes: tuple[int, ...]
    inputs: Callable[[], tuple[Any, ...]]
    options: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    def __str__(self) -> str:
        options = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.kind}({options}){' ' + self.note if self.note else ''}"

    def torch(self, seed: int = 0) -> torch.nn.Module:
        """Torch's layer."""
        torch.manual_seed(seed)
        return getattr(torch.nn, self.kind)(*self.sizes, **self.options)

    def typed(self, seed: int = 0) -> torch.nn.Module:
        """Ours, of plain ints."""
        torch.manual_seed(seed)
        return getattr(nn, self.kind)(*self.sizes, **self.options)

    def named(self, seed: int = 0) -> torch.nn.Module:
        """Ours, of Dims."""
        torch.manual_seed(seed)
        first, second = names_of(self.kind)
        sizes = (Dim(first, self.sizes[0]), Dim(second, self.sizes[1]), *self.sizes[2:])
        return getattr(nn, self.kind)(*sizes, **self.options)

    def call(self, layer: Any, seed: int = 1) -> Any:
        """What the layer gives for these inputs, the random numbers in it seeded."""
        torch.manual_seed(seed)
        return layer(*self.inputs())


def names_of(kind: str) -> tuple[str, str]:
    """Names for a layer's two sizes."""
    return {"Linear": ("wide", "narrow"), "Embedding": ("vocab", "embed")}.get(kind, ("embed", "hidden"))


def floats(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The same random numbers at each call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=dtype)


def ids(*shape: int, high: int = 10, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    """The same random token ids at each call."""
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(7), dtype=dtype)


def packed(width: int, lengths: tuple[int, ...] = (2, 4, 1), batch_first: bool = False) -> PackedSequence:
    """A batch of sequences of these lengths, longest not first."""
    batch, longest = len(lengths), max(lengths)
    data = floats(batch, longest, width) if batch_first else floats(longest, batch, width)
    return pack_padded_sequence(data, torch.tensor(lengths), batch_first=batch_first, enforce_sorted=False)


def _recurrent(kind: str) -> list[Case]:
    def state(*batch: int, count: int = 1, proj: int = 0) -> Any:
        hidden, cell = floats(count, *batch, proj or 4), floats(count, *batch, 4)
        return (hidden, cell) if kind == "LSTM" else hidden

    cases = [
        Case(kind, (3, 4), lambda: (floats(5, 2, 3),)),
        Case(kind, (3, 4), lambda: (floats(5, 2, 3), None), note="with None"),
        Case(kind, (3, 4), lambda: (floats(5, 2, 3), state(2)), note="with a state"),
        Case(kind, (3, 4), lambda: (floats(2, 5, 3), state(2)), {"batch_first": True}),
        Case(kind, (3, 4, 2), lambda: (floats(5, 2, 3), state(2, count=4)), {"bidirectional": True}),
        Case(kind, (3, 4), lambda: (floats(5, 2, 3),), {"bias": False}),
        Case(kind, (3, 4, 2), lambda: (floats(5, 2, 3),), {"dropout": 0.5}),
        Case(kind, (3, 4), lambda: (floats(5, 2, 3, dtype=torch.float64),), {"dtype": torch.float64}),
        Case(kind, (3, 4), lambda: (floats(5, 3),), note="unbatched"),
        Case(kind, (3, 4), lambda: (floats(5, 3), state()), {"batch_first": True}, note="unbatched with a state"),
        Case(kind, (3, 4), lambda: (packed(3),), note="packed"),
        Case(kind, (3, 4), lambda: (packed(3, batch_first=True), state(3)), {"batch_first": True}, note="packed"),
        Case(kind, (3, 4), lambda: (floats(5, 0, 3),), note="empty batch"),
    ]
    if kind == "LSTM":
        cases += [
            Case(kind, (3, 4, 2), lambda: (floats(5, 2, 3), state(2, count=2, proj=2)), {"proj_size": 2}),
            Case(kind, (3, 4), lambda: (floats(5, 2, 3), list(state(2))), note="with a list as state"),
        ]
    if kind == "RNN":
        cases.append(Case(kind, (3, 4), lambda: (floats(5, 2, 3),), {"nonlinearity": "relu"}))
    return cases


CASES = [
    Case("Linear", (3, 4), lambda: (floats(2, 5, 3),)),
    Case("Linear", (3, 4), lambda: (floats(3),), note="without batch"),
    Case("Linear", (3, 4), lambda: (floats(0, 3),), note="empty batch"),
    Case("Linear", (3, 4), lambda: (floats(2, 3),), {"bias": False}),
    Case("Linear", (3, 4), lambda: (floats(2, 3, dtype=torch.float64),), {"dtype": torch.float64}),
    Case("Linear", (0, 4), lambda: (floats(2, 0),), note="of width 0"),
    Case("Embedding", (10, 3), lambda: (ids(2, 5),)),
    Case("Embedding", (10, 3), lambda: (ids(),), note="of one id"),
    Case("Embedding", (10, 3), lambda: (ids(2, 0),), note="of no ids"),
    Case("Embedding", (10, 3), lambda: (ids(2, 5, dtype=torch.int32),), note="of int32"),
    Case("Embedding", (10, 3), lambda: (ids(2, 5),), {"padding_idx": 1}),
    Case("Embedding", (10, 3), lambda: (ids(2, 5),), {"padding_idx": 9, "max_norm": 1.0, "norm_type": 1.0}),
    Case("Embedding", (10, 3), lambda: (ids(2, 5),), {"sparse": True}),
    Case("Embedding", (10, 3), lambda: (ids(2, 5),), {"scale_grad_by_freq": True}),
    Case("Embedding", (10, 3), lambda: (ids(2, 5),), {"_freeze": True}),
    *_recurrent("RNN"),
    *_recurrent("LSTM"),
    *_recurrent("GRU"),
]
FIRST_CASES = [next(case for case in CASES if case.kind == kind) for kind in TYPED]


# Random layers --------------------------------------------------------------------------------------------------------

SIZES = st.integers(1, 5)


@dataclass(frozen=True)
class Draw:
    """Random sizes for a recurrent layer and a call of it."""

    kind: str
    embed: int
    hidden: int
    layers: int
    bidirectional: bool
    batch_first: bool
    bias: bool
    proj: int
    batch: int | None
    seq: int
    has_state: bool

    @property
    def states(self) -> int:
        """How many states there are."""
        return self.layers * (2 if self.bidirectional else 1)

    def arguments(self) -> dict[str, Any]:
        """The constructor's, all by keyword and all plain."""
        found = {
            "input_size": self.embed,
            "hidden_size": self.hidden,
            "num_layers": self.layers,
            "bidirectional": self.bidirectional,
            "batch_first": self.batch_first,
            "bias": self.bias,
        }
        return found | ({"proj_size": self.proj} if self.kind == "LSTM" else {})

    def input(self, **changed: int) -> torch.Tensor:
        """An input of these sizes, some of them changed."""
        size = {"embed": self.embed, "batch": self.batch, "seq": self.seq, **changed}
        if self.batch is None:
            return floats(size["seq"], size["embed"])
        first, second = ("batch", "seq") if self.batch_first else ("seq", "batch")
        return floats(size[first], size[second], size["embed"])

    def state(self, part: int | None = None, **changed: int) -> Any:
        """A state of these sizes, some of them changed; for an LSTM only in h (part 0) or c (part 1)."""
        if self.kind != "LSTM":
            return self._part(self.hidden, changed)
        return (
            self._part(self.proj or self.hidden, changed if part in (None, 0) else {}),
            self._part(self.hidden, changed if part in (None, 1) else {}),
        )

    def _part(self, width: int, changed: dict[str, int]) -> torch.Tensor:
        size = {"states": self.states, "batch": self.batch, "width": width, **changed}
        batch = () if self.batch is None else (size["batch"],)
        return floats(size["states"], *batch, size["width"])


@st.composite
def recurrent_calls(draw: st.DrawFn, *, batched: bool = False, with_state: bool = False) -> Draw:
    """Random sizes for a recurrent layer and a call of it."""
    kind = draw(st.sampled_from(["RNN", "LSTM", "GRU"]))
    hidden = draw(st.integers(2, 5))
    return Draw(
        kind=kind,
        embed=draw(SIZES),
        hidden=hidden,
        layers=draw(st.integers(1, 3)),
        bidirectional=draw(st.booleans()),
        batch_first=draw(st.booleans()),
        bias=draw(st.booleans()),
        proj=draw(st.integers(0, hidden - 1)) if kind == "LSTM" else 0,
        batch=draw(SIZES if batched else st.none() | SIZES),
        seq=draw(SIZES),
        has_state=with_state or draw(st.booleans()),
    )


def other_than(size: int) -> st.SearchStrategy[int]:
    """Any small size but this one."""
    return st.integers(0, 6).filter(lambda other: other != size)
