"""A check of a small model while a process waits: it imports what torch imports at the first one, most of a check's time."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from dimtyped import nn
from dimtyped.flow import check
from dimtyped.names import DimSize


class _Small(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.norm, self.up = nn.LayerNorm(embed), nn.Linear(embed, 2 * embed)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq"]:
        return self.up(self.norm(x)).softmax(-1).sum(-1)


def warm_up() -> None:
    """Makes the next check of this process quick."""
    check(_Small)
