"""How long does `import dimtyped` take after `import torch`?

A process imports torch once and forks; each fork imports one library and says how long that took. What torch's import
leaves the garbage collector to do, 90 ms at some import that follows, is done before: no library here made it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.machine import installed
from benchmarks.measure import TIMERS, Absent, Run, spread
from benchmarks.record import Row

DEVICES = ("cpu",)
IMPORT = "import after torch"
_STATEMENTS = {
    "dimtyped": "import dimtyped",
    "jaxtyping + beartype": "import jaxtyping, beartype",
    "jaxtyping + typeguard": "import jaxtyping, typeguard",
    "dltype": "import dltype",
    "check_shapes": "import check_shapes",
}
_PROGRAM = """
import gc, json, os, sys, time
import torch

def once(statement):
    reader, writer = os.pipe()
    if os.fork() == 0:
        began = clock()
        exec(statement)
        os.write(writer, repr((clock() - began) * 1e3).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.wait()
    return float(text)

gc.collect()
sys.dont_write_bytecode = False  # whatever the environment says: an installed library has its byte code
statements, repeats, clock = json.loads(sys.argv[1]), int(sys.argv[2]), getattr(time, sys.argv[3])
for statement in statements.values():
    once(statement)  # leaves the files in the cache and the byte code written
print(json.dumps([{label: once(statement) for label, statement in statements.items()} for _ in range(repeats)]))
"""


def ask(run: Run) -> Iterator[Row]:
    run.say(IMPORT)
    here = {label: text for label, text in _STATEMENTS.items() if installed(*text.removeprefix("import ").split(", "))}
    repeats = 5 if run.quick else 15
    command = [sys.executable, "-c", _PROGRAM, json.dumps(here), str(repeats), TIMERS[run.clock].__name__]
    samples = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for label in _STATEMENTS:
        if label in here:
            yield Row(
                run.question, IMPORT, label, run.clock, "ms", figure=spread([sample[label] for sample in samples])
            )
        else:
            yield run.absent(IMPORT, Absent(label, "not installed"))
