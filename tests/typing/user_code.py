"""Functions and classes as a user writes them: the static checkers read this, nothing runs it.

`typed` must change nothing of what they see.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import assert_type

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dimtyped import Dim, DimensionError, DimSize, dims, typed

vocab, embed = dims(vocab=10_000, embed=128)
assert_type(vocab, Dim)


@typed
def scaled(x: Float[Tensor, "batch hidden"], by: float = 2.0, *, steps: int = 1) -> Float[Tensor, "batch hidden"]:
    return x * by * steps


assert_type(scaled(torch.ones(2, 3), 1.5, steps=2), Tensor)
keeps_its_signature: Callable[[Tensor, float], Tensor] = scaled


@typed(dims=[vocab, embed])
def logits(
    x: Float[Tensor, "batch embed"], /, *rest: Float[Tensor, "batch"]
) -> tuple[Float[Tensor, "batch vocab"], int]:
    return x.new_zeros(x.shape[0], vocab), len(rest)


assert_type(logits(torch.ones(2, 128), torch.ones(2)), tuple[Tensor, int])


@typed
async def fetched(x: Int[Tensor, "batch"]) -> Int[Tensor, "batch"]:
    return x


waiting: Awaitable[Tensor] = fetched(torch.ones(2).int())


@typed
def batches(x: Float[Tensor, "batch seq"]) -> Iterator[Float[Tensor, "seq"]]:
    yield from x.unbind()


for row in batches(torch.ones(2, 3)):
    assert_type(row, Tensor)


@typed
async def streamed(x: Float[Tensor, "batch seq"]) -> AsyncIterator[Float[Tensor, "seq"]]:
    for item in x.unbind():
        yield item


async def consume() -> None:
    async for item in streamed(torch.ones(2, 3)):
        assert_type(item, Tensor)


class Attention(torch.nn.Module):
    def __init__(self, hidden: DimSize, heads: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.heads = heads

    @typed
    def forward(self, x: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch seq hidden"]:
        return x

    @staticmethod
    @typed
    def scores(q: Float[Tensor, "query head"], k: Float[Tensor, "key head"]) -> Float[Tensor, "query key"]:
        return q @ k.mT

    @classmethod
    @typed
    def like(cls, x: Float[Tensor, "batch hidden"]) -> "Attention":
        return cls(x.shape[1], 1)

    @property
    @typed
    def width(self) -> int:
        return self.hidden


attention = Attention(256, heads=4)
assert_type(attention.forward(torch.ones(1, 2, 256)), Tensor)
assert_type(Attention.scores(torch.ones(2, 4), torch.ones(3, 4)), Tensor)
assert_type(Attention.like(torch.ones(2, 4)), Attention)
assert_type(attention.width, int)
assert_type(attention.hidden, int)


@typed
@dataclass
class Batch:
    x: Float[Tensor, "batch seq"]
    lengths: Int[Tensor, "batch"] | None = None


assert_type(Batch(torch.ones(2, 3)).lengths, Tensor | None)

hidden = Dim("hidden", 256)
plain: int = hidden
assert_type(hidden + 1, int)
assert_type([0] * hidden, list[int])
assert_type(torch.ones(hidden, 2), Tensor)

try:
    scaled(torch.ones(2))
except DimensionError as error:
    assert_type(error.argument, str)
    assert_type(dict(error.bindings), dict[str, int | tuple[int, ...]])
