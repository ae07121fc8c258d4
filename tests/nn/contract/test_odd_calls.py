"""What torch takes, however odd, a typed layer takes too, bit for bit; what it does not, neither does the layer.

Right calls of torch's own table are made odd: empty, of one element, with an axis more or less, expanded, not contiguous, of
another dtype, of a subclass of Tensor, with their arguments in another order. Torch says which of them are legal.
"""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, event, given, settings, strategies as st
from torch import Tensor

from dimtyped import DimensionError
from tests.nn.contract.test_module_db import REPLACED, Sample, assert_same, by_name, detached, fresh, samples
from tests.nn.layers.test_loss import LET_PASS, WARNED_OF

SIZES = (0, 1, 2, 3, 4, 5, 10)
DTYPES = (
    torch.float64,
    torch.bfloat16,
    torch.half,
    torch.bool,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.complex64,
)
ALL = {by_name(info): [s for mode in (True, False) for s in samples(info, torch.float32, mode)] for info in REPLACED}
Change = tuple[str, int, Any]


class Marked(Tensor):
    """A subclass by others."""


def numbers(shape: list[int], like: Tensor) -> Tensor:
    """Numbers of the same kind in another shape; ids stay ids."""
    generator = torch.Generator().manual_seed(7)
    if like.dtype.is_floating_point or like.dtype.is_complex:
        return torch.rand(shape, generator=generator).to(like.dtype)
    least, most = (int(like.min()), int(like.max())) if like.numel() else (0, 1)
    return torch.randint(least, most + 1, shape, generator=generator).to(like.dtype)


def resized(tensor: Tensor, axis: int, size: int) -> Tensor:
    shape = list(tensor.shape)
    shape[axis % len(shape)] = size
    return numbers(shape, tensor)


def with_another(tensor: Tensor, axis: int, size: int) -> Tensor:
    shape = list(tensor.shape)
    shape.insert(axis % (len(shape) + 1), size)
    return numbers(shape, tensor)


def without(tensor: Tensor, axis: int, _: Any) -> Tensor:
    shape = list(tensor.shape)
    del shape[axis % len(shape)]
    return numbers(shape, tensor)


def expanded(tensor: Tensor, axis: int, _: Any) -> Tensor:
    axis %= tensor.dim()
    return tensor.narrow(axis, 0, min(1, tensor.shape[axis])).expand(tensor.shape)


def strided(tensor: Tensor, axis: int, _: Any) -> Tensor:
    return tensor.transpose(0, axis % tensor.dim()).contiguous().transpose(0, axis % tensor.dim())


CHANGES: dict[str, Callable[[Tensor, int, Any], Tensor]] = {
    "resize": resized,
    "add": with_another,
    "drop": without,
    "expand": expanded,
    "stride": strided,
    "dtype": lambda tensor, _, dtype: tensor.to(dtype),
    "subclass": lambda tensor, *_: tensor.as_subclass(Marked),
}


@st.composite
def changes(draw: st.DrawFn) -> Change:
    kind = draw(st.sampled_from(list(CHANGES)))
    return kind, draw(st.integers(-3, 2)), draw(st.sampled_from(DTYPES if kind == "dtype" else SIZES))


def changed(value: Any, change: Change) -> Any:
    if type(value) is tuple:
        return tuple(changed(item, change) for item in value)
    kind, axis, option = change
    if not isinstance(value, Tensor) or (value.dim() == 0 and kind not in ("add", "dtype", "subclass")):
        return value
    return CHANGES[kind](value.detach(), axis, option)


@st.composite
def odd_calls(draw: st.DrawFn, name: str) -> tuple[Sample, dict[str, Any], torch.dtype | None]:
    sample = draw(st.sampled_from(ALL[name]))
    inputs = sample.row.forward_input
    bound = inspect.signature(sample.info.module_cls.forward).bind(None, *inputs.args, **inputs.kwargs)
    arguments = {key: value for key, value in bound.arguments.items() if key != "self"}
    for change in draw(st.lists(changes(), min_size=1, max_size=2)):
        touched = draw(st.sampled_from([[key] for key in arguments] + [list(arguments)]))
        arguments |= {key: changed(arguments[key], change) for key in touched}
    order = draw(st.permutations(list(arguments)))
    return sample, {key: arguments[key] for key in order}, draw(st.sampled_from([None, None, *DTYPES[:3]]))


def outcome(module: torch.nn.Module, arguments: dict[str, Any], dtype: torch.dtype | None) -> Any:
    """What the call gives, or the error that it raises; the whole layer and all its floats of this dtype."""
    torch.manual_seed(1)
    try:
        return detached(module.to(dtype)(**in_dtype(fresh(arguments), dtype)))
    except Exception as error:  # noqa: BLE001  # which one is what is compared
        return error


def in_dtype(value: Any, dtype: torch.dtype | None) -> Any:
    if isinstance(value, dict):
        return {key: in_dtype(item, dtype) for key, item in value.items()}
    if type(value) is tuple:
        return tuple(in_dtype(item, dtype) for item in value)
    return value.to(dtype) if dtype and isinstance(value, Tensor) and value.is_floating_point() else value


def why_stricter(name: str, arguments: dict[str, Any]) -> str | None:
    """Why a typed layer refuses what torch takes, if it is to."""
    first = next(
        arguments[key] for key in ("input", "log_input", "input1", "anchor", "query", "src", "tgt") if key in arguments
    )
    target = arguments.get("target")
    if name in WARNED_OF and first.shape != target.shape:
        return "torch warns of it"
    if name in LET_PASS:
        together = torch.broadcast_shapes(first.shape, target.shape)
        return "larger than both" if together not in (first.shape, target.shape) else None
    if name == "LinearCrossEntropyLoss" and first.shape[:1] == (0,):
        return "of an empty batch torch looks at no target"
    if name == "BCEWithLogitsLoss" and target.is_complex():
        return "no probability is complex"
    if "Norm" in name and first.numel() == 0:
        return "of no elements torch does not look at the channels"
    if name.endswith("Cell") and first.dim() == 1:
        return "torch computes with a batch of states for an input without one"
    return None


def reads_what_is_not_there(name: str, arguments: dict[str, Any]) -> bool:
    """Whether torch reads memory that is none of the call's: for a class that is not there, for the mean of nothing."""
    if name == "MultiLabelMarginLoss":
        return arguments["input"].numel() == 0
    if name != "CTCLoss":
        return False
    log_probs, targets = arguments["log_probs"], arguments["targets"]
    return log_probs.dim() > 0 and targets.numel() > 0 and bool((targets.real >= log_probs.shape[-1]).any())


@pytest.mark.filterwarnings("ignore")  # torch's own of its own samples, the same for both
@pytest.mark.parametrize("name", ALL)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_layer_takes_what_torch_takes(name: str, data: st.DataObject) -> None:
    sample, arguments, dtype = data.draw(odd_calls(name))
    assume(not reads_what_is_not_there(name, arguments))
    theirs, ours = (outcome(module, arguments, dtype) for module in (sample.plain(), sample.typed()))
    if isinstance(theirs, Exception):
        assert isinstance(ours, Exception)
        event("torch refuses")
    elif isinstance(ours, DimensionError):
        why = why_stricter(name, arguments)
        assert why, (arguments, str(ours))
        event(why)
    else:
        assert_same(ours, theirs, name)
        event("taken")
