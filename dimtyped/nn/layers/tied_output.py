"""The tied output layer without its checks. A file of its own, because wrappers of layers share what its names mean."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # its name everywhere

from dimtyped.runtime import internal_frame


class TiedOutput(torch.nn.Linear):
    """The layer without its checks, used when they are off."""

    projection: torch.nn.Module | None

    @internal_frame
    def forward(self, input: Tensor) -> Tensor:  # torch's name
        """Logits over the vocabulary."""
        projected = input if self.projection is None else self.projection(input)
        return F.linear(projected, self.weight, self.bias)
