"""Loads of a part of a checkpoint: what fits is loaded, the rest is named by dimension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dimtyped.errors import declaration_error
from dimtyped.nn.left_out_keys import size_difference
from dimtyped.nn.retype import must_be_module
from dimtyped.runtime import WithoutInternalFrames


@dataclass(frozen=True)
class Loaded:
    """The result of `load_matching`; `str` is the table.

    Attributes:
        loaded: The keys that were loaded; one of a tied parameter stands for all of them.
        other_sizes: The keys whose tensors have another size in the checkpoint, each with the difference by dimension.
            The model keeps its own values.
        missing: The keys of the model that the checkpoint does not have. The model keeps its own values.
        unexpected: The keys of the checkpoint that the model does not have.
    """

    loaded: tuple[str, ...]
    other_sizes: Mapping[str, str]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        rows = [
            *self.other_sizes.items(),
            *((key, "not in the checkpoint") for key in self.missing),
            *((key, "not in the model") for key in self.unexpected),
        ]
        width = max((len(key) for key, _ in rows), default=0)
        total = len(self.loaded) + len(self.other_sizes) + len(self.missing)
        return "\n".join(
            [f"loaded {len(self.loaded)} of {total} keys", *(f"  {k:<{width}}  {text}" for k, text in rows)]
        )


@WithoutInternalFrames()
def load_matching(model: torch.nn.Module, state_dict: Mapping[str, Any], *, assign: bool = False) -> Loaded:
    """Loads the tensors of a checkpoint that fit a model, and reports the rest by dimension.

    Args:
        model: Any module.
        state_dict: The checkpoint, as `load_state_dict` takes it.
        assign: As in `load_state_dict`. Default: False.

    Returns:
        The keys that were loaded and those that were not, with the reasons; print it.

    Raises:
        DeclarationError: the model is no module, or the state dict no mapping.

    Example:
        >>> import dimtyped
        >>> from dimtyped import Dim, nn
        >>> saved = nn.Sequential(nn.Embedding(35, 8), nn.Linear(8, 8)).state_dict()
        >>> model = nn.Sequential(nn.Embedding(Dim("vocab", 28), 8), nn.Linear(8, 8))
        >>> print(dimtyped.load_matching(model, saved))
        loaded 2 of 3 keys
          0.weight  vocab: 35 in the checkpoint, 28 in the model
    """
    must_be_module("load_matching", model)
    if not isinstance(state_dict, Mapping):
        raise declaration_error(
            "load_matching",
            f"load_matching() takes a state dict, not a {type(state_dict).__name__}",
            "load it first, as in torch.load(path)",
            argument="state_dict",
            expected="a mapping of keys to tensors",
            actual=type(state_dict).__name__,
        )
    held = model.state_dict(keep_vars=True)
    others = {key: text for key, saved in state_dict.items() if (text := size_difference(model, held, key, saved))}
    result = model.load_state_dict(
        {k: v for k, v in state_dict.items() if k not in others}, strict=False, assign=assign
    )
    now = model.state_dict(keep_vars=True)
    absent = {*others, *result.missing_keys}
    loaded = [key for key in now if key not in absent]
    filled = {id(now[key]) for key in loaded}
    missing = [key for key in result.missing_keys if key not in others and id(now.get(key)) not in filled]
    return Loaded(tuple(loaded), others, tuple(missing), tuple(result.unexpected_keys))
