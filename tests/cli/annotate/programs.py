"""Programs without annotations, as people write them."""

GPT = '''\
"""A small language model."""

import math

import torch
import torch.nn as nn
from torch.nn import functional as F  # losses


class Norm(nn.Module):
    def __init__(self, ndim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))

    def forward(self, input):
        return F.layer_norm(input, self.weight.shape, self.weight)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.n_head = config.n_head

    def forward(self, x):
        B, T, C = x.size()  # batch, time, width
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (each.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for each in (q, k, v))
        scores = q @ k.transpose(-2, -1) / math.sqrt(k.size(-1))
        return (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, C)


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.norm, self.attention = Norm(config.n_embd), Attention(config)

    # what a block does
    def forward(self, x):
        return x + self.attention(self.norm(x))  # a residual


class Config:
    n_embd, n_head, vocab_size = 24, 4, 50


class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.n_embd)
        self.block = Block(config)
        self.head = nn.Linear(config.n_embd, config.vocab_size)

    def forward(self, idx, targets=None):
        b, t = idx.size()
        logits = self.head(self.block(self.tokens(idx)))
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.view(b * t, -1), targets.view(-1))
        return logits, loss
'''
GPT_ANNOTATIONS = [
    'def forward(self, input: Float[Tensor, "B T ndim"]) -> Float[Tensor, "B T ndim"]:',
    'def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:',
    'def forward(self, x: Float[Tensor, "B T n_embd"]) -> Float[Tensor, "B T n_embd"]:',
    'def forward(\n        self, idx: Int[Tensor, "b t"], targets: Int[Tensor, "b t"] | None = None\n'
    '    ) -> tuple[Float[Tensor, "b t vocab_size"], Float[Tensor, ""] | None]:',
]
GPT_COMMAND = ["model.py:GPT", "--arg", "config=Config()", "--input", "idx=int64[4,6]", "--input", "targets=int64[4,6]"]

LAYERS = """\
from dimtyped import DimSize, nn


class Mlp(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.up, self.down = nn.Linear(embed, hidden), nn.Linear(hidden, embed)

    def widen(self, x):
        return self.up(x).relu()

    def forward(self, x):
        return self.down(self.widen(x))
"""

COMMENTS = '''\
import torch


def attend(q, k, mask):  # q: (B, T, D), k: (B, S, D), mask: (T, S) -> (B, T, S)
    scores = q @ k.transpose(1, 2)
    return scores.masked_fill(~mask, -torch.inf)


def pool(x, lengths):
    """Means of sequences.

    Args:
        x: [batch size, sequence length, width]
        lengths: (batch size,)
    """
    valid = torch.arange(x.size(1)) < lengths[:, None]
    return (x * valid[..., None]).sum(1) / lengths[:, None]  # (batch size, width)


def flat(images, scale=2):
    n, c, *_ = images.shape
    doubled = images.repeat_interleave(scale, -1)
    return images.reshape(n * c, *images.shape[2:]), doubled
'''

PROGRAM = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.first, self.last = nn.Linear(width, 12), nn.Linear(12, classes)

    def forward(self, x):
        return self.last(self.first(x).relu())


def loss(scores, labels):
    return nn.functional.cross_entropy(scores, labels)


def train():
    torch.manual_seed(0)
    net = Net(8, 5)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    value = loss(net(torch.ones(4, 8)), torch.arange(4))
    value.backward()
    optimizer.step()
    print(f"{value.item():.6f}")


def net_and_inputs():
    return Net(8, 5), (torch.ones(4, 8),)


if __name__ == "__main__":
    train()
"""

IMAGES = """\
import torch
from torch import nn, optim
from torch.nn import functional as F


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.mean, self.spread = nn.Linear(784, 32), nn.Linear(32, 8), nn.Linear(32, 8)
        self.up, self.out = nn.Linear(8, 32), nn.Linear(32, 784)

    def encode(self, x):
        hidden = F.relu(self.down(x))
        return self.mean(hidden), self.spread(hidden)

    def forward(self, x):
        mean, spread = self.encode(x.view(-1, 784))
        z = mean + torch.randn_like(spread) * (spread / 2).exp()
        return torch.sigmoid(self.out(F.relu(self.up(z)))), mean, spread


def loss_function(made, x, mean, spread):
    same = F.binary_cross_entropy(made, x.view(-1, 784), reduction="sum")
    return same - (1 + spread - mean**2 - spread.exp()).sum() / 2


def train():
    model = VAE()
    optimizer = optim.Adam(model.parameters())
    for _ in range(2):
        x = torch.rand(6, 1, 28, 28)
        loss_function(*_with(x, *model(x))).backward()
        optimizer.step()


def _with(x, made, mean, spread):
    return made, x, mean, spread
"""
"""A program whose model makes rows of its images by their number of pixels, and whose loss has a function of its own."""
