"""`torch.nn`, and the tied output that it lacks, as one writes it by hand."""

import torch
from torch.nn import *  # noqa: F403  # stands in for `dimtyped.nn`, whole
from torch.nn import (
    Embedding,
    Linear,
    Module,
    Parameter,
    functional as F,  # noqa: N812  # its name everywhere
)


class TiedDecoder(Module):
    """Logits by the embedding's own weight, with a projection to its width where one is asked for."""

    def __init__(self, embedding: Embedding, hidden: int | None = None, *, bias: bool = True, project: bool = False):
        super().__init__()
        width = embedding.embedding_dim
        self.projection = Linear(width if hidden is None else hidden, width, bias=False) if project else None
        self.weight = embedding.weight
        drawn = torch.empty(embedding.num_embeddings).uniform_(-(width**-0.5), width**-0.5) if bias else None
        self.register_parameter("bias", None if drawn is None else Parameter(drawn))  # as torch's Linear does

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002, RUF100
        projected = input if self.projection is None else self.projection(input)
        return F.linear(projected, self.weight, self.bias)
