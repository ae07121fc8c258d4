"""A GRU encoder and decoder with attention and a tied output."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dimtyped import DimSize, nn


class Encoder(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, hidden, batch_first=True)

    def forward(
        self, source: Int[Tensor, "batch source"]
    ) -> tuple[Float[Tensor, "batch source hidden"], Float[Tensor, "1 batch hidden"]]:
        return self.gru(self.embedding(source))


class Attention(nn.Module):
    def __init__(self, hidden: DimSize):
        super().__init__()
        self.query = nn.Linear(hidden, hidden, bias=False)

    def forward(
        self, state: Float[Tensor, "1 batch hidden"], keys: Float[Tensor, "batch source hidden"]
    ) -> Float[Tensor, "batch 1 hidden"]:
        scores = torch.bmm(self.query(state[-1]).unsqueeze(1), keys.transpose(1, 2))
        return torch.bmm(scores.softmax(-1), keys)


class Decoder(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.attention = Attention(hidden)
        self.combine = nn.Linear(hidden + embed, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.out = nn.TiedDecoder(self.embedding, hidden, project=True)

    def forward(
        self,
        token: Int[Tensor, "batch 1"],
        state: Float[Tensor, "1 batch hidden"],
        keys: Float[Tensor, "batch source hidden"],
    ) -> tuple[Float[Tensor, "batch 1 vocab"], Float[Tensor, "1 batch hidden"]]:
        context = self.attention(state, keys)
        joined = torch.cat([context, self.embedding(token)], dim=-1)
        output, state = self.gru(self.combine(joined).relu(), state)
        return self.out(output), state


class Model(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.encoder = Encoder(vocab, embed, hidden)
        self.decoder = Decoder(vocab, embed, hidden)

    def forward(
        self, source: Int[Tensor, "batch source"], tokens: Int[Tensor, "batch target"]
    ) -> Float[Tensor, "batch target vocab"]:
        keys, state = self.encoder(source)
        logits: list[Tensor] = []
        for token in tokens.split(1, dim=1):
            step, state = self.decoder(token, state, keys)
            logits.append(step)
        return torch.cat(logits, dim=1)

    def write(self, source: Tensor, length: int) -> Tensor:
        """The likeliest next token, `length` times."""
        keys, state = self.encoder(source)
        token = torch.ones_like(source[:, :1])
        written: list[Tensor] = []
        for _ in range(length):
            logits, state = self.decoder(token, state, keys)
            token = logits.argmax(-1)
            written.append(token)
        return torch.cat(written, dim=1)
