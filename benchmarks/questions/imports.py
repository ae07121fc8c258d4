"""How long does `import dimtyped` take after `import torch`?

A process imports torch once and forks; each fork imports one library and says how long that took. Torch's import leaves
the garbage collector near its next round through all that torch has made, about 90 ms at some import that follows. No
library here made that work, so it is done before; how long an import takes that it falls into is a case of its own.
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
UNCOLLECTED = "import after torch, whose garbage collection is due"
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

def samples():
    return [{label: once(statement) for label, statement in statements.items()} for _ in range(repeats)]

sys.dont_write_bytecode = False  # whatever the environment says: an installed library has its byte code
statements, repeats, clock = json.loads(sys.argv[1]), int(sys.argv[2]), getattr(time, sys.argv[3])
for statement in statements.values():
    once(statement)  # leaves the files in the cache and the byte code written
uncollected = samples()
gc.collect()
print(json.dumps([samples(), uncollected]))
"""


def ask(run: Run) -> Iterator[Row]:
    run.say(IMPORT)
    here = {label: text for label, text in _STATEMENTS.items() if installed(*text.removeprefix("import ").split(", "))}
    repeats = 5 if run.quick else 15
    command = [sys.executable, "-c", _PROGRAM, json.dumps(here), str(repeats), TIMERS[run.clock].__name__]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for case, samples in zip((IMPORT, UNCOLLECTED), json.loads(output), strict=True):
        for label in _STATEMENTS:
            if label in here:
                figure = spread([sample[label] for sample in samples])
                yield Row(run.question, case, label, run.clock, "ms", figure=figure)
            else:
                yield run.absent(case, Absent(label, "not installed"))
