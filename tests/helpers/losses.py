"""Losses called as torch's are, and the error of a call that does not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dimtyped import DimensionError, nn

REDUCTIONS = ("none", "mean", "sum")


def assert_equal_to_torch(kind: str, options: dict[str, Any], *inputs: Any) -> None:
    ours, theirs = (getattr(namespace, kind)(**options)(*inputs) for namespace in (nn, torch.nn))
    for our, their in zip(
        *([each] if isinstance(each, torch.Tensor) else each for each in (ours, theirs)), strict=True
    ):
        assert torch.equal(our, their)


def rejected(loss: Any, *inputs: Any) -> DimensionError:
    with pytest.raises(DimensionError) as caught:
        loss(*inputs)
    return caught.value
