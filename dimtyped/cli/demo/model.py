"""The demo's model: a GRU encoder-decoder with attention, teacher forcing and a tied output."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dimtyped import DimSize, nn, typed


class Encoder(nn.Module):
    """Reads a phrase: returns a key for each character, and the state after the last one."""

    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, hidden, batch_first=True)

    def forward(
        self, source: Int[Tensor, "batch source"]
    ) -> tuple[Float[Tensor, "batch source hidden"], Float[Tensor, "layers batch hidden"]]:
        """Keys `(batch, source, hidden)` and state `(layers, batch, hidden)`."""
        return self.gru(self.embedding(source))


class Attention(nn.Module):
    """The attention weights of a decoder's state over the keys (Luong, Pham and Manning, 2015: the "general" score)."""

    def __init__(self, hidden: DimSize) -> None:
        super().__init__()
        self.query = nn.Linear(hidden, hidden, bias=False)

    def forward(
        self,
        state: Float[Tensor, "layers batch hidden"],
        keys: Float[Tensor, "batch source hidden"],
        real: Bool[Tensor, "batch source"],
    ) -> Float[Tensor, "batch 1 source"]:
        """One weight for each key; none for padding."""
        query = self.query(state[-1]).unsqueeze(1)
        scores = torch.bmm(query, keys.transpose(1, 2))
        return scores.masked_fill(~real.unsqueeze(1), float("-inf")).softmax(-1)


class Decoder(nn.Module):
    """Writes a phrase character by character, with attention to the keys at each step."""

    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.attention = Attention(hidden)
        self.combine = nn.Linear(hidden + embed, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.out = nn.TiedDecoder(self.embedding, hidden, project=True)

    @typed
    def step(
        self,
        embedded: Float[Tensor, "batch 1 embed"],
        state: Float[Tensor, "layers batch hidden"],
        keys: Float[Tensor, "batch source hidden"],
        real: Bool[Tensor, "batch source"],
    ) -> tuple[Float[Tensor, "batch 1 hidden"], Float[Tensor, "layers batch hidden"]]:
        """The output `(batch, 1, hidden)` and the state after one character."""
        weights = self.attention(state, keys, real)
        context = torch.bmm(weights, keys)
        joined = torch.cat([context, embedded], dim=-1)
        return self.gru(self.combine(joined).relu(), state)

    def forward(
        self,
        tokens: Int[Tensor, "batch target"],
        state: Float[Tensor, "layers batch hidden"],
        keys: Float[Tensor, "batch source hidden"],
        real: Bool[Tensor, "batch source"],
    ) -> tuple[Float[Tensor, "batch target vocab"], Float[Tensor, "layers batch hidden"]]:
        """Logits `(batch, target, vocab)` for the character after each of `tokens`: teacher forcing."""
        outputs: list[Tensor] = []
        for embedded in self.embedding(tokens).split(1, dim=1):
            output, state = self.step(embedded, state, keys, real)
            outputs.append(output)
        return self.out(torch.cat(outputs, dim=1)), state


class Seq2Seq(nn.Module):
    """The encoder and the decoder together. Token 0 is padding."""

    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize) -> None:
        super().__init__()
        self.encoder = Encoder(vocab, embed, hidden)
        self.decoder = Decoder(vocab, embed, hidden)

    def forward(
        self, source: Int[Tensor, "batch source"], tokens: Int[Tensor, "batch target"]
    ) -> Float[Tensor, "batch target vocab"]:
        """Logits for the character after each of `tokens`."""
        keys, state = self.encoder(source)
        logits, _ = self.decoder(tokens, state, keys, source != 0)
        return logits

    @torch.no_grad()
    @typed
    def write(self, source: Int[Tensor, "batch source"], start: int, length: int) -> Int[Tensor, "batch length"]:
        """The likeliest next character, `length` times."""
        keys, state = self.encoder(source)
        token = torch.full_like(source[:, :1], start)
        written: list[Tensor] = []
        for _ in range(length):
            logits, state = self.decoder(token, state, keys, source != 0)
            token = logits.argmax(-1)
            written.append(token)
        return torch.cat(written, dim=1)
