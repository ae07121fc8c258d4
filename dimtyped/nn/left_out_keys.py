"""The keys that a load with `strict=False` leaves out, though the checkpoint has them: below another prefix, in another size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from dimtyped.names import shape_text
from dimtyped.nn.contract import sizes_that_differ, typed_class_of
from dimtyped.runtime import warn_user


def warn_of_left_out_keys(module: torch.nn.Module, state_dict: Mapping[str, Any], result: Any) -> None:
    """Warns of keys that a load with `strict=False` left out, where the checkpoint has them elsewhere in another size."""
    if not result.missing_keys or not result.unexpected_keys:
        return
    held = module.state_dict(keep_vars=True)
    found = list(_found_elsewhere(module, held, state_dict, result.missing_keys, result.unexpected_keys))
    if found:
        warn_user(
            f"{type(module).__name__}.load_state_dict: {_layers_text(len(found))} not loaded and keep the values that they had:\n"
            + "\n".join(f"  {key}    {text}" for key, text in found)
            + "\n  dimtyped.load_matching(model, state_dict) loads what fits and reports the rest."
        )


def _layers_text(count: int) -> str:
    return "one parameter was" if count == 1 else f"{count} parameters were"


def _found_elsewhere(
    module: torch.nn.Module,
    held: Mapping[str, Any],
    state_dict: Mapping[str, Any],
    missing: Iterable[str],
    unexpected: list[str],
) -> Iterator[tuple[str, str]]:
    """The missing keys that are in the checkpoint below another prefix, each with the difference in size."""
    for key in missing:
        for other in unexpected:
            if other.endswith(f".{key}") or ("." in other and key.endswith(f".{other}")):
                text = size_difference(module, held, key, state_dict[other])
                if text:
                    yield key, f"{other} has {text}"
                break


def size_difference(model: torch.nn.Module, held: Mapping[str, Any], key: str, saved: Any) -> str:
    """The difference in size between a tensor of a checkpoint and the model's; empty if there is none."""
    mine = held.get(key)
    if not isinstance(mine, Tensor) or not isinstance(saved, Tensor) or torch.nn.parameter.is_lazy(mine):
        return ""
    if mine.shape == saved.shape or (mine.dim() == 0 and saved.shape == (1,)):  # torch takes that from old checkpoints
        return ""
    path, _, name = key.rpartition(".")
    layer = dict(model.named_modules()).get(path)
    texts = sizes_that_differ(layer, name, tuple(saved.shape), typed_class_of) if layer is not None else []
    return (
        "; ".join(texts)
        or f"{shape_text(tuple(saved.shape))} in the checkpoint, {shape_text(tuple(mine.shape))} in the model"
    )
