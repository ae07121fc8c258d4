"""Running a copy of what is tested: in eval mode, in double precision, the random numbers the same each time."""

from __future__ import annotations

import copy
import types
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from hypothesis import HealthCheck, Phase
from torch import Tensor

from dimtyped.annotations import ArrayHint, arrays_in
from dimtyped.testing.strategies.calls import Call
from dimtyped.testing.strategies.leaves import Leaf, leaves_of, mapped
from dimtyped.testing.strategies.target import module_of, targets_of

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
"""How a search runs that we make ourselves, not a user by `@given`: the same each time, and with our own text alone."""


def twin_of(thing: Any, *, double: bool) -> Any:
    """What is tested as a copy in eval mode; the user's own is never called.

    A normalisation that has no running statistics gets some, so that what mixes still is no matter of batch statistics.
    """
    module = module_of(thing)
    if module is None:
        return thing
    twin = copy.deepcopy(module).eval()
    for member in twin.modules():
        if isinstance(member, torch.nn.modules.batchnorm._BatchNorm) and member.running_mean is None:
            _give_statistics(member)
    if double and takes_double(thing):
        twin = twin.double()
    return types.MethodType(thing.__func__, twin) if isinstance(thing, types.MethodType) else twin


def takes_double(thing: Any) -> bool:
    """Whether no annotation wants floats of a precision of its own."""
    return all(
        _admits_double(array)
        for target in targets_of(thing)
        for array in (*target.arrays, *arrays_in(target.signature.result))
    )


@contextmanager
def deterministic(*, double: bool, seed: int = 0) -> Generator[None]:
    """The same random numbers at each run, and new floats in double precision."""
    before = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        torch.set_default_dtype(torch.float64 if double else before)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


@contextmanager
def one_thread() -> Generator[None]:
    """Torch in one thread: made inputs are so small that more only wait for each other, and add in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run(call: Call, *, double: bool, seed: int = 0) -> Any:
    """What a call gives. Its arguments are copies: an edit in place does not reach the next run."""
    args, kwargs = fresh(call)
    with deterministic(double=double, seed=seed):
        return call.target.call(*args, **kwargs)


def fresh(call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Copies of a call's arguments, each contiguous: what a layout breaks is no matter of mixing."""
    return mapped(call.args, _copied), mapped(call.kwargs, _copied)


def result_leaves(call: Call, result: Any) -> list[Leaf]:
    """The annotated tensors of a result."""
    return list(leaves_of(call.target.signature.result, result, ("result",)))


def differs(left: Tensor, right: Tensor) -> Tensor:
    """Where two tensors of one shape are not the same number."""
    if not (left.is_floating_point() or left.is_complex()):
        return left != right
    relative, absolute = _TOLERANCES.get(left.dtype, _ROUGH)
    return ~torch.isclose(left, right, rtol=relative, atol=absolute, equal_nan=True)


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _admits_double(array: ArrayHint) -> bool:
    return array.dtypes is None or torch.float32 not in array.dtypes or torch.float64 in array.dtypes


def _give_statistics(layer: torch.nn.modules.batchnorm._BatchNorm) -> None:
    like = next(iter(layer.parameters()), torch.empty(0))
    layer.register_buffer("running_mean", torch.zeros(layer.num_features, dtype=like.dtype, device=like.device))
    layer.register_buffer("running_var", torch.ones(layer.num_features, dtype=like.dtype, device=like.device))
