"""How much memory do checked functions take, by their number?

A new process defines so many functions, decorates them and calls each once; the figure is how much its resident memory
grew beyond that of the same functions undecorated. Another process defines one closure so many times, and keeps none.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks import peers
from benchmarks.measure import Absent, Run
from benchmarks.record import Row

DEVICES = ("cpu",)
_PEERS = (peers.DIMTYPED, peers.JAXTYPING, peers.DLTYPE)
_PEERS_OF_JAXTYPING = _PEERS[:2]
_MB = 1e6


def ask(run: Run) -> Iterator[Row]:
    for count in (1000,) if run.quick else (1000, 10_000):
        for what, asked in ((case(count), _PEERS), (anew(count), _PEERS_OF_JAXTYPING)):
            run.say(what)
            plain = _megabytes(peers.UNTYPED, what, count)
            for peer in asked:
                ready = peer.candidate(peers.ONE)
                if isinstance(ready, Absent):
                    yield run.absent(what, ready)
                else:
                    yield run.fact(what, peer.label, _megabytes(peer, what, count) - plain, "MB")


def case(count: int) -> str:
    """The case of so many functions."""
    return f"{count:,} functions, each called once"


def anew(count: int) -> str:
    """The case of one closure, defined so many times."""
    return f"a closure defined anew and called, {count:,} times"


def _megabytes(peer: peers.Peer, case: str, count: int) -> float:
    command = [sys.executable, "-m", "benchmarks.questions.memory", peer.label, case, str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _grown_by(peer: peers.Peer, count: int) -> float:
    peer.checked(peers.ONE)(*peers.ONE.tensors())  # what the first function brings with it is no function's own
    functions = [peer.define(peers.ONE) for _ in range(count)]
    before = resident()
    checked = [peer.decorate(function) for function in functions]
    for function in checked:
        function(*peers.ONE.tensors())
    return (resident() - before) / _MB


def _grown_by_definitions(peer: peers.Peer, count: int) -> float:
    x = torch.zeros(2, 8)

    def step() -> Tensor:
        def same(x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
            return x

        checked: Callable[[Tensor], Tensor] = peer.decorate(same)
        return checked(x)

    for _ in range(100):
        step()
    gc.collect()
    before = resident()
    for _ in range(count):
        step()
    gc.collect()
    return (resident() - before) / _MB


def resident() -> int:
    """The process's resident memory in bytes."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123  # no file but the kernel's answer
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    label, asked_case, number = sys.argv[1:]
    grown_by = _grown_by if asked_case == case(int(number)) else _grown_by_definitions
    print(grown_by(next(peer for peer in peers.ALL if peer.label == label), int(number)))
