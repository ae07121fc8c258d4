"""How long does `dimtyped check` take for a file of ten modules, in a process of its own?

It begins with Python and ends with the process, so that the import of torch is part of it; a process that only imports torch is
beside it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measure import CPU, Run, spread
from benchmarks.models import ten_modules
from benchmarks.record import Row

DEVICES = ("cpu",)
CASE = "dimtyped check of a file of ten modules"
IMPORT = "import torch"
_COMMANDS = {
    IMPORT: [sys.executable, "-c", "import torch"],
    "dimtyped": [sys.executable, "-m", "dimtyped", "check", str(ten_modules.__file__)],
}


def ask(run: Run) -> Iterator[Row]:
    run.say(CASE)
    clock = _cpu_of_children if run.clock == CPU else time.perf_counter
    for command in _COMMANDS.values():
        _seconds(command, clock)  # leaves the files in the cache and the byte code written
    repeats = 1 if run.quick else 11
    samples = [{label: _seconds(command, clock) for label, command in _COMMANDS.items()} for _ in range(repeats)]
    for label in _COMMANDS:
        row = Row(run.question, CASE, label, run.clock, "ms", figure=spread([each[label] * 1e3 for each in samples]))
        if label != IMPORT:
            row.baseline = IMPORT
            row.over = spread([(each[label] - each[IMPORT]) * 1e3 for each in samples])
            row.ratio = spread([each[label] / each[IMPORT] for each in samples])
        yield row


def _seconds(command: list[str], clock: Callable[[], float]) -> float:
    # An installed library has its byte code, whatever the environment says.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    began = clock()
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=Path(__file__).parents[2])
    return clock() - began


def _cpu_of_children() -> float:
    import resource  # noqa: PLC0415  # not on every system

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
