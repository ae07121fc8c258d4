"""What several tests here share."""

import inspect
from collections.abc import Callable

from jaxtyping import Float, Int
from torch import Tensor

from dimtyped import DimSize, nn


class Attention(nn.Module):
    """Right if `transposed`."""

    def __init__(self, embed: DimSize, heads: DimSize, transposed: bool = True):
        super().__init__()
        self.heads, self.transposed = heads, transposed
        self.qkv = nn.Linear(embed, 3 * embed)
        self.out = nn.Linear(embed, embed)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        batch, seq, embed = x.shape
        q, k, v = self.qkv(x).view(batch, seq, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        o = (q @ k.transpose(-1, -2)).softmax(-1) @ v
        if self.transposed:
            o = o.transpose(1, 2)
        return self.out(o.reshape(batch, seq, embed))


class Gpt(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, heads: DimSize, blocks: int, transposed: bool = True):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.blocks = nn.ModuleList(Attention(embed, heads, transposed) for _ in range(blocks))
        self.out = nn.Linear(embed, vocab)

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
        x = self.embedding(tokens)
        for block in self.blocks:
            x = x + block(x)
        return self.out(x)


def line_of(code: Callable[..., object], text: str) -> int:
    """The number of the line of a function's source that has a text."""
    lines, first = inspect.getsourcelines(code)
    [found] = [number for number, line in enumerate(lines, first) if text in line]
    return found
