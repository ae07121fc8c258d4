"""Which silent bugs does each checker find before a run, what does it say of the right twins, and how long does it take?

The programs are those of the gallery of findings. Each tool gets them in two folders, wrong and right, in the form that it reads, and
nothing else: no sizes, no arguments. One file counts once, however much is said of it. The two folders run side by side.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks import gallery
from benchmarks.measure import WALL, Absent, Run, first_line, spread
from benchmarks.record import Row

DEVICES = ("cpu",)
_FEW = 3
_LONGEST = 300


@dataclass(frozen=True)
class Tool:
    """A tool that looks at programs before they run.

    Args:
        label: Its name in the tables.
        command: What it is called by; the folder follows.
        form: How it is given the programs.
        found: Reads the names of the files of which it says something from what it prints.
        note: What a reader must know.
    """

    label: str
    command: tuple[str, ...]
    form: gallery.Form
    found: Callable[[str], set[str]]
    note: str = ""


def _of_dimtyped(printed: str) -> set[str]:
    return {Path(finding["file"]).stem for finding in json.loads(printed)["findings"]}


def _of_lines(pattern: str) -> Callable[[str], set[str]]:
    """The files of the lines that match, whose first group is the file."""
    line = re.compile(pattern, re.MULTILINE)
    return lambda printed: {Path(found).stem for found in line.findall(printed)}


OURS = Tool(
    "dimtyped check", (sys.executable, "-m", "dimtyped", "check", "--format", "json"), gallery.OWN, _of_dimtyped
)
TSF = Tool(
    "tsf check",
    ("tsf", "check"),
    gallery.SHAPES,
    _of_lines(r"^(\S+\.py):\d+:\d+ \w+ TSF1\d+"),
    note="its TSF1xxx diagnostics, warnings too; TSF2xxx say that a shape is not tracked",
)
TORCHTYC = Tool(
    "torchtyc check", ("torchtyc", "check"), gallery.TORCH, _of_lines(r"^(\S+\.py):\d+:\d+: error"), note="its errors"
)
TOOLS = (OURS, TSF, TORCHTYC)


def missed(count: int) -> str:
    """The case of so many wrong programs."""
    return f"silent bugs missed, of {count}"


def false(count: int) -> str:
    """The case of so many right programs."""
    return f"right twins with a finding, of {count}"


def seconds(count: int) -> str:
    """The case of the time for both."""
    return f"time for {2 * count} programs"


def ask(run: Run) -> Iterator[Row]:
    examples = gallery.EXAMPLES[:_FEW] if run.quick else gallery.EXAMPLES
    count = len(examples)
    for tool in TOOLS:
        run.say(tool.label)
        answer = _answer(tool, count)
        if isinstance(answer, Absent):
            yield from (run.absent(case, answer) for case in (missed(count), false(count), seconds(count)))
            continue
        wrong, right, took = answer
        note = f"given each program {tool.form.what}{'; ' + tool.note if tool.note else ''}"
        yield run.fact(missed(count), tool.label, count - wrong, note=note)
        yield run.fact(false(count), tool.label, right)
        yield Row(run.question, seconds(count), tool.label, WALL, "us", figure=spread([took * 1e6]))


def _answer(tool: Tool, count: int) -> tuple[int, int, float] | Absent:
    """How many of the wrong and of the right programs it says something of, and the seconds for both."""
    command = _command(tool)
    if command is None:
        return Absent(tool.label, "not installed")
    with tempfile.TemporaryDirectory() as made:
        gallery.write(Path(made), tool.form, gallery.EXAMPLES[:count])
        began = time.perf_counter()
        folders = [Path(made) / kind for kind in (gallery.WRONG, gallery.RIGHT)]
        with ThreadPoolExecutor(len(folders)) as both:
            try:
                wrong, right = both.map(lambda folder: _names(tool, [*command, str(folder)]), folders)
            except subprocess.TimeoutExpired:
                return Absent(tool.label, "cannot run", f"takes more than {_LONGEST} s")
            except RuntimeError as error:
                if tool is OURS:
                    raise
                return Absent(tool.label, "cannot run", first_line(error))
        return len(wrong), len(right), time.perf_counter() - began


def _command(tool: Tool) -> list[str] | None:
    """The command, its program that of a package that this Python imports, whether or not it is on the path."""
    name, *arguments = tool.command
    if name == sys.executable:
        return [*tool.command]
    for entry in importlib.metadata.entry_points(group="console_scripts", name=name):
        code = f"import sys; from {entry.module} import {entry.attr} as main; sys.argv[0] = {name!r}; sys.exit(main())"
        return [sys.executable, "-c", code, *arguments]
    return None


def _names(tool: Tool, command: list[str]) -> set[str]:
    """The programs that the tool says something of.

    Raises:
        RuntimeError: it could not do its work: it says that by another exit code than those of findings.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{tool.label} exits with {done.returncode}: {done.stderr.strip()[-300:]}")
    return tool.found(done.stdout)
