"""The classes of the exceptions that torch's operators raise."""

from __future__ import annotations

import torch

TORCH_KINDS = frozenset(
    (RuntimeError, IndexError, ValueError, TypeError, AssertionError, NotImplementedError, torch.OutOfMemoryError)
)
"""A class derived from one of them is another library's, or the user's."""
_TRACES = "torch._dynamo.exc"


def may_be_torchs(error: BaseException) -> bool:
    """True for an exception of a class that torch raises, or TorchDynamo."""
    return type(error) in TORCH_KINDS or type(error).__module__ == _TRACES
