"""The cost of the checks: the time of a training step with them, and of the same model without."""

import copy
import inspect
import statistics
import time
import types
from dataclasses import dataclass

import torch
from torch import Tensor

from dimtyped import untype
from dimtyped.cli.demo.model import Seq2Seq
from dimtyped.cli.demo.training import Task, loss_of

PAIRS, WARM_UP = 30, 3
IS_FINE = time.get_clock_info("process_time").resolution < 1e-4
CLOCK = time.process_time if IS_FINE else time.perf_counter  # processor time, which excludes other programs


@dataclass(frozen=True)
class Cost:
    """Times measured in pairs: a training step with the checks and one without, right after each other.

    Attributes:
        checked: The median step with the checks, in milliseconds.
        unchecked: The median step without.
        added: The median pair's ratio less one: 0.01 is one per cent.
        low: The lower quartile of these ratios, less one.
        high: The upper quartile of these ratios, less one.
    """

    checked: float
    unchecked: float
    added: float
    low: float
    high: float


def unchecked(model: Seq2Seq) -> Seq2Seq:
    """A copy with torch's own layers, and with the methods as they were before they were typed."""
    plain = untype(copy.deepcopy(model))
    for module in plain.modules():
        for name in ("forward", "step"):
            method = getattr(type(module), name, None)
            if method is not None and hasattr(method, "__wrapped__"):
                setattr(module, name, types.MethodType(inspect.unwrap(method), module))
    return plain


def measure(model: Seq2Seq, task: Task) -> Cost:
    """Runs forward and backward of one batch by the two models in turn."""
    batch = task.batch(0)
    checked, plain = copy.deepcopy(model), unchecked(model)
    with_checks: list[float] = []
    without: list[float] = []
    turns = [(checked, with_checks), (plain, without)]
    for _ in range(WARM_UP + PAIRS):
        for one, times in turns:
            times.append(_step_time(one, batch))
        turns.reverse()
    del with_checks[:WARM_UP], without[:WARM_UP]
    ratios = [ours / theirs - 1 for ours, theirs in zip(with_checks, without, strict=True)]
    low, added, high = statistics.quantiles(ratios, n=4)
    return Cost(statistics.median(with_checks), statistics.median(without), added, low, high)


def _step_time(model: Seq2Seq, batch: tuple[Tensor, Tensor]) -> float:
    begin = CLOCK()
    torch.autograd.backward(loss_of(model, *batch))
    return 1e3 * (CLOCK() - begin)
