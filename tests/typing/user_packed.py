"""Packed sequences in a user's annotations: to the static checkers they are `PackedSequence`. Nothing runs this."""

from typing import assert_type

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from dimtyped import DimSize, Packed, nn, typed


@typed
def steps(
    x: Packed[Float[Tensor, "batch seq embed"]], more: Packed[Float[Tensor, "batch seq"]] | None = None
) -> Tensor:
    return x.data if more is None else more.data


assert_type(steps(pack_sequence([torch.ones(3, 4)])), Tensor)
steps(torch.ones(2, 3, 4))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # a padded tensor is none


class Encoder(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize) -> None:
        super().__init__()
        self.gru = nn.GRU(embed, hidden)

    def forward(self, x: Packed[Float[Tensor, "batch seq embed"]]) -> Packed[Float[Tensor, "batch seq hidden"]]:
        output: PackedSequence = self.gru(x)[0]
        return output
