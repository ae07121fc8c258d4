"""A checkpoint of a tied parameter, which has one key for each of its names: the keys must agree, or the load raises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from dimtyped.nn.tying.tie import Tie, tie_of
from dimtyped.runtime import enclosing_frames


@dataclass
class _Keys:
    """The keys of one tie that a `load_state_dict`, identified by its list of errors, has seen so far."""

    errors: list[str]
    found: list[str] = field(default_factory=list[str])
    missing: list[str] = field(default_factory=list[str])


class TiedLoad:
    """One module's part of a `load_state_dict`. Made before torch loads it; `finish` is called after."""

    def __init__(
        self, module: torch.nn.Module, state_dict: Mapping[str, Any], prefix: str, error_msgs: list[str]
    ) -> None:
        self._ties: list[_Keys] = []
        for name, parameter in module._parameters.items():
            tie = tie_of(module, name)
            if tie is not None and parameter is not None and tie.owns(parameter):
                self._ties.append(_meet(tie, prefix + name, parameter, state_dict, error_msgs))

    def finish(self, missing_keys: list[str]) -> None:
        """Removes the missing keys of a tie with another key in the checkpoint, because a strict load would raise for them.

        A load that is not strict returns them; libraries that save a tie once, such as safetensors, rely on that.
        """
        filled = {key for keys in self._ties if keys.found for key in keys.missing}
        if not filled.isdisjoint(missing_keys) and _is_strict():
            missing_keys[:] = [key for key in missing_keys if key not in filled]


def _is_strict() -> bool:
    """The `strict` of the running `load_state_dict`; torch passes `strict=True` to the modules inside."""
    loads = enclosing_frames(torch.nn.Module.load_state_dict.__code__)
    return bool(loads) and bool(loads[0].f_locals["strict"])


def _meet(tie: Tie, key: str, parameter: torch.Tensor, state_dict: Mapping[str, Any], errors: list[str]) -> _Keys:
    keys = tie.loading
    if keys is None or keys.errors is not errors:
        keys = tie.loading = _Keys(errors)
    saved = state_dict.get(key)
    if saved is None:
        keys.missing.append(key)
        return keys
    problem = _disagreement(saved, parameter) if keys.found else ""  # it already holds the value of the first key
    if problem:
        errors.append(
            f"{keys.found[0]} and {key} are one tied parameter in the model, but {problem}: "
            "load it with only one of the two keys, or untie them in the model."
        )
    keys.found.append(key)
    return keys


def _disagreement(saved: Any, loaded: torch.Tensor) -> str:
    """The difference between two tensors that must be equal; empty if there is none."""
    try:
        return "" if _agree(saved, loaded) else "differ in the checkpoint"
    except NotImplementedError:  # a library's tensor without comparison
        return f"this cannot be checked, because a {type(saved).__name__} cannot be compared"


def _agree(saved: Any, loaded: torch.Tensor) -> bool:
    """True if two tensors hold the same values, as far as this process can tell."""
    if not isinstance(saved, torch.Tensor) or saved.shape != loaded.shape or saved.is_meta or loaded.is_meta:
        return True  # torch reports what is wrong, or there is nothing to compare
    if saved is loaded or _kind(saved) is not _kind(loaded):
        return True  # a quantized tensor assigned in place of a float ends the tie
    saved, loaded = _local(saved), _local(loaded)
    if hasattr(saved, "__tensor_flatten__"):  # a subclass: its inner tensors
        parts: list[str] = saved.__tensor_flatten__()[0]
        return all(_agree(getattr(saved, part), getattr(loaded, part)) for part in parts)
    if saved.shape != loaded.shape or saved.layout != loaded.layout:
        return True
    with torch.no_grad():
        same = saved.to(loaded) == loaded
        return bool((same | (loaded != loaded)).all())  # NaN does not equal itself


def _kind(tensor: torch.Tensor) -> type:
    return (
        torch.Tensor if isinstance(tensor, torch.nn.Parameter) and type(tensor.data) is torch.Tensor else type(tensor)
    )


def _local(tensor: torch.Tensor) -> torch.Tensor:
    """This process's shard of a distributed tensor."""
    to_local = getattr(tensor, "to_local", None)
    return to_local() if to_local is not None else tensor
