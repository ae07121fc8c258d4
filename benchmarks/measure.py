"""Times candidates side by side: interleaved repeats, medians, quartiles, and ratios within one run."""

from __future__ import annotations

import math
import statistics
import time
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from benchmarks.record import Row, Spread

WALL = "wall"
CPU = "cpu"
EVENTS = "cuda events"
TIMERS = {WALL: time.perf_counter, CPU: time.process_time}
_MOST_LOOPS = 1_000_000
# Seconds for which a shared processor rarely has its full speed without a break.
_LONGEST_WINDOW = 0.004
# Beyond the call that shows whether a candidate runs at all: the first compiles, the next may record a CUDA graph.
_WARM_UPS = 2


def nothing() -> None:
    """Does nothing: the setup of most candidates before a repeat."""


@dataclass(frozen=True)
class Candidate:
    """One way to do the same thing.

    Args:
        label: Its name in the tables.
        call: What is timed, with `arguments`.
        arguments: What it is called with. Default: nothing.
        enter: Runs before each repeat, untimed. Default: nothing.
        note: What a reader must know of it. Default: nothing.
    """

    label: str
    call: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    enter: Callable[[], object] = nothing
    note: str = ""


@dataclass(frozen=True)
class Absent:
    """A candidate that was not timed, and why: `not installed` or `cannot run`."""

    label: str
    status: str
    note: str = ""


@dataclass(frozen=True)
class Effort:
    """The effort spent on a candidate. Many short repeats are better than few long ones on an unsteady machine.

    Args:
        repeats: The minimum number of blocks of calls of each candidate.
        seconds: The minimum time of a block.
        budget: The seconds that a candidate's blocks may take together, where that is more repeats. Default: none.
    """

    repeats: int
    seconds: float
    budget: float = 0

    def part(self, count: int) -> Effort:
        """One of so many parts of it."""
        return Effort(math.ceil(self.repeats / count), self.seconds, self.budget / count)


QUICK = Effort(repeats=5, seconds=0.001)
FULL = Effort(repeats=21, seconds=0.001, budget=0.8)


class _Timed(NamedTuple):
    """Microseconds a call of each candidate by each clock, those that cannot run, and the notes."""

    samples: Mapping[str, Mapping[str, list[float]]]
    failures: Mapping[str, Absent]
    notes: Mapping[str, str]


@dataclass
class Run:
    """One run of the benchmarks: where, how thoroughly, and who hears of its progress."""

    device: torch.device
    quick: bool = False
    clock: str = WALL
    question: str = ""
    say: Callable[[str], object] = field(default=lambda _: None)

    @property
    def effort(self) -> Effort:
        """The repeats and the length of a block."""
        return QUICK if self.quick else FULL

    @property
    def on_gpu(self) -> bool:
        """True if the timed work runs on a GPU."""
        return self.device.type == "cuda"

    def compare(
        self,
        case: str,
        candidates: Sequence[Candidate | Absent],
        baseline: str = "untyped",
        effort: Effort | None = None,
    ) -> Iterator[Row]:
        """Times the candidates and relates each to the baseline.

        Args:
            case: What they all do.
            candidates: Each way to do it; the baseline among them.
            baseline: The label of the candidate that the others are related to. Default: untyped.
            effort: Other repeats than the run's. Default: the run's.
        """
        self.say(case)
        timed = self._time(candidates, effort or self.effort)
        yield from self._all_rows(case, [timed], [candidate.label for candidate in candidates], baseline)

    def compare_made(
        self,
        case: str,
        makers: Mapping[str, Callable[[], Candidate | Absent]],
        baseline: str = "untyped",
        effort: Effort | None = None,
        before: Callable[[], object] = nothing,
    ) -> Iterator[Row]:
        """Compares candidates that are made anew as often as there are of them, each at each place of the order once.

        Two models that are the same differ by up to 4 % in one process, all its life, by where their memory lies.

        Args:
            case: What they all do.
            makers: What makes each of them, by its label; the baseline among them.
            baseline: The label of the candidate that the others are related to. Default: untyped.
            effort: The repeats in all. Default: the run's.
            before: Runs each time before they are made. Default: nothing.
        """
        self.say(case)
        labels = list(makers)
        part = (effort or self.effort).part(len(labels))
        orders = [labels[first:] + labels[:first] for first in range(len(labels))]
        timed: list[_Timed] = []
        for order in orders:
            before()
            timed.append(self._time([makers[label]() for label in order], part))
        yield from self._all_rows(case, timed, labels, baseline)

    def _time(self, candidates: Sequence[Candidate | Absent], effort: Effort) -> _Timed:
        if self.on_gpu:
            torch.cuda.empty_cache()
        runnable: list[Candidate] = []
        failures: dict[str, Absent] = {}
        for candidate in candidates:
            failure = candidate if isinstance(candidate, Absent) else _failure_of(candidate)
            if failure is None:
                runnable.append(candidate)  # type: ignore[arg-type]  # an Absent is always a failure
            else:
                failures[candidate.label] = failure
        notes = {candidate.label: candidate.note for candidate in candidates}
        return _Timed(sample(runnable, effort, EVENTS if self.on_gpu else self.clock), failures, notes)

    def _all_rows(self, case: str, timed: Sequence[_Timed], labels: Sequence[str], baseline: str) -> Iterator[Row]:
        failures = {label: failure for each in timed for label, failure in each.failures.items()}
        samples: dict[str, dict[str, list[float]]] = {}
        for each in timed:
            for label, clocks in each.samples.items():
                for clock, values in clocks.items() if label not in failures else ():
                    samples.setdefault(label, {}).setdefault(clock, []).extend(values)
        for label in labels:
            if label in failures:
                yield self.absent(case, failures[label])
            else:
                yield from self._rows(case, label, timed[0].notes[label], samples, baseline)

    def _rows(
        self, case: str, label: str, note: str, samples: Mapping[str, Mapping[str, list[float]]], baseline: str
    ) -> Iterator[Row]:
        for clock, values in samples[label].items():
            row = Row(self.question, case, label, clock=clock, unit="us", figure=spread(values), note=note)
            base = samples.get(baseline, {}).get(clock)
            if base is not None and label != baseline:
                row.baseline = baseline
                row.over = spread([value - other for value, other in zip(values, base, strict=True)])
                if all(base):  # where nothing runs on the GPU, no time passes between two events
                    row.ratio = spread([value / other for value, other in zip(values, base, strict=True)])
            yield row

    def absent(self, case: str, absent: Absent) -> Row:
        """The row of a candidate that was not timed."""
        return Row(self.question, case, absent.label, status=absent.status, note=absent.note)

    def fact(self, case: str, candidate: str, value: float | bool | str, unit: str = "", note: str = "") -> Row:
        """A row that is no time: a count, or whether something holds."""
        return Row(self.question, case, candidate, clock="", unit=unit, value=value, note=note)


def sample(candidates: Sequence[Candidate], effort: Effort, clock: str) -> dict[str, dict[str, list[float]]]:
    """Microseconds a call: for each candidate and clock one value a repeat, the candidates taking turns."""
    blocks = [_Block(candidate, effort.seconds, clock) for candidate in candidates]
    longest = max((block.seconds for block in blocks), default=1.0)
    speed = ProcessorSpeed(patience=effort.budget * len(blocks))
    repeats = max(effort.repeats, round(effort.budget / longest))
    enough = max(effort.repeats, repeats // 4) if longest < _LONGEST_WINDOW else repeats
    for repeat in range(repeats):
        if speed.patience < 0 and repeat >= enough:
            break
        for block in blocks if repeat % 2 else reversed(blocks):  # there and back: a steady drift cancels
            block.repeat(speed)
    return {block.candidate.label: block.samples for block in blocks}


class ProcessorSpeed:
    """Whether the processor runs at the speed that it can have, by a short loop of Python.

    On a machine that others share, work beside it on the same core halves the speed, for milliseconds or for seconds.
    A block that such a change falls into is timed again.

    Args:
        patience: The seconds to spend on waiting and on blocks timed in vain.

    Attributes:
        patience: What is left of them. Without any, each block counts.
    """

    _STEADY = 1.2
    _best = math.inf

    def __init__(self, patience: float) -> None:
        self.patience = patience
        if patience > 0:
            lowest, *_ = statistics.quantiles((_seconds_of_a_loop() for _ in range(500)), n=20)
            ProcessorSpeed._best = min(self._best, lowest)

    def timed(self, time_block: Callable[[], dict[str, float]], seconds: float) -> dict[str, float]:
        """What a block of about so many seconds takes, by each clock."""
        while self.patience > 0 and seconds < _LONGEST_WINDOW:
            began = time.perf_counter()
            self._wait(began)
            taken = time_block()
            if self._is_full():
                return taken
            self.patience -= time.perf_counter() - began
        return time_block()

    def _wait(self, began: float) -> None:
        while not self._is_full() and time.perf_counter() - began < self.patience:
            pass

    def _is_full(self) -> bool:
        return _seconds_of_a_loop() < self._STEADY * self._best


def _seconds_of_a_loop() -> float:
    began = time.perf_counter()
    for _ in range(300):
        pass
    return time.perf_counter() - began


class _Block:
    """A block of a candidate's calls, long enough for the clock's resolution."""

    def __init__(self, candidate: Candidate, seconds: float, clock: str) -> None:
        self.candidate = candidate
        self.clock = clock
        self.samples: dict[str, list[float]] = {}
        names = {f"a{index}": argument for index, argument in enumerate(candidate.arguments)}
        statement = f"call({', '.join(names)})"
        timer = TIMERS.get(clock, time.perf_counter)
        self.timer = timeit.Timer(statement, timer=timer, globals={"call": candidate.call, **names})
        for _ in range(_WARM_UPS):
            self._warm_up()
        self.loops, self.seconds = self._loops_for(seconds)

    def repeat(self, speed: ProcessorSpeed) -> None:
        """One more sample, by each clock."""
        for clock, seconds in speed.timed(self._warmly, self.seconds).items():
            self.samples.setdefault(clock, []).append(seconds / self.loops * 1e6)

    def _warmly(self) -> dict[str, float]:
        """The time of a block. What one call fills by itself is too long for cold caches to show."""
        if self.loops > 1:
            self._warm_up()
        else:
            self.candidate.enter()
        return self._time(self.loops)

    def _time(self, loops: int) -> dict[str, float]:
        return _between_events(self.timer, loops) if self.clock == EVENTS else {self.clock: self.timer.timeit(loops)}

    def _warm_up(self) -> None:
        self.candidate.enter()
        self._time(1)

    def _loops_for(self, seconds: float) -> tuple[int, float]:
        """The number of calls in a block of so many seconds, and the time that the block will take."""
        loops = 1
        while (taken := max(self._time(loops).values())) < seconds / 10 and loops < _MOST_LOOPS:
            loops *= 10
        needed = max(1, min(_MOST_LOOPS, round(loops * seconds / taken)))
        return needed, needed * taken / loops


def _between_events(timer: timeit.Timer, loops: int) -> dict[str, float]:
    """The wall clock from an idle GPU to an idle GPU, and the GPU's own clock between two events in its stream."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    began = time.perf_counter()
    start.record()
    timer.timeit(loops)
    end.record()
    torch.cuda.synchronize()
    return {WALL: time.perf_counter() - began, EVENTS: start.elapsed_time(end) / 1e3}


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, len(values))


def _failure_of(candidate: Candidate) -> Absent | None:
    """The reason why a candidate cannot run; None if it can."""
    try:
        candidate.enter()
        candidate.call(*candidate.arguments)
    except Exception as error:  # noqa: BLE001  # that a peer cannot run is a result
        return Absent(candidate.label, "cannot run", first_line(error))
    return None


def first_line(error: BaseException) -> str:
    """An exception in one line."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}"[:160]
