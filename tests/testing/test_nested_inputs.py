"""Inputs in tuples and TypedDicts: each tensor in them is drawn, changed and moved with its sample."""

from typing import NotRequired, TypedDict

import pytest
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dimtyped import DimSize, nn
from dimtyped.testing import MixedError, fuzz, independent

pytestmark = pytest.mark.any_engine

State = Float[Tensor, "batch {self.heads} past embed//{self.heads}"]


class Cached(nn.Module):
    """Causal attention with a cache whose axes are expressions."""

    def __init__(self, embed: DimSize, heads: int = 2, *, bug: bool = False):
        super().__init__()
        self.heads, self.bug = heads, bug
        self.into, self.out = nn.Linear(embed, 3 * embed), nn.Linear(embed, embed)

    def forward(
        self, x: Float[Tensor, "batch seq embed"], cache: tuple[State, State] | None = None
    ) -> Float[Tensor, "batch seq embed"]:
        q, k, v = (p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in self.into(x).chunk(3, -1))
        if cache is not None:
            past = tuple(part.roll(1, 0) for part in cache) if self.bug else cache
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2])
        found = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(found.transpose(1, 2).flatten(2))


def test_an_optional_tuple_whose_axes_are_expressions():
    fuzz(Cached(4), causal="seq", max_examples=20)
    with pytest.raises(MixedError, match="axis `batch` mixes: changing only batch . of `cache"):
        independent(Cached(4, bug=True))


class Batch(TypedDict):
    x: Float[Tensor, "batch width"]
    labels: Int[Tensor, "batch"]
    mask: NotRequired[Bool[Tensor, "batch"]]


class Found(TypedDict):
    logits: Float[Tensor, "batch width"]


class Head(nn.Module):
    def __init__(self, width: DimSize, *, bug: bool = False):
        super().__init__()
        self.out, self.bug = nn.Linear(width, width), bug

    def forward(self, inputs: Batch) -> Found:
        logits = self.out(inputs["x"])
        if "mask" in inputs:
            mask = inputs["mask"].unsqueeze(1).to(logits.dtype)
            logits = logits * (mask.sum() if self.bug else mask)
        return {"logits": logits}


def test_a_typed_dict():
    assert fuzz(Head(3), max_examples=20).tested == ("batch",)
    with pytest.raises(MixedError, match="axis `batch` mixes: changing only batch . of `inputs.mask`"):
        independent(Head(3, bug=True))
