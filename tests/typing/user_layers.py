"""Layers as a user calls them: the static checkers read this, nothing runs it."""

from typing import Any, assert_type

import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import DimSize, nn

x = torch.ones(2, 3, 4)

assert_type(nn.Linear(4, 5), nn.Linear)
assert_type(nn.Linear(4, 5)(x), Tensor)
assert_type(nn.Embedding(10, 4)(x.long()), Tensor)
assert_type(nn.Embedding.from_pretrained(x[0], freeze=False), nn.Embedding)
assert_type(nn.TiedDecoder(nn.Embedding(10, 4))(x), Tensor)
assert_type(nn.Conv2d(1, 2, 3)(x), Tensor)
assert_type(nn.LayerNorm(4)(x), Tensor)
assert_type(nn.CrossEntropyLoss()(x, x.long()), Tensor)
assert_type(nn.LSTMCell(4, 5)(x), tuple[Tensor, Tensor])
assert_type(nn.MultiheadAttention(4, 2)(x, x, x), tuple[Tensor, Tensor | None])
assert_type(nn.GRU(4, 5)(x), tuple[Any, Tensor])  # Any: a Tensor, or a PackedSequence for one
assert_type(nn.LSTM(4, 5)(x), tuple[Any, tuple[Tensor, Tensor]])
assert_type(nn.ReLU(), torch.nn.ReLU)

torchs: torch.nn.Linear = nn.Linear(4, 5)


class Decoder(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.out = nn.TiedDecoder(self.embedding)

    def forward(self, hidden: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch vocab"]:
        return self.out(hidden)


decoder = Decoder(vocab=10, embed=4)
assert_type(decoder.embedding, nn.Embedding)
assert_type(decoder.forward(x), Tensor)
