"""Models as people write them with `torch.nn`: what knows nothing of dimtyped."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # its name everywhere
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

# Images ---------------------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """A 3x3 convolution, in groups, between two of 1x1."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, width, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv = nn.Conv2d(width, width, 3, stride, padding=1, groups=2, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.widen = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(channels, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.norm1(self.squeeze(x)))
        out = self.relu(self.norm2(self.conv(out)))
        out = self.norm3(self.widen(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


def shortcut(channels: int, out: int, stride: int) -> nn.Module | None:
    if stride == 1 and channels == out:
        return None
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class ResNet(nn.Module):
    """A residual network of He, Zhang, Ren and Sun, 2015, arranged as torchvision's."""

    def __init__(self, block: type[Block | Bottleneck], layers: list[int], width: int = 4, classes: int = 5):
        super().__init__()
        self.channels = width
        self.conv = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        stages = [self._stage(block, width * 2**stage, count, stage) for stage, count in enumerate(layers)]
        self.stages = nn.Sequential(*stages)
        self.mean = nn.AdaptiveAvgPool2d((1, 1))
        self.out = nn.Linear(self.channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _stage(self, block: type[Block | Bottleneck], width: int, count: int, stage: int) -> nn.Sequential:
        strides = [1 if stage == 0 else 2] + [1] * (count - 1)
        blocks: list[nn.Module] = []
        for stride in strides:
            blocks.append(block(self.channels, width, stride))
            self.channels = width * block.expansion
        return nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.norm(self.conv(x))))
        return self.out(torch.flatten(self.mean(self.stages(x)), 1))


class PatchBlock(nn.Module):
    """Attention and a perceptron, each after a norm and beside a shortcut."""

    def __init__(self, embed: int, heads: int, dropout: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(embed, eps=1e-6)
        self.attention = nn.MultiheadAttention(embed, heads, dropout=dropout, batch_first=True)
        self.norm2 = nn.LayerNorm(embed, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(embed, 4 * embed),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * embed, embed),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        y, _ = self.attention(y, y, y, need_weights=False)
        x = x + y
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """A vision transformer of Dosovitskiy et al., 2020, arranged as torchvision's."""

    def __init__(self, image: int, patch: int, layers: int, heads: int, embed: int, classes: int):
        super().__init__()
        self.patches = nn.Conv2d(3, embed, kernel_size=patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, embed))
        self.positions = nn.Parameter(torch.empty(1, (image // patch) ** 2 + 1, embed).normal_(std=0.02))
        self.blocks = nn.Sequential(*[PatchBlock(embed, heads, 0.1) for _ in range(layers)])
        self.norm = nn.LayerNorm(embed, eps=1e-6)
        self.head = nn.Linear(embed, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).permute(0, 2, 1)
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


# Text -----------------------------------------------------------------------------------------------------------------


class CausalAttention(nn.Module):
    """Attention that looks back only; query, key and value by one linear layer."""

    def __init__(self, embed: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.joined = nn.Linear(embed, 3 * embed, bias=False)
        self.out = nn.Linear(embed, embed, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        batch, seq, embed = x.shape
        query, key, value = (
            part.view(batch, seq, self.heads, embed // self.heads).transpose(1, 2)
            for part in self.joined(x).split(embed, dim=2)
        )
        mixed = F.scaled_dot_product_attention(
            query, key, value, dropout_p=self.dropout if self.training else 0.0, is_causal=True
        )
        return self.drop(self.out(mixed.transpose(1, 2).contiguous().view(batch, seq, embed)))


class Gpt(nn.Module):
    """A small GPT as nanoGPT's: learned positions, norms first, the output tied to the embedding."""

    def __init__(self, vocab: int, context: int, embed: int, heads: int, layers: int, dropout: float = 0.1):
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "tokens": nn.Embedding(vocab, embed),
                "positions": nn.Embedding(context, embed),
                "drop": nn.Dropout(dropout),
                "blocks": nn.ModuleList([self._block(embed, heads, dropout) for _ in range(layers)]),
                "norm": nn.LayerNorm(embed, bias=False),
            }
        )
        self.head = nn.Linear(embed, vocab, bias=False)
        self.transformer["tokens"].weight = self.head.weight
        self.apply(self._initialize)

    @staticmethod
    def _block(embed: int, heads: int, dropout: float) -> nn.ModuleDict:
        mlp = nn.Sequential(
            nn.Linear(embed, 4 * embed, bias=False),
            nn.GELU(),
            nn.Linear(4 * embed, embed, bias=False),
            nn.Dropout(dropout),
        )
        parts = {"norm1": nn.LayerNorm(embed, bias=False), "attention": CausalAttention(embed, heads, dropout)}
        return nn.ModuleDict({**parts, "norm2": nn.LayerNorm(embed, bias=False), "mlp": mlp})

    @staticmethod
    def _initialize(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        parts = self.transformer
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = parts["drop"](parts["tokens"](tokens) + parts["positions"](places))
        for block in parts["blocks"]:
            x = x + block["attention"](block["norm1"](x))
            x = x + block["mlp"](block["norm2"](x))
        return self.head(parts["norm"](x))


class WordModel(nn.Module):
    """The recurrent model of pytorch/examples, word_language_model: any kind of layer, tied or not."""

    def __init__(self, kind: str, vocab: int, embed: int, hidden: int, layers: int, tied: bool):
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.encoder = nn.Embedding(vocab, embed)
        if kind in ("LSTM", "GRU"):
            self.rnn = getattr(nn, kind)(embed, hidden, layers, dropout=0.2 if layers > 1 else 0)
        else:
            self.rnn = nn.RNN(embed, hidden, layers, nonlinearity=kind.partition("_")[2].lower(), dropout=0.2)
        self.decoder = nn.Linear(hidden, vocab)
        if tied:
            self.decoder.weight = self.encoder.weight
        self.is_lstm = isinstance(self.rnn, nn.LSTM)

    def first_state(self, batch: int) -> Tensor | tuple[Tensor, Tensor]:
        weight = next(self.parameters())
        zeros = weight.new_zeros(self.rnn.num_layers, batch, self.rnn.hidden_size)
        return (zeros, zeros) if self.is_lstm else zeros

    def forward(self, tokens: Tensor) -> Tensor:
        output, _ = self.rnn(self.drop(self.encoder(tokens)), self.first_state(tokens.shape[1]))
        return F.log_softmax(self.decoder(self.drop(output)).flatten(0, 1), dim=-1)


class Positions(nn.Module):
    """Sines and cosines added to what comes in, sequence first."""

    def __init__(self, embed: int, longest: int = 20):
        super().__init__()
        place = torch.arange(longest).unsqueeze(1) * torch.exp(torch.arange(0, embed, 2) * (-math.log(10000.0) / embed))
        table = torch.zeros(longest, 1, embed)
        table[:, 0, 0::2], table[:, 0, 1::2] = place.sin(), place.cos()
        self.register_buffer("table", table)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table[: x.shape[0]]


class TransformerWordModel(nn.Transformer):
    """The other model of word_language_model: it inherits from the transformer, and uses the encoder alone."""

    def __init__(self, vocab: int, embed: int, heads: int, hidden: int, layers: int):
        super().__init__(d_model=embed, nhead=heads, dim_feedforward=hidden, num_encoder_layers=layers)
        self.positions = Positions(embed)
        self.embed = nn.Embedding(vocab, embed)
        self.width = embed
        self.decoder = nn.Linear(embed, vocab)

    def forward(self, tokens: Tensor) -> Tensor:
        mask = self.generate_square_subsequent_mask(tokens.shape[0])
        x = self.positions(self.embed(tokens) * math.sqrt(self.width))
        return F.log_softmax(self.decoder(self.encoder(x, mask=mask)), dim=-1)


class Encoder(nn.Module):
    """A bidirectional GRU over packed sentences, its final states joined into one."""

    def __init__(self, vocab: int, embed: int, hidden: int):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed, padding_idx=0)
        self.gru = nn.GRU(embed, hidden, bidirectional=True, batch_first=True)
        self.join = nn.Linear(2 * hidden, hidden)

    def forward(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        packed = pack_padded_sequence(self.embedding(source), lengths, batch_first=True, enforce_sorted=False)
        output, state = self.gru(packed)
        keys, _ = pad_packed_sequence(output, batch_first=True, total_length=source.shape[1])
        return keys, torch.tanh(self.join(torch.cat([state[-2], state[-1]], dim=-1)))


class AdditiveAttention(nn.Module):
    """The attention of Bahdanau, Cho and Bengio, 2014."""

    def __init__(self, hidden: int, keys: int):
        super().__init__()
        self.query = nn.Linear(hidden, hidden, bias=False)
        self.key = nn.Linear(keys, hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(self, state: Tensor, keys: Tensor, padding: Tensor) -> Tensor:
        scores = self.score(torch.tanh(self.query(state).unsqueeze(1) + self.key(keys))).squeeze(-1)
        weights = scores.masked_fill(padding, float("-inf")).softmax(-1)
        return torch.bmm(weights.unsqueeze(1), keys).squeeze(1)


class Translator(nn.Module):
    """A translator with attention: a GRU reads, a GRU cell writes under teacher forcing."""

    def __init__(self, vocab: int, embed: int, hidden: int):
        super().__init__()
        self.encoder = Encoder(vocab, embed, hidden)
        self.embedding = nn.Embedding(vocab, embed, padding_idx=0)
        self.attention = AdditiveAttention(hidden, 2 * hidden)
        self.cell = nn.GRUCell(embed + 2 * hidden, hidden)
        self.out = nn.Linear(hidden + embed, vocab)

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        keys, state = self.encoder(source, lengths)
        logits: list[Tensor] = []
        for token in self.embedding(target).unbind(1):
            context = self.attention(state, keys, source == 0)
            state = self.cell(torch.cat([token, context], dim=-1), state)
            logits.append(self.out(torch.cat([state, token], dim=-1)))
        return torch.stack(logits, dim=1)
