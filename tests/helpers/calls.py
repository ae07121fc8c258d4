"""Tensors to call with, and the error of a call that must be refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dimtyped import DimensionError


def f32(*shape: int) -> Tensor:
    return torch.zeros(shape)


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


def refused(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> DimensionError:
    """The error of a call that must be refused."""
    with pytest.raises(DimensionError) as caught:
        function(*arguments, **keywords)
    return caught.value


def refuses(message: str) -> Any:
    return pytest.raises(DimensionError, match=message)
