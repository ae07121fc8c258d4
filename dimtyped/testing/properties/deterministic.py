"""Runs of a call with the same random numbers each time, in one thread, on copied arguments."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from hypothesis import HealthCheck, Phase
from torch import Tensor

from dimtyped.testing.strategies.calls import Call
from dimtyped.testing.strategies.leaves import Leaf, leaves_of, mapped

_TOLERANCES = {torch.float64: (1e-7, 1e-9), torch.complex128: (1e-7, 1e-9)}
_ROUGH = (1e-3, 1e-4)
QUIET: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "report_multiple_bugs": False,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.explicit, Phase.generate, Phase.shrink),
}
"""Settings of fuzz's searches: the same calls each time, and no text from hypothesis."""
LOOKING: dict[str, Any] = {**QUIET, "phases": (Phase.generate,)}
"""Settings for calls that are only collected: no failure is shrunk."""


@contextmanager
def deterministic(*, double: bool, seed: int = 0) -> Generator[None]:
    """Seeds the random numbers, and makes new floats in double precision if asked."""
    before = torch.get_default_dtype()
    with _seeded(seed), torch.no_grad():
        torch.set_default_dtype(torch.float64 if double else before)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


@contextmanager
def _seeded(seed: int) -> Generator[None]:
    """Seeds the generators, and restores their states afterwards.

    `torch.manual_seed` formats the stack for each uninitialized accelerator, which costs more than a small model.
    """
    if torch.cuda.is_initialized():
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
        return
    state = torch.random.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.random.set_rng_state(state)


@contextmanager
def one_thread() -> Generator[None]:
    """Runs torch in one thread: for such small inputs more threads only wait, and add in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run(call: Call, *, double: bool, seed: int = 0) -> Any:
    """The result of a call. Its arguments are copies, so that an in-place edit does not affect the next run."""
    args, kwargs = fresh(call)
    with deterministic(double=double, seed=seed):
        return call.target.call(*args, **kwargs)


def fresh(call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Copies of a call's arguments, each contiguous: memory layouts are not part of this check."""
    return mapped(call.args, _copied), mapped(call.kwargs, _copied)


def result_leaves(call: Call, result: Any) -> list[Leaf]:
    """The annotated tensors of a result."""
    return list(leaves_of(call.target.signature.result, result, ("result",)))


def differs(left: Tensor, right: Tensor) -> Tensor:
    """A mask of the places where two tensors of one shape differ."""
    if not (left.is_floating_point() or left.is_complex()):
        return left != right
    relative, absolute = _TOLERANCES.get(left.dtype, _ROUGH)
    return ~torch.isclose(left, right, rtol=relative, atol=absolute, equal_nan=True)


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().clone(memory_format=torch.contiguous_format)
