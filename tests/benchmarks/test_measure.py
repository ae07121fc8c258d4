"""What falls into a slow moment of a shared machine is timed again, and no longer than the patience lasts."""

from collections.abc import Iterator

import pytest

from benchmarks import measure
from benchmarks.measure import Candidate, Effort, ProcessorSpeed, sample

FULL, HALF = 1e-5, 2e-5


@pytest.fixture
def loops(monkeypatch):
    """The seconds that each loop takes, in order; at full speed once they have run out."""
    taken: list[float] = []

    def next_one() -> float:
        return taken.pop(0) if taken else FULL

    monkeypatch.setattr(measure, "_seconds_of_a_loop", next_one)
    monkeypatch.setattr(ProcessorSpeed, "_best", FULL)
    return taken


def blocks() -> Iterator[dict[str, float]]:
    return ({"wall": float(number)} for number in range(10))


def timed(speed: ProcessorSpeed, seconds: float = 0.001) -> float:
    made = blocks()
    return speed.timed(lambda: next(made), seconds)["wall"]


def test_a_block_at_full_speed_counts(loops):
    assert timed(ProcessorSpeed(patience=1)) == 0


def test_a_block_before_or_after_which_the_processor_is_slow_is_timed_again(loops):
    speed = ProcessorSpeed(patience=1)
    loops[:] = [HALF, HALF, FULL, HALF, FULL, FULL]  # waits twice, times, is slow after it; times again
    assert timed(speed) == 1
    assert loops == []
    assert 0 < speed.patience < 1


def test_without_patience_each_block_counts(loops):
    loops[:] = [HALF] * 1000
    assert timed(ProcessorSpeed(patience=0)) == 0


def test_patience_ends(loops, monkeypatch):
    speed = ProcessorSpeed(patience=0.01)
    monkeypatch.setattr(measure, "_seconds_of_a_loop", lambda: HALF)
    assert timed(speed) == 1  # the last one that was timed in vain came before it
    assert speed.patience <= 0


def test_a_block_longer_than_any_window_counts(loops):
    speed = ProcessorSpeed(patience=1)
    loops[:] = [HALF] * 1000
    assert timed(speed, seconds=1.0) == 0


def test_the_speed_that_it_can_have_is_the_best_of_the_run(loops, monkeypatch):
    monkeypatch.setattr(ProcessorSpeed, "_best", HALF)
    ProcessorSpeed(patience=1)
    assert ProcessorSpeed._best == pytest.approx(FULL)


def test_sampling_ends_with_the_patience_but_not_before_the_fewest_repeats(monkeypatch):
    monkeypatch.setattr(measure, "_seconds_of_a_loop", lambda: HALF)
    monkeypatch.setattr(ProcessorSpeed, "_best", FULL)
    monkeypatch.setattr(measure.statistics, "quantiles", lambda *_, **__: [HALF])
    candidate = Candidate("pass", lambda: None)
    samples = sample([candidate], Effort(repeats=3, seconds=0.0001, budget=0.001), "wall")
    assert 3 <= len(samples["pass"]["wall"]) < 8
