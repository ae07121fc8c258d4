"""What does a function pay once: its decoration and its first call?

Each repeat decorates some new functions in a row, as a module's import does, and calls each for the first time and for the
second; what the first takes beyond the second is what was prepared in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks import peers
from benchmarks.machine import installed
from benchmarks.measure import TIMERS, Absent, Run, spread
from benchmarks.record import Row

DEVICES = ("cpu",)
DECORATION = "decoration"
FIRST = "first call beyond later ones"
_IN_A_ROW = 10
_PEERS = (peers.DIMTYPED, peers.REFERENCE, *peers.OTHERS)


def ask(run: Run) -> Iterator[Row]:
    run.say("decoration and first call")
    ready = {peer.label: peer.candidate(peers.ONE) if installed(*peer.needs) else None for peer in _PEERS}
    runnable = [peer for peer in _PEERS if not isinstance(ready[peer.label], Absent | None)]
    samples: dict[str, list[tuple[float, float]]] = {peer.label: [] for peer in runnable}
    clock = TIMERS[run.clock]
    for _ in range(run.effort.repeats):
        for peer in runnable:
            samples[peer.label] += [_once(peer, clock) for _ in range(_IN_A_ROW)]
    for index, case in enumerate((DECORATION, FIRST)):
        for peer in _PEERS:
            yield _row(run, case, peer, ready[peer.label], [sample[index] for sample in samples.get(peer.label, [])])


def _once(peer: peers.Peer, clock: Callable[[], float]) -> tuple[float, float]:
    """Microseconds of a decoration, and of a first call beyond the second."""
    function, arguments = peer.define(peers.ONE), peers.ONE.tensors()
    began = clock()
    checked = peer.decorate(function)
    decorated = clock()
    checked(*arguments)
    first = clock()
    checked(*arguments)
    second = clock()
    return (decorated - began) * 1e6, ((first - decorated) - (second - first)) * 1e6


def _row(run: Run, case: str, peer: peers.Peer, ready: object, samples: list[float]) -> Row:
    if samples:
        return Row(run.question, case, peer.label, run.clock, "us", figure=spread(samples))
    return run.absent(case, ready if isinstance(ready, Absent) else Absent(peer.label, "not installed"))
