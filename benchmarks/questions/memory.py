"""How much memory do checked functions take, by their number?

A new process defines so many functions, decorates them and calls each once; the figure is how much its resident memory
grew beyond that of the same functions undecorated.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks import peers
from benchmarks.measure import Absent, Run
from benchmarks.record import Row

DEVICES = ("cpu",)
_PEERS = (peers.DIMTYPED, peers.JAXTYPING, peers.DLTYPE)
_MB = 1e6


def ask(run: Run) -> Iterator[Row]:
    for count in (1000,) if run.quick else (1000, 10_000):
        run.say(case(count))
        plain = _megabytes(peers.UNTYPED, count)
        for peer in _PEERS:
            ready = peer.candidate(peers.ONE)
            if isinstance(ready, Absent):
                yield run.absent(case(count), ready)
            else:
                yield run.fact(case(count), peer.label, _megabytes(peer, count) - plain, "MB")


def case(count: int) -> str:
    """The case of so many functions."""
    return f"{count:,} functions, each called once"


def _megabytes(peer: peers.Peer, count: int) -> float:
    command = [sys.executable, "-m", "benchmarks.questions.memory", peer.label, str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _grown_by(peer: peers.Peer, count: int) -> float:
    peer.checked(peers.ONE)(*peers.ONE.tensors())  # what the first function brings with it is no function's own
    functions = [peer.define(peers.ONE) for _ in range(count)]
    before = resident()
    checked = [peer.decorate(function) for function in functions]
    for function in checked:
        function(*peers.ONE.tensors())
    return (resident() - before) / _MB


def resident() -> int:
    """The process's resident memory in bytes."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123  # no file but the kernel's answer
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    label, number = sys.argv[1:]
    print(_grown_by(next(peer for peer in peers.ALL if peer.label == label), int(number)))
