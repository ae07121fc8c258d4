"""Ten modules in one file, as `dimtyped check` meets them: a GPT, a translator and a convolutional classifier with their parts."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dimtyped import DimSize, nn
from dimtyped.nn import functional


class Head(nn.Module):
    def __init__(self, embed: DimSize, head: DimSize):
        super().__init__()
        self.key = nn.Linear(embed, head, bias=False)
        self.query = nn.Linear(embed, head, bias=False)
        self.value = nn.Linear(embed, head, bias=False)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq head"]:
        seq = x.shape[1]
        k, q, v = self.key(x), self.query(x), self.value(x)
        scores = q @ k.transpose(-2, -1) / math.sqrt(k.shape[-1])
        mask = torch.tril(torch.ones(seq, seq, device=x.device))
        scores = scores.masked_fill(mask == 0, float("-inf"))
        return functional.softmax(scores, dim=-1) @ v


class MultiHead(nn.Module):
    def __init__(self, embed: DimSize, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(embed, 3 * embed)
        self.proj = nn.Linear(embed, embed)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        batch, seq, embed = x.shape
        q, k, v = self.qkv(x).split(embed, dim=2)
        q, k, v = (each.view(batch, seq, self.heads, -1).transpose(1, 2) for each in (q, k, v))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(y.transpose(1, 2).contiguous().view(batch, seq, embed))


class FeedForward(nn.Module):
    def __init__(self, embed: DimSize, ff: DimSize):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(embed, ff), nn.GELU(), nn.Linear(ff, embed), nn.Dropout(0.1))

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        return self.net(x)


class Block(nn.Module):
    def __init__(self, embed: DimSize, heads: int = 4):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(embed), nn.LayerNorm(embed)
        self.attn, self.mlp = MultiHead(embed, heads), FeedForward(embed, 4 * embed)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    def __init__(self, vocab: DimSize, context: DimSize, embed: DimSize, layers: int = 2):
        super().__init__()
        self.tok, self.pos = nn.Embedding(vocab, embed), nn.Embedding(context, embed)
        self.blocks = nn.ModuleList(Block(embed) for _ in range(layers))
        self.norm = nn.LayerNorm(embed)
        self.out = nn.TiedDecoder(self.tok, embed, bias=False)

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
        x = self.tok(tokens) + self.pos(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))


class Encoder(nn.Module):
    def __init__(self, source_vocab: DimSize, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.embedding = nn.Embedding(source_vocab, embed)
        self.gru = nn.GRU(embed, hidden, batch_first=True)

    def forward(
        self, tokens: Int[Tensor, "batch source"]
    ) -> tuple[Float[Tensor, "batch source hidden"], Float[Tensor, "layers batch hidden"]]:
        return self.gru(self.embedding(tokens))


class Additive(nn.Module):
    def __init__(self, hidden: DimSize, attention: DimSize):
        super().__init__()
        self.query, self.key = nn.Linear(hidden, attention), nn.Linear(hidden, attention)
        self.score = nn.Linear(attention, 1)

    def forward(
        self, query: Float[Tensor, "batch hidden"], keys: Float[Tensor, "batch source hidden"]
    ) -> Float[Tensor, "batch hidden"]:
        scores = self.score(torch.tanh(self.query(query).unsqueeze(1) + self.key(keys))).squeeze(-1)
        weights = functional.softmax(scores, dim=-1)
        return torch.einsum("bs,bsh->bh", weights, keys)


class Decoder(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, hidden, batch_first=True)
        self.out = nn.TiedDecoder(self.embedding, hidden, project=True)

    def forward(
        self, tokens: Int[Tensor, "batch seq"], state: Float[Tensor, "layers batch hidden"]
    ) -> tuple[Float[Tensor, "batch seq vocab"], Float[Tensor, "layers batch hidden"]]:
        output, state = self.gru(self.embedding(tokens), state)
        return self.out(output), state


class Seq2Seq(nn.Module):
    def __init__(self, source_vocab: DimSize, vocab: DimSize, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.encoder = Encoder(source_vocab, embed, hidden)
        self.decoder = Decoder(vocab, embed, hidden)

    def forward(
        self, source: Int[Tensor, "batch source"], target: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch seq vocab"]:
        _, state = self.encoder(source)
        return self.decoder(target, state)[0]


class Convolutions(nn.Module):
    def __init__(self, channels: DimSize, classes: DimSize):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
        )
        self.head = nn.Linear(2 * channels, classes)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        return self.head(self.features(images).flatten(1))
