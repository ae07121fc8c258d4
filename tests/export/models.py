"""Annotated models to export: text by attention and by recurrence, images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # its name everywhere

from dimtyped import DimSize, nn, typed

Text = Int[Tensor, "batch seq"]
Vector = Float[Tensor, "batch"]


class Block(nn.Module):
    def __init__(self, embed: DimSize, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(embed)
        self.joined = nn.Linear(embed, 3 * embed)
        self.out = nn.Linear(embed, embed)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        batch, seq, embed = x.shape
        q, k, v = self.joined(self.norm(x)).view(batch, seq, 3, self.heads, embed // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.out(mixed.transpose(1, 2).reshape(batch, seq, embed))


class GPT(nn.Module):
    def __init__(self, vocab: DimSize, context: DimSize, embed: DimSize, layers: int = 2):
        super().__init__()
        self.words = nn.Embedding(vocab, embed)
        self.places = nn.Embedding(context, embed)
        self.blocks = nn.ModuleList(Block(embed, 2) for _ in range(layers))
        self.head = nn.TiedDecoder(self.words, embed, bias=False)

    def forward(self, tokens: Text) -> Float[Tensor, "batch seq vocab"]:
        x = self.words(tokens) + self.places(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Seq2Seq(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.words = nn.Embedding(vocab, embed)
        self.encoder = nn.GRU(embed, hidden, batch_first=True)
        self.decoder = nn.GRU(embed, hidden, batch_first=True, state_from=self.encoder)
        self.out = nn.TiedDecoder(self.words, hidden, project=True)

    def forward(
        self, source: Int[Tensor, "batch source"], target: Int[Tensor, "batch target"]
    ) -> Float[Tensor, "batch target vocab"]:
        _, state = self.encoder(self.words(source))
        output, _ = self.decoder(self.words(target), state)
        return self.out(output)


class Images(nn.Module):
    def __init__(self, channels: DimSize, width: DimSize, classes: DimSize):
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.out = nn.Linear(width, classes)

    def forward(self, images: Float[Tensor, "batch channels height length"]) -> Float[Tensor, "batch classes"]:
        return self.out(self.norm(self.conv(images)).relu().mean((2, 3)))


def tokens(*sizes: int) -> Tensor:
    return torch.randint(20, sizes)


@typed
@dataclass
class Labelled:
    x: Float[Tensor, "batch seq"]
    bias: Vector


class Biased(nn.Module):
    """Takes a dataclass."""

    def forward(self, given: Labelled) -> Vector:
        return given.x.sum(1) + given.bias
