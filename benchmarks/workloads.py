"""The models at work: their sizes on each device, a training step, greedy decoding."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks import peers
from benchmarks.measure import Absent, Candidate, Run, first_line
from benchmarks.models.loading import model_class, switch_to

# A second untyped model: how far two that are the same lie apart in this run.
CONTROL = "untyped, again"
# The typed model, by mode.
TYPED = {"on": peers.DIMTYPED.label, "off": peers.OFF.label}


@dataclass(frozen=True)
class Workload:
    """A model and what goes through it.

    Args:
        name: The model's file.
        sizes: What its constructor takes.
        length: Tokens in a sequence.
        prompt: Tokens before a decoding.
        written: Tokens that a decoding writes.
        batches: The batch sizes of training steps.
    """

    name: str
    sizes: Mapping[str, int]
    length: int
    prompt: int
    written: int
    batches: tuple[int, ...]

    def model(self, device: torch.device, *, typed: bool, mode: str = "on") -> torch.nn.Module:
        """A new model, its weights the same each time."""
        torch.manual_seed(0)
        return model_class(self.name, typed=typed, mode=mode)(**self.sizes).to(device)

    def tokens(self, batch: int, length: int, device: torch.device) -> torch.Tensor:
        """Token ids, the same each time."""
        generator = torch.Generator().manual_seed(1)
        return torch.randint(self.sizes["vocab"], (batch, length), generator=generator).to(device)

    def inputs(self, batch: int, device: torch.device) -> tuple[torch.Tensor, ...]:
        """The arguments of the model's `forward`."""
        tokens = self.tokens(batch, self.length, device)
        return (tokens, tokens) if self.name == "seq2seq" else (tokens,)

    def step(
        self,
        model: torch.nn.Module,
        batch: int,
        device: torch.device,
        *,
        autocast: bool = False,
        capturable: bool = False,
    ) -> Callable[[], Any]:
        """A training step: forward, loss, backward, AdamW. Returns the loss."""
        inputs, targets = self.inputs(batch, device), self.tokens(batch, self.length, device)
        return training_step(model, inputs, targets.flatten(), autocast=autocast, capturable=capturable)

    def decode(self, model: Any, batch: int, device: torch.device) -> Callable[[], torch.Tensor]:
        """Greedy decoding."""
        prompt = self.tokens(batch, self.prompt, device)

        @torch.no_grad()
        def decode() -> torch.Tensor:
            return model.write(prompt, self.written)

        return decode


def training_step(
    model: Any,
    inputs: tuple[torch.Tensor, ...],
    targets: torch.Tensor,
    *,
    autocast: bool = False,
    capturable: bool = False,
) -> Callable[[], torch.Tensor]:
    """Forward, loss, backward and AdamW as a function of nothing.

    Args:
        model: Takes the inputs, gives logits.
        inputs: What it takes.
        targets: The tokens that it is to give.
        autocast: Whether in bfloat16 where autocast says so. Default: False.
        capturable: Whether the optimizer's step is to be captured in a CUDA graph. Default: False.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, capturable=capturable)
    kind = targets.device.type

    def step() -> torch.Tensor:
        with torch.autocast(kind, torch.bfloat16) if autocast else contextlib.nullcontext():
            loss = torch.nn.functional.cross_entropy(model(*inputs).flatten(0, 1), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


QUICK = (
    Workload("seq2seq", {"vocab": 500, "embed": 32, "hidden": 64}, length=6, prompt=6, written=6, batches=(1, 16)),
    Workload(
        "gpt",
        {"vocab": 500, "context": 64, "embed": 64, "heads": 2, "layers": 2},
        16,
        prompt=4,
        written=6,
        batches=(1, 8),
    ),
)
_CPU = (
    Workload(
        "seq2seq", {"vocab": 4000, "embed": 128, "hidden": 256}, 12, prompt=12, written=12, batches=(1, 8, 32, 128)
    ),
    Workload(
        "gpt",
        {"vocab": 4000, "context": 128, "embed": 128, "heads": 4, "layers": 4},
        64,
        prompt=8,
        written=16,
        batches=(1, 4, 16, 64),
    ),
)
_CUDA = (
    Workload(
        "seq2seq", {"vocab": 32_000, "embed": 512, "hidden": 1024}, 16, prompt=16, written=24, batches=(1, 16, 128, 512)
    ),
    Workload(
        "gpt",
        {"vocab": 32_000, "context": 512, "embed": 768, "heads": 12, "layers": 6},
        512,
        prompt=16,
        written=24,
        batches=(1, 4, 16, 32),
    ),
)


def workloads(run: Run) -> tuple[Workload, ...]:
    """The models in the sizes for this run."""
    if run.quick:
        return QUICK
    return _CUDA if run.on_gpu else _CPU


def versus(
    make: Callable[[torch.nn.Module], Callable[[], Any]], workload: Workload, run: Run, *, control: bool = False
) -> Iterator[Candidate | Absent]:
    """Candidates of one work: with the untyped and with the typed model.

    Args:
        make: Makes the work of a model.
        workload: The model.
        run: The run, with its device.
        control: Whether a second untyped model is timed too. Default: False.
    """
    for maker in makers(make, workload, run, control=control).values():
        yield maker()


def makers(
    make: Callable[[torch.nn.Module], Callable[[], Any]],
    workload: Workload,
    run: Run,
    *,
    control: bool = False,
    mode: str = "on",
) -> dict[str, Callable[[], Candidate | Absent]]:
    """What makes each of `versus`' candidates, by label; `mode` is the typed model's."""
    labels = {"untyped": False, TYPED[mode]: True, **({CONTROL: False} if control else {})}
    return {
        label: functools.partial(_made, label, make, workload, run, mode, typed=typed)
        for label, typed in labels.items()
    }


def _made(
    label: str,
    make: Callable[[torch.nn.Module], Callable[[], Any]],
    workload: Workload,
    run: Run,
    mode: str,
    *,
    typed: bool,
) -> Candidate | Absent:
    switch_to(mode)
    try:
        work = make(workload.model(run.device, typed=typed, mode=mode))
    except Exception as error:  # noqa: BLE001  # that work cannot be captured or compiled is a result
        return Absent(label, "cannot run", first_line(error))
    return Candidate(label, work)
