"""All checked functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dimtyped.nn.functions import attention, conv, embedding, linear, loss, norm, pooling
from dimtyped.runtime import mode

FUNCTIONS = tuple(
    each for family in (linear, embedding, conv, norm, pooling, loss, attention) for each in family.FUNCTIONS
)


def checked_functions() -> dict[str, Callable[..., Any]]:
    """Each by its name in `torch.nn.functional`; none while checks are off."""
    return {} if mode() == "off" else {each.name: each.checked() for each in FUNCTIONS}
