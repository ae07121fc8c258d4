"""What does a typed layer's whole call cost, from the smallest to a large one?

Each layer is made twice with the same sizes, by `torch.nn` and by `dimtyped.nn`. The smaller the call, the more a check
weighs. A layer that dimtyped does not type is not listed.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

import dimtyped
from benchmarks import peers
from benchmarks.measure import Candidate, Run
from benchmarks.models import plain_nn
from benchmarks.models.loading import switch_to
from benchmarks.record import Row


@dataclass(frozen=True)
class Case:
    """A layer, what it is made with, and the shape of what goes in.

    Args:
        layer: The class's name.
        arguments: What its constructor takes.
        shape: The input's shape.
        keywords: What else its constructor takes.
        copies: How often the input is given: three times to an attention.
        ids: The ids' range, where the input is token ids.
        classes: The range of a target for each of the input's rows, where there is one.
        reach: The percent that the typed call may take beyond torch's, where that was promised.
        asserts: What a user would assert by hand before torch's `forward`, for comparison.
    """

    layer: str
    arguments: tuple[Any, ...]
    shape: tuple[int, ...]
    keywords: dict[str, Any] = field(default_factory=dict[str, Any])
    copies: int = 1
    ids: int = 0
    classes: int = 0
    reach: int = 0
    asserts: str = ""

    def __str__(self) -> str:
        made = [*map(str, self.arguments), *(f"{key}={value}" for key, value in self.keywords.items())]
        return f"{self.layer}({', '.join(made)}) on {self.shape}"

    @property
    def checks_after_error(self) -> bool:
        """True if a right call runs no check: torch itself raises for the others."""
        contract = getattr(getattr(dimtyped.nn, self.layer), "contract", None)
        return contract is not None and bool(contract.check_after_error)

    def inputs(self, device: torch.device) -> tuple[Tensor, ...]:
        """The arguments of the layer's call."""
        made = torch.randint(self.ids, self.shape) if self.ids else torch.randn(self.shape)
        targets = (torch.randint(self.classes, self.shape[:1]).to(device),) if self.classes else ()
        return (*(made.to(device),) * self.copies, *targets)


_FIRST = {"batch_first": True}
_WIDTH = "isinstance(input, Tensor) and input.dim() > 0 and input.shape[-1] == self.{}"
_SEQUENCE = "isinstance({0}, Tensor) and {0}.dim() == 3 and {0}.shape[-1] == self.{1}"
SMALLEST = (
    Case("Linear", (128, 256), (1, 128), reach=8, asserts=_WIDTH.format("in_features")),
    Case("Embedding", (1000, 128), (1, 1), ids=1000, reach=10),
    Case("GRU", (8, 8), (1, 1, 8), _FIRST, reach=2),
)
_QUICK_CASES = (*SMALLEST, Case("Linear", (768, 3072), (512, 768)))
CASES = (
    *_QUICK_CASES,
    Case("Linear", (8, 8), (1, 8), reach=8, asserts=_WIDTH.format("in_features")),
    Case("Linear", (768, 3072), (8, 768)),
    Case("Embedding", (32_000, 768), (32, 128), ids=32_000),
    Case("GRU", (128, 256), (1, 1, 128), _FIRST),
    Case("GRU", (128, 256), (32, 32, 128), _FIRST),
    Case("LSTM", (8, 8), (1, 1, 8), _FIRST),
    Case("RNN", (8, 8), (1, 1, 8), _FIRST),
    Case("GRUCell", (8, 8), (1, 8)),
    Case("LSTMCell", (8, 8), (1, 8), reach=8),
    Case("Bilinear", (8, 8, 8), (1, 8), copies=2),
    Case("EmbeddingBag", (1000, 128), (1, 1), ids=1000),
    Case(
        "Conv1d",
        (4, 4, 3),
        (1, 4, 8),
        reach=8,
        asserts="isinstance(input, Tensor) and input.dim() in (2, 3) and input.shape[-2] == self.in_channels",
    ),
    Case("Conv2d", (3, 8, 3), (1, 3, 8, 8)),
    Case("Conv2d", (64, 64, 3), (8, 64, 32, 32)),
    Case("LayerNorm", (128,), (1, 128), reach=8, asserts=_WIDTH.format("normalized_shape[-1]")),
    Case("RMSNorm", (128,), (1, 128)),
    Case("BatchNorm1d", (128,), (2, 128)),
    Case("GroupNorm", (4, 128), (1, 128)),
    Case(
        "MultiheadAttention",
        (64, 4),
        (1, 1, 64),
        _FIRST,
        copies=3,
        reach=2,
        asserts=" and ".join(_SEQUENCE.format(name, "embed_dim") for name in ("query", "key", "value")),
    ),
    Case("MultiheadAttention", (256, 4), (8, 64, 256), _FIRST, copies=3),
    Case(
        "TransformerEncoderLayer",
        (64, 4, 128),
        (1, 1, 64),
        _FIRST,
        reach=2,
        asserts=_SEQUENCE.format("src", "self_attn.embed_dim"),
    ),
    Case("CrossEntropyLoss", (), (1, 10), classes=10),
    Case("CrossEntropyLoss", (), (512, 4000), classes=4000),
    Case("MSELoss", (), (1, 8), copies=2),
)
PROMISED = tuple(case for case in CASES if case.reach)
# Those whose own work is so little that a check weighs most.
SMALL = tuple(case for case in CASES if math.prod(case.shape) <= 256)
# Seconds for each of a promised case's candidates: what is promised is a few percent, and is to be told from noise.
_PROMISED_BUDGET = 4
TIED = "TiedDecoder beside torch's Linear, 128 to 1000, on (1, 128)"
MODULE = "your own module: forward(batch, hidden) -> (batch, hidden)"


def ask(run: Run) -> Iterator[Row]:
    switch_to("on")
    for case in _QUICK_CASES if run.quick else CASES:
        theirs, ours = getattr(torch.nn, case.layer), getattr(dimtyped.nn, case.layer)
        if ours is not theirs:
            yield from _versus(run, str(case), theirs, ours, case)
    yield from _tied(run)
    yield from run.compare(MODULE, [_own_module(run, plain_nn), _own_module(run, dimtyped.nn)])


def _versus(run: Run, name: str, theirs: Any, ours: Any, case: Case) -> Iterator[Row]:
    inputs = case.inputs(run.device)
    makers = {"untyped": theirs, "dimtyped": ours}
    if case.asserts:
        makers[peers.ASSERTS.label] = _with_asserts(theirs, case.asserts)
    candidates = [
        Candidate(label, _without_gradients(make(*case.arguments, **case.keywords).to(run.device).eval()), inputs)
        for label, make in makers.items()
    ]
    promised = run.effort if run.quick or not case.reach else dataclasses.replace(run.effort, budget=_PROMISED_BUDGET)
    yield from run.compare(name, candidates, effort=promised)


def _with_asserts(cls: Any, condition: str) -> Any:
    """A layer of torch's that a user has given asserts."""
    names = ", ".join(inspect.signature(cls.forward).parameters)
    source = f"def function({names}):\n    assert {condition}\n    return forward({names})\n"
    forward = peers.function_from(source, Tensor=Tensor, forward=cls.forward)
    forward.__defaults__ = cls.forward.__defaults__
    return type(cls.__name__, (cls,), {"forward": forward})


def _without_gradients(layer: torch.nn.Module) -> torch.nn.Module:
    return layer.requires_grad_(False)


def _tied(run: Run) -> Iterator[Row]:
    """The tied output stands where a Linear stood, so that is what it is related to."""
    x = torch.randn(1, 128, device=run.device)
    makers: dict[str, Callable[[], Any]] = {
        "untyped": lambda: torch.nn.Linear(128, 1000),
        "dimtyped": lambda: dimtyped.nn.TiedDecoder(dimtyped.nn.Embedding(1000, 128)),
    }
    candidates = [Candidate(label, _without_gradients(make().to(run.device)), (x,)) for label, make in makers.items()]
    yield from run.compare(TIED, candidates)


def _own_module(run: Run, nn: Any) -> Candidate:
    class Own(nn.Module):
        def __init__(self, hidden: dimtyped.DimSize):
            super().__init__()
            self.hidden = hidden

        def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
            return x

    return Candidate(
        "untyped" if nn is plain_nn else "dimtyped", Own(8).to(run.device), (torch.zeros(1, 8, device=run.device),)
    )
