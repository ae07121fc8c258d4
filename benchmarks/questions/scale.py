"""How do costs grow with the number of modules, and of functions?

Each curve has its time at several sizes, and the exponent that its last tenth of the sizes upward follows: 1 is linear. Making
and calling nested modules has the untyped ones beside it.
"""

from __future__ import annotations

import functools
import gc
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

import dimtyped
from benchmarks import peers
from benchmarks.measure import TIMERS, Run, spread
from benchmarks.questions.memory import resident
from benchmarks.record import Row
from dimtyped import DimSize, nn
from dimtyped.testing import fuzz

DEVICES = ("cpu",)
EXPONENT = "exponent"
DEPTHS = (10, 30, 100, 300, 1000)
_WIDTH = 8
_STACK = 512 * 2**20
_MB = 1e6


class Level(nn.Module):
    """A module that calls the one within it."""

    def __init__(self, width: DimSize, inner: torch.nn.Module | None = None) -> None:
        super().__init__()
        self.width, self.inner = width, inner

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return x if self.inner is None else self.inner(x)


class PlainLevel(torch.nn.Module):
    """The same, untyped."""

    def __init__(self, width: int, inner: torch.nn.Module | None = None) -> None:
        super().__init__()
        self.width, self.inner = width, inner

    def forward(self, x: Tensor) -> Tensor:
        return x if self.inner is None else self.inner(x)


class Stack(nn.Module):
    """Layers one after the other, appended one by one."""

    def __init__(self, width: DimSize, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(layers):
            self.layers.append(nn.Linear(width, width))

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        for layer in self.layers:
            x = layer(x)
        return x


@dataclass(frozen=True)
class Curve:
    """What is measured at several sizes.

    Args:
        what: What is done.
        unit: What is counted.
        sizes: The numbers of them.
        prepare: Makes, for a number, what is timed once; for each repeat anew.
        plain: The same without types. Default: nothing to compare with.
        most: The largest exponent that counts as linear here.
        why: What to say where it is larger.
    """

    what: str
    unit: str
    sizes: tuple[int, ...]
    prepare: Callable[[int], Callable[[], Any]]
    plain: Callable[[int], Callable[[], Any]] | None = None
    most: float = 1.2
    why: str = ""

    def case(self, size: int) -> str:
        """The case of one size."""
        return f"{self.what}: {size:,} {self.unit}"

    @property
    def exponent(self) -> str:
        """The case of the exponent."""
        return f"{self.what}, by {self.unit}"


def _nested(kind: Callable[..., torch.nn.Module], depth: int) -> torch.nn.Module:
    return functools.reduce(lambda inner, _: kind(_WIDTH, inner), range(depth - 1), kind(_WIDTH))


def _making(kind: Callable[..., torch.nn.Module]) -> Callable[[int], Callable[[], Any]]:
    return lambda depth: lambda: _nested(kind, depth)


def _calling(kind: Callable[..., torch.nn.Module], *, first: bool) -> Callable[[int], Callable[[], Any]]:
    def prepare(depth: int) -> Callable[[], Any]:
        model, x = _nested(kind, depth), torch.zeros(2, _WIDTH)
        if not first:
            model(x)
        return lambda: model(x)

    return prepare


def _retyping(modules: int) -> Callable[[], Any]:
    blocks = [torch.nn.Sequential(torch.nn.Linear(_WIDTH, _WIDTH), torch.nn.ReLU()) for _ in range(modules // 3)]
    model = torch.nn.Sequential(*blocks)
    return lambda: dimtyped.retype(model)


def _checking(layers: int) -> Callable[[], Any]:
    model = Stack(_WIDTH, layers)
    return lambda: dimtyped.check(model).raise_if_any()


def _watching(layers: int) -> Callable[[], Any]:
    model, x = Stack(_WIDTH, layers), torch.zeros(2, _WIDTH)

    def step() -> None:
        with dimtyped.watch() as report:
            model(x)
        report.raise_if_any()

    return step


def _fuzzing(layers: int) -> Callable[[], Any]:
    model = Stack(_WIDTH, layers)
    return lambda: fuzz(model, max_examples=10)


def _defining(decorate: Callable[..., Any]) -> Callable[[int], Callable[[], Any]]:
    x = torch.zeros(2, _WIDTH)

    def step() -> Tensor:
        @decorate
        def same(x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
            return x

        return same(x)

    return lambda times: lambda: [step() for _ in range(times)]


ANEW = Curve(
    "a closure defined anew in each step, and called",
    "steps",
    (10, 100, 1000, 10_000),
    _defining(dimtyped.typed),
    _defining(lambda function: function),
)
CURVES = (
    Curve("nested modules made, the innermost first", "modules", DEPTHS, _making(Level), _making(PlainLevel)),
    Curve(
        "nested modules called",
        "modules",
        DEPTHS,
        _calling(Level, first=False),
        _calling(PlainLevel, first=False),
        why="a thousand calls inside one another leave the processor's caches, those of the untyped modules too",
    ),
    Curve("nested modules called for the first time", "modules", DEPTHS, _calling(Level, first=True)),
    Curve("layers appended to a list", "layers", DEPTHS, lambda layers: lambda: Stack(_WIDTH, layers)),
    Curve("retype of a plain model", "modules", DEPTHS, _retyping),
    Curve("check of a stack", "layers", DEPTHS, _checking),
    Curve("a call within watch", "layers", DEPTHS, _watching),
    ANEW,
    Curve("fuzz of a stack, 10 examples", "layers", DEPTHS[:-1], _fuzzing),
)
# What a process of its own measures of its functions, with the unit.
OF_FUNCTIONS = {"decorated": "us", "called for the first time": "us", "memory": "MB"}
FUNCTIONS = (1000, 10_000)
OF_COLLECTIONS = (
    "with the number of objects grow Python's garbage collections, which go through all of torch's; without them a decoration takes "
    "as long with 10,000 functions as with 1,000"
)
SIGNATURES = ("functions with one signature", "functions with a signature each")


def ask(run: Run) -> Iterator[Row]:
    rows: list[Row] = []
    answer = threading.Thread(target=lambda: rows.extend(_curves(run)))
    before, limit = threading.stack_size(_STACK), sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)  # a thousand modules that call one another
    try:
        answer.start()
        answer.join()
    finally:
        threading.stack_size(before)
        sys.setrecursionlimit(limit)
    if not rows:
        raise RuntimeError("no curve was measured: the error is printed above")
    yield from rows
    for signature in SIGNATURES:
        yield from _of_functions(run, signature)


def _curves(run: Run) -> Iterator[Row]:
    for curve in CURVES:
        sizes = [size for size in curve.sizes if size <= 100] if run.quick else curve.sizes
        yield from _curve(run, curve, sizes)


def _curve(run: Run, curve: Curve, sizes: Sequence[int]) -> Iterator[Row]:
    kinds = {"dimtyped": curve.prepare, **({"untyped": curve.plain} if curve.plain else {})}
    medians: dict[str, list[float]] = {label: [] for label in kinds}
    for prepare in kinds.values():
        prepare(2)()  # what a class pays once
    for size in sizes:
        run.say(curve.case(size))
        samples: dict[str, list[float]] = {label: [] for label in kinds}
        gc.collect()  # of what other sizes have left
        for _ in range(3 if run.quick else _repeats(size)):
            for label, prepare in kinds.items():
                samples[label].append(_timed(prepare(size), TIMERS[run.clock]))
        for label, values in samples.items():
            figure = spread(values)
            medians[label].append(figure.median)
            yield Row(run.question, curve.case(size), label, run.clock, "us", figure=figure)
    for label, values in medians.items():
        yield run.fact(curve.exponent, label, exponent(sizes, values), EXPONENT)


def _repeats(size: int) -> int:
    return 3 if size > 100 else 5


def _timed(action: Callable[[], Any], clock: Callable[[], float]) -> float:
    """Microseconds of one call."""
    began = clock()
    action()
    return (clock() - began) * 1e6


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """The slope of the values over the sizes, both as logarithms, from a tenth of the largest size on."""
    points = [(math.log(n), math.log(v)) for n, v in zip(sizes, values, strict=True) if 10 * n >= max(sizes)]
    x_mean, y_mean = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / sum((x - x_mean) ** 2 for x, _ in points)


# Functions ------------------------------------------------------------------------------------------------------------


def of_functions(signature: str, what: str, count: int) -> str:
    """The case of so many functions."""
    return f"{signature}, {what}: {count:,}"


def exponent_of_functions(signature: str, what: str) -> str:
    """The case of their exponent."""
    return f"{signature}, {what}"


def _of_functions(run: Run, signature: str) -> Iterator[Row]:
    counts = (100, 1000) if run.quick else FUNCTIONS
    found: dict[str, list[float]] = {what: [] for what in OF_FUNCTIONS}
    for count in counts:
        run.say(f"{count:,} {signature}")
        command = [sys.executable, "-m", "benchmarks.questions.scale", signature, str(count), run.clock]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        for (what, unit), value in zip(OF_FUNCTIONS.items(), map(float, printed), strict=True):
            found[what].append(value)
            case = of_functions(signature, what, count)
            if unit == "us":
                yield Row(run.question, case, "dimtyped", run.clock, unit, figure=spread([value]))
            else:
                yield run.fact(case, "dimtyped", value, unit)
    for what, values in found.items():
        yield run.fact(exponent_of_functions(signature, what), "dimtyped", exponent(counts, values), EXPONENT)


def _measured(signature: str, count: int, clock: Callable[[], float]) -> tuple[float, float, float]:
    """The microseconds of all decorations and of all first calls, and the megabytes that both take."""
    subjects = [_subject(number if signature == SIGNATURES[1] else 0) for number in range(count)]
    peers.DIMTYPED.checked(_subject(-1))(torch.zeros(2, 3, 4))
    functions = [peers.DIMTYPED.define(subject) for subject in subjects]
    x = torch.zeros(2, 3, 4)
    gc.collect()
    before, began = resident(), clock()
    checked = [dimtyped.typed(function) for function in functions]
    decorated = clock()
    for function in checked:
        function(x)
    called = clock()
    return (decorated - began) * 1e6, (called - decorated) * 1e6, (resident() - before) / _MB


def _subject(number: int) -> peers.Subject:
    names = [f"{name}{number}" if number >= 0 else name for name in ("batch", "seq", "embed")]
    axes = " ".join(names)
    return peers.Subject((axes,), axes, dict(zip(names, (2, 3, 4), strict=True)))


if __name__ == "__main__":
    kind, number, timer = sys.argv[1:]
    torch.set_num_threads(1)
    print(*_measured(kind, int(number), TIMERS[timer]))
