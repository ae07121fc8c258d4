"""A small GPT with tied weights."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # its name everywhere

from dimtyped import DimSize, nn


class Attention(nn.Module):
    def __init__(self, embed: DimSize, heads: int):
        super().__init__()
        self.heads = heads
        self.join = nn.Linear(embed, 3 * embed)
        self.out = nn.Linear(embed, embed)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        query, key, value = self.join(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, embed: DimSize, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(embed)
        self.attention = Attention(embed, heads)
        self.norm2 = nn.LayerNorm(embed)
        self.mlp = nn.Sequential(nn.Linear(embed, 4 * embed), nn.GELU(), nn.Linear(4 * embed, embed))

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Model(nn.Module):
    def __init__(self, vocab: DimSize, context: DimSize, embed: DimSize, heads: int, layers: int):
        super().__init__()
        self.tokens = nn.Embedding(vocab, embed)
        self.positions = nn.Embedding(context, embed)
        self.blocks = nn.Sequential(*[Block(embed, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(embed)
        self.out = nn.TiedDecoder(self.tokens, bias=False)

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return self.out(self.norm(self.blocks(self.tokens(tokens) + self.positions(places))))

    def write(self, tokens: Tensor, length: int) -> Tensor:
        """The likeliest next token, `length` times; without a cache, so each reads all before it."""
        for _ in range(length):
            token = self(tokens)[:, -1:].argmax(-1)
            tokens = torch.cat([tokens, token], dim=1)
        return tokens
