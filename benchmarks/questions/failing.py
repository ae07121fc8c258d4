"""How long from a wrong call to the text that explains it?

The slow part of a check runs only here. Each candidate is called with a tensor that lacks an axis and its error is
turned into text; `untyped` is what torch itself says, where it says anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

import dimtyped
from benchmarks import peers
from benchmarks.measure import Absent, Candidate, Run
from benchmarks.record import Row
from benchmarks.workloads import workloads

DEVICES = ("cpu",)
FUNCTION = "a function of one tensor"


def ask(run: Run) -> Iterator[Row]:
    yield from run.compare(FUNCTION, [_failing_peer(peer) for peer in peers.ALL[2:]], baseline="")
    wrong = torch.zeros(1, 127, device=run.device)
    layers = {"untyped": torch.nn.Linear(128, 256), "dimtyped": dimtyped.nn.Linear(128, 256)}
    yield from run.compare(
        "Linear(128, 256) on (1, 127)",
        [Candidate(label, _text_of(layer.to(run.device)), (wrong,)) for label, layer in layers.items()],
    )
    yield from run.compare("a layer deep in the seq2seq", _deep(run))


def _failing_peer(peer: peers.Peer) -> Candidate | Absent:
    candidate = peer.candidate(peers.ONE)
    if isinstance(candidate, Absent):
        return candidate
    return Candidate(peer.label, _text_of(candidate.call), peers.ONE.wrong_tensors(), note=candidate.note)


def _text_of(call: Callable[..., Any]) -> Callable[..., str]:
    def fail(*arguments: Any) -> str:
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001  # each library raises its own
            return str(error)
        raise AssertionError("a wrong call went through")

    return fail


def _deep(run: Run) -> list[Candidate]:
    """The decoder's state is given batch first, as happens."""
    workload = workloads(run)[0]
    batch, hidden = 4, workload.sizes["hidden"]
    token = workload.tokens(batch, 1, run.device)
    state = torch.zeros(batch, 1, hidden, device=run.device)
    keys = torch.zeros(batch, workload.length, hidden, device=run.device)
    models: dict[str, Any] = {
        label: workload.model(run.device, typed=typed) for label, typed in (("untyped", False), ("dimtyped", True))
    }
    return [Candidate(label, _text_of(model.decoder), (token, state, keys)) for label, model in models.items()]
