"""All checked functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dimtyped.nn.functions import (
    attention,
    conv,
    embedding,
    linear,
    linear_loss,
    loss,
    multi_head_attention,
    norm,
    pooling,
    shape,
)
from dimtyped.runtime import mode

_FAMILIES = (linear, embedding, conv, norm, pooling, shape, loss, linear_loss, attention, multi_head_attention)
FUNCTIONS = tuple(each for family in _FAMILIES for each in family.FUNCTIONS)


def checked_functions() -> dict[str, Callable[..., Any]]:
    """Each by its name in `torch.nn.functional`; none while checks are off."""
    return {} if mode() == "off" else {each.name: each.checked() for each in FUNCTIONS}
