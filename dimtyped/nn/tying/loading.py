"""What a checkpoint says of a tied parameter under each of its names: the same, or the load is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from dimtyped.nn.tying.ties import Tie, tie_of


@dataclass
class _Load:
    """One `load_state_dict`, known by its list of errors, and the keys of one tie in it so far."""

    errors: list[str]
    found: list[str] = field(default_factory=list[str])
    missing: list[str] = field(default_factory=list[str])


class Loading:
    """One module's part of a `load_state_dict`. Made before torch loads it; `finish` is called after."""

    def __init__(
        self, module: torch.nn.Module, state_dict: Mapping[str, Any], prefix: str, error_msgs: list[str]
    ) -> None:
        self._loads: list[_Load] = []
        for name, parameter in module._parameters.items():
            tie = tie_of(module, name)
            if tie is not None and parameter is not None and tie.owns(parameter):
                self._loads.append(_note(tie, prefix + name, parameter, state_dict, error_msgs))

    def finish(self, missing_keys: list[str]) -> None:
        """A tied parameter that was found under one of its names is missing under none."""
        for load in self._loads:
            if load.found:
                missing_keys[:] = [key for key in missing_keys if key not in load.missing]


def _note(tie: Tie, key: str, parameter: torch.Tensor, state_dict: Mapping[str, Any], errors: list[str]) -> _Load:
    load = tie.loading
    if load is None or load.errors is not errors:
        load = tie.loading = _Load(errors)
    saved = state_dict.get(key)
    if saved is None:
        load.missing.append(key)
        return load
    if load.found and not _agree(saved, parameter):  # which holds by now what the first of them said
        errors.append(
            f"{load.found[0]} and {key} are one tied parameter in the model, but differ in the checkpoint: "
            "load it with one of the two keys, or untie them in the model."
        )
    load.found.append(key)
    return load


def _agree(saved: Any, loaded: torch.Tensor) -> bool:
    """Whether two tensors hold the same values, as far as this process can know."""
    if not isinstance(saved, torch.Tensor) or saved.shape != loaded.shape or saved.is_meta or loaded.is_meta:
        return True  # torch itself says what is wrong, or there is nothing to compare
    saved, loaded = _local(saved), _local(loaded)
    if saved.shape != loaded.shape or saved.layout != loaded.layout:
        return True
    with torch.no_grad():
        same = saved.to(loaded) == loaded
        return bool((same | (loaded != loaded)).all())  # NaN is not itself


def _local(tensor: torch.Tensor) -> torch.Tensor:
    """The shard that this process has of a distributed tensor."""
    to_local = getattr(tensor, "to_local", None)
    return to_local() if to_local is not None else tensor
