"""One dimension of a right call made wrong: the error names it, and what it proposes makes the call right again."""

import inspect  # noqa: I001
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from torch import Tensor

from dimtyped import DimensionError, nn
from dimtyped._hints import Kind, arrays_in
from dimtyped._typed import entry_of
from mending import assert_is_what_it_says, call, mended, recorded
from test_module_db import REPLACED, Sample, by_name, fresh, samples

BY_VALUE = {"CTCLoss", "AdaptiveLogSoftmaxWithLoss", "EmbeddingBag"}
"""Layers that read sizes in their arguments' values too: what a tensor of zeros breaks there is another matter."""


def tensors_in(arguments: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Each tensor among the arguments, with its place."""
    for name, value in arguments.items():
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, tuple):
            yield from ((f"{name}[{index}]", item) for index, item in enumerate(value) if isinstance(item, Tensor))


def replaced(arguments: dict[str, Any], place: str, value: Tensor) -> dict[str, Any]:
    name, _, index = place.rstrip("]").partition("[")
    if not index:
        return {**arguments, name: value}
    items = list(arguments[name])
    items[int(index)] = value
    return {**arguments, name: tuple(items)}


def names_at(module: Any, arguments: dict[str, Any], place: str, axis: int) -> set[str]:
    """What the layer's annotations call an axis of a right call; empty where they do not care."""
    whole = entry_of(type(module).forward)
    values = tuple(arguments.get(name, None) for name in inspect.signature(whole.function).parameters if name != "self")  # noqa: SIM910
    entry = whole.form_of((module, *values))
    hint = next(p.hint for p in entry.signature.parameters if p.name == place.partition("[")[0])
    rank = dict(tensors_in(arguments))[place].dim()
    labels, names = module._dim_labels, set()
    for array in arrays_in(hint):
        many = array.variadic
        if len(array.axes) != rank and many is None:
            continue
        index = axis if many is None or axis < many else max(many, axis - rank + len(array.axes))
        found = array.axes[min(index, len(array.axes) - 1)]
        if found.kind is not Kind.ANY:
            names |= {
                f"*{found.name}" if found.many else labels.get(found.name, found.label or found.name or found.text)
            }
    return names


def told(found: list[Any]) -> set[str]:
    """The names that the error says are wrong."""
    trial, _ = found[-1]
    return {trial.label(mismatch.dim) for mismatch in trial.mismatches}


@pytest.mark.parametrize("info", [info for info in REPLACED if by_name(info) not in BY_VALUE], ids=by_name)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_the_error_names_it(info: Any, data: st.DataObject) -> None:
    sample: Sample = data.draw(st.sampled_from(ALL[by_name(info)]), label="sample")
    module = sample.typed()
    inputs = sample.row.forward_input
    right = inspect.signature(module.forward).bind(*fresh(inputs.args), **fresh(inputs.kwargs)).arguments
    places = [(place, value) for place, value in tensors_in(dict(right)) if value.dim()]
    if not places:
        return
    place, value = data.draw(st.sampled_from(places), label="place")
    axis = data.draw(st.integers(0, value.dim() - 1), label="axis")
    size = data.draw(st.integers(1, 9).filter(lambda size: size != value.shape[axis]), label="size")
    shape = (*value.shape[:axis], size, *value.shape[axis + 1 :])
    wrong = replaced(dict(right), place, torch.zeros(shape, dtype=value.dtype))
    names = names_at(module, dict(right), place, axis)
    with recorded() as found, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of a broadcast that it lets pass
        error = refusal(module, wrong)
    if error is None or not found:
        event("legal" if error is None else "refused by torch alone")
        assert error is None or not names, (error, names)
        return
    assert isinstance(error, DimensionError)
    assert names & told(found) or any(m.axis == axis and m.place == place for m in found[-1][0].mismatches), names
    mend = found[-1][1]
    event("mended" if mend is not None else "no mend")
    if mend is not None and mend.code:
        given_values = {**wrong, "self": module}
        assert_is_what_it_says(mend, given_values)
        after = refusal(module, mended(mend, wrong))
        assert not isinstance(after, DimensionError), (mend, after)


ALL = {by_name(info): samples(info, torch.float32, False) for info in REPLACED}


def refusal(module: torch.nn.Module, arguments: dict[str, Any]) -> Exception | None:
    try:
        call(module.forward, arguments)
    except Exception as error:  # noqa: BLE001  # torch raises what it likes
        return error
    return None


def test_every_layer_is_among_them() -> None:
    assert {"Linear", "Conv2d", "GRU", "MultiheadAttention", "CrossEntropyLoss"} <= set(ALL)
    assert all(hasattr(nn, name) for name in BY_VALUE)
