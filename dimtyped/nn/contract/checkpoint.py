"""Names the dimensions of a checkpoint that does not fit, in torch's own error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from dimtyped.nn.contract.parameters import axis_label, expected_shape
from dimtyped.runtime import viewed_as

_TORCHS_WORDS = re.compile(r"size mismatch for ([^:]+): copying a param")
_MARK = " in the checkpoint, "
TypedClassOf = Callable[[type[torch.nn.Module]], Any]


def explain_sizes(
    layer: Any, state_dict: Mapping[str, Any], prefix: str, error_msgs: list[str], typed_class_of: TypedClassOf
) -> None:
    """Adds the dimensions to torch's messages about a layer's parameters, and lists the differences in its submodules."""
    for index, message in enumerate(error_msgs):
        found = _TORCHS_WORDS.match(message)
        name = found[1].removeprefix(prefix) if found is not None and found[1].startswith(prefix) else ""
        if name and "." not in name and _MARK not in message:
            wrong = _differences(layer, name, tuple(state_dict[prefix + name].shape))
            error_msgs[index] = f"{message}\n\t  {'; '.join(wrong)}" if wrong else message
    inside = list(_inside(layer, state_dict, prefix, typed_class_of))
    if inside:
        error_msgs.append(f"in {layer._dim_text()} of the model:" + "".join(f"\n\t  {text}" for text in inside))


def sizes_that_differ(layer: Any, name: str, saved: tuple[int, ...], typed_class_of: TypedClassOf) -> list[str]:
    """The sizes of a layer's parameter that a checkpoint has otherwise, by dimension; none for a module that is no layer."""
    if hasattr(layer, "_dim_parameter_axes"):
        return _differences(layer, name, saved)
    typed = next((cls for cls in map(typed_class_of, type(layer).__mro__) if cls is not None), None)
    return _as_typed(layer, typed, name, saved) if typed is not None and _is_torchs(layer) else []


def _inside(
    layer: torch.nn.Module, state_dict: Mapping[str, Any], prefix: str, typed_class_of: TypedClassOf, path: str = ""
) -> Iterator[str]:
    """The differences in torch's own layers inside this one, which torch loads after this one."""
    for key, child in layer._modules.items():
        if child is None or hasattr(child, "_dim_text"):
            continue
        below = f"{path}{key}."
        typed = next((cls for cls in map(typed_class_of, type(child).__mro__) if cls is not None), None)
        mismatches = _mismatches(child, state_dict, prefix + below) if typed is not None and _is_torchs(child) else ()
        wrong = dict.fromkeys(text for name, saved in mismatches for text in _as_typed(child, typed, name, saved))
        if wrong:
            yield f"{path}{key}    {'; '.join(wrong)}"
        yield from _inside(child, state_dict, prefix, typed_class_of, below)


def _is_torchs(layer: Any) -> bool:
    """True if the layer loads with torch's own code."""
    return type(layer).__module__.startswith("torch.nn.modules.") and not layer._load_state_dict_pre_hooks


def _mismatches(
    layer: torch.nn.Module, state_dict: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The parameters with another shape in the checkpoint, and that shape."""
    for name, held in layer._parameters.items():
        saved = state_dict.get(prefix + name)
        if isinstance(saved, Tensor) and held is not None and saved.shape != held.shape:
            yield name, tuple(saved.shape)


def _as_typed(layer: Any, typed: Any, name: str, saved: tuple[int, ...]) -> list[str]:
    with viewed_as(layer, typed):
        return _differences(layer, name, saved)


def _differences(layer: Any, name: str, saved: tuple[int, ...]) -> list[str]:
    """The sizes that differ: `vocab: 32001 in the checkpoint, 32000 in the model`."""
    expected, axes = expected_shape(layer, name), layer._dim_parameter_axes(name)
    if expected is None or len(expected) != len(saved):
        return []
    wrong = [
        _difference(layer, axis, have, want)
        for axis, have, want in zip(axes.split(), saved, expected, strict=True)
        if have != want
    ]
    turned = ["the checkpoint has it transposed"] if saved == expected[::-1] and len(wrong) == 2 else []
    return [*dict.fromkeys(wrong), *turned]


def _difference(layer: Any, axis: str, have: int, want: int) -> str:
    """The difference of one axis; for `3*hidden`, of hidden alone if both sizes have the factor."""
    factor, _, name = axis.partition("*")
    if factor.isdigit() and name.isidentifier() and have % int(factor) == 0:
        axis, have, want = name, have // int(factor), want // int(factor)
    return f"{axis_label(layer, axis)}: {have}{_MARK}{want} in the model"
