"""What the checks cost: the time of a training step with them, and of the same model without."""

import copy
import inspect
import statistics
import time
import types
from dataclasses import dataclass

import torch

from dimtyped import untype
from dimtyped._demo.model import Seq2Seq
from dimtyped._demo.training import Task, loss_of

ROUNDS = 25


@dataclass(frozen=True)
class Cost:
    """The median time of a training step, in milliseconds."""

    checked: float
    unchecked: float

    @property
    def added(self) -> float:
        """The checks' part of a step: 0.01 is one per cent."""
        return self.checked / self.unchecked - 1


def unchecked(model: Seq2Seq) -> Seq2Seq:
    """A copy whose layers are torch's own, and whose methods are what they were before they were typed."""
    plain = untype(copy.deepcopy(model))
    for module in plain.modules():
        for name in ("forward", "step", "write"):
            method = getattr(type(module), name, None)
            if method is not None and hasattr(method, "__wrapped__"):
                setattr(module, name, types.MethodType(inspect.unwrap(method), module))
    return plain


def measure(model: Seq2Seq, task: Task, rounds: int = ROUNDS) -> Cost:
    """Forward and backward of one batch, the two models in turn."""
    models = (copy.deepcopy(model), unchecked(model))
    times: tuple[list[float], list[float]] = ([], [])
    source, target = task.batch(0)
    for _ in range(rounds):
        for one, taken in zip(models, times, strict=True):
            begin = time.perf_counter()
            torch.autograd.backward(loss_of(one, source, target))
            taken.append(1e3 * (time.perf_counter() - begin))
    return Cost(*(statistics.median(taken[2:]) for taken in times))
