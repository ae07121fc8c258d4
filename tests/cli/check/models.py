"""Files as users write them, for the tests of the command."""

import textwrap
from pathlib import Path

HEAD = """\
import torch
from dimtyped import DimSize, nn, typed
from jaxtyping import Float, Int
from torch import Tensor


"""

SILENT = HEAD + (
    '''\
class Attention(nn.Module):
    """Its heads are joined without a transpose."""

    def __init__(self, embed: DimSize, heads: DimSize):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(embed, 3 * embed)
        self.out = nn.Linear(embed, embed)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        o = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        return self.out(o.reshape(B, T, C))
'''
)
RIGHT = SILENT.replace("o.reshape", "o.transpose(1, 2).reshape")

VARIED = HEAD + (
    """\
class Mlp(nn.Module):
    def __init__(self, embed: DimSize, width: int):
        super().__init__()
        self.up, self.down = nn.Linear(embed, width), nn.Linear(width, embed)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        return self.down(self.up(x).relu())


class Plain(nn.Module):
    def forward(self, x):
        return x


class Torchs(torch.nn.Module):
    def forward(self, x: Float[Tensor, "batch seq"]) -> Float[Tensor, "seq batch"]:
        return x + 1


@typed
def pool(x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch embed"]:
    return x.mean(1)


def swap(x: Float[Tensor, "batch seq"]) -> Float[Tensor, "seq batch"]:
    return x + 1


def count(numbers: list[int]) -> int:
    return len(numbers)


def make():
    return Mlp(8, 16)


def wrong_number(size: DimSize):
    return 3


model = Mlp(6, 4)
NUMBER = 3
"""
)


def write(folder: Path, **files: str) -> None:
    """Writes `name.py` for each name; `__` in a name is a folder below."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/', 1) if not name.startswith('__') else name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
