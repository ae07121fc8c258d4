"""Small models of the kinds that people write, each with the bugs that such models have: what `fuzz` is for."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from dimtyped import DimSize, nn


class Classifier(nn.Module):
    """Convolutions and pooling over images of any size."""

    def __init__(self, channels: DimSize, classes: DimSize, bug: str = ""):
        super().__init__()
        self.bug = bug
        self.features = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.AdaptiveAvgPool2d(1),
        )
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(16, classes)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        features = self.features(images)
        features = features.squeeze() if self.bug == "squeeze" else features.flatten(1)
        logits = self.head(self.dropout(features))
        return logits - logits.mean() if self.bug == "centered" else logits


class Digits(nn.Module):
    """Images of one size."""

    def __init__(self, classes: DimSize, bug: str = ""):
        super().__init__()
        self.bug, self.pool = bug, nn.MaxPool2d(2)
        self.first, self.second = nn.Conv2d(1, 4, 5), nn.Conv2d(4, 8, 5)
        self.out = nn.Linear(8 * 4 * 4, classes)

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch classes"]:
        found = self.pool(self.second(self.pool(self.first(images).relu())).relu())
        if self.bug == "too many pools":
            found = self.pool(self.pool(self.pool(found)))
        flat = found.transpose(0, 1).reshape(-1, 128) if self.bug == "view" else found.flatten(1)
        return self.out(flat)


class Tagger(nn.Module):
    """An LSTM that reads padded sequences both ways."""

    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize, tags: DimSize, bug: str = ""):
        super().__init__()
        self.bug, self.embedding = bug, nn.Embedding(vocab, embed, padding_idx=0)
        self.lstm = nn.LSTM(embed, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, tags)

    def forward(
        self, tokens: Int[Tensor, "batch seq"], lengths: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch seq tags"]:
        embedded = self.embedding(tokens)
        if self.bug == "not packed":
            return self.out(self.lstm(embedded)[0])
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=self.bug == "sorted")
        output, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.out(output)


class Reviews(nn.Module):
    """A transformer encoder over padded sequences, and the mean of what is real."""

    def __init__(self, vocab: DimSize, width: DimSize, classes: DimSize, bug: str = ""):
        super().__init__()
        self.bug, self.embedding = bug, nn.Embedding(vocab, width, padding_idx=0)
        layer = nn.TransformerEncoderLayer(width, 2, 8, batch_first=bug != "batch second", norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.out = nn.Linear(width, classes)

    def forward(
        self, tokens: Int[Tensor, "batch seq"], lengths: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch classes"]:
        padding = torch.arange(tokens.shape[1]) >= lengths.unsqueeze(1)
        masks = {"no mask": None, "batch second": padding.T}
        found = self.encoder(self.embedding(tokens), src_key_padding_mask=masks.get(self.bug, padding))
        if self.bug == "mean of all":
            return self.out(found.mean(1))
        real = (~padding).unsqueeze(-1).to(found.dtype)
        return self.out((found * real).sum(1) / real.sum(1))


class Dilated(nn.Module):
    """Causal convolutions, each reaching further back, padded before the first step."""

    def __init__(self, width: DimSize, bug: str = ""):
        super().__init__()
        self.bug, self.layers = bug, nn.ModuleList(nn.Conv1d(width, width, 2, dilation=2**i) for i in range(3))

    def forward(self, x: Float[Tensor, "batch seq width"]) -> Float[Tensor, "batch seq width"]:
        steps = x.transpose(1, 2)
        for index, layer in enumerate(self.layers):
            around = (0, 2**index) if self.bug == "padded behind" else (2**index, 0)
            steps = steps + layer(torch.nn.functional.pad(steps, around)).relu()
        return steps.transpose(1, 2)


class Language(nn.Module):
    """A causal transformer of one block, tied."""

    def __init__(self, vocab: DimSize, width: DimSize, context: int, bug: str = ""):
        super().__init__()
        self.bug = bug
        self.tokens, self.places = nn.Embedding(vocab, width), nn.Embedding(context, width)
        self.norm, self.qkv, self.joined = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down, self.out = (
            nn.Linear(width, 4 * width),
            nn.Linear(4 * width, width),
            nn.TiedDecoder(self.tokens),
        )
        self.dropout = nn.Dropout(0.1)

    def attend(self, x: Tensor) -> Tensor:
        batch, seq, width = x.shape
        heads = [
            part.reshape(batch, 2, seq, -1) if self.bug == "heads" else part.reshape(batch, seq, 2, -1).transpose(1, 2)
            for part in self.qkv(x).split(width, dim=-1)
        ]
        query, key, value = heads
        scores = query @ key.transpose(2, 3) / math.sqrt(width // 2)
        later = torch.ones(seq, seq, dtype=torch.bool).triu(2 if self.bug == "mask" else 1)
        mixed = scores.masked_fill(later, float("-inf")).softmax(-1) @ value
        return self.joined(mixed.transpose(1, 2).reshape(batch, seq, width))

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
        along = 0 if self.bug == "places" else 1
        places = self.places(torch.arange(tokens.shape[along])).unsqueeze(1 - along)
        x = self.dropout(self.tokens(tokens) + places)
        x = x + self.attend(self.norm(x))
        return self.out(x + self.down(self.up(x).relu()))


class Autoencoder(nn.Module):
    """A variational autoencoder: it draws random numbers in eval mode too."""

    def __init__(self, pixels: DimSize, latent: DimSize, bug: str = ""):
        super().__init__()
        self.bug, self.encode = bug, nn.Sequential(nn.Linear(pixels, 5), nn.ReLU())
        self.mean, self.logvar = nn.Linear(5, latent), nn.Linear(5, latent)
        self.decode = nn.Sequential(nn.Linear(latent, 5), nn.ReLU(), nn.Linear(5, pixels), nn.Sigmoid())

    def forward(
        self, x: Float[Tensor, "batch pixels"]
    ) -> tuple[Float[Tensor, "batch pixels"], Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        read = self.encode(x.mul_(2) if self.bug == "in place" else x)
        mean, logvar = self.mean(read), self.logvar(read)
        if self.bug == "centered":
            mean = mean - mean.mean(0)
        drawn = mean + torch.randn_like(mean) * (logvar / 2).exp()
        return self.decode(drawn), mean, logvar


class Siamese(nn.Module):
    """Two inputs through one tower, and how far they are apart."""

    def __init__(self, features: DimSize, embed: DimSize, bug: str = ""):
        super().__init__()
        self.bug = bug
        self.tower = nn.Sequential(
            nn.Linear(features, embed), nn.BatchNorm1d(embed), nn.ReLU(), nn.Linear(embed, embed)
        )

    def forward(
        self, left: Float[Tensor, "batch features"], right: Float[Tensor, "batch features"]
    ) -> Float[Tensor, "batch"]:
        first, second = self.tower(left), self.tower(right)
        if self.bug == "all pairs":
            return (first @ second.T).mean(1)
        if self.bug == "interleaved":
            both = self.tower(torch.cat([left, right]))
            first, second = both.reshape(len(left), 2, -1).unbind(1)
        if self.bug == "squeeze":
            return (first - second).norm(dim=1, keepdim=True).squeeze()
        return (first - second).norm(dim=1)


MODELS = [
    (Classifier, (3, 5), {}),
    (Digits, (5,), {}),
    (Tagger, (7, 3, 4, 5), {"padding": "lengths"}),
    (Reviews, (7, 4, 3), {"padding": "lengths"}),
    (Dilated, (3,), {"causal": "seq"}),
    (Language, (7, 8, 6), {"causal": "seq"}),
    (Autoencoder, (6, 2), {}),
    (Siamese, (4, 3), {}),
]

BUGS = [
    (Classifier, "squeeze", "batch=1, height=2, width=2", "the result does not fit: it has 1 axis, must have 2"),
    (Classifier, "centered", "batch=2, height=4, width=6", "in the forward of Classifier itself, after `head`"),
    (
        Digits,
        "too many pools",
        "batch=2",
        "Digits.pool: argument `input` does not fit: height is 1, must be at least 2",
    ),
    (Digits, "view", "batch=2", "in the forward of Digits itself, after `pool` and before `out`"),
    (Tagger, "not packed", "batch=2, seq=6", "It begins in `lstm` (LSTM)"),
    (Reviews, "no mask", "batch=2, seq=5", "It begins in `encoder.layers.0.self_attn` (MultiheadAttention)"),
    (Reviews, "mean of all", "batch=2, seq=5", "in the forward of Reviews itself, after `encoder` and before `out`"),
    (Reviews, "batch second", "batch=2, seq=5", "It begins in `encoder.layers.0.self_attn` (MultiheadAttention)"),
    (Dilated, "padded behind", "batch=2, seq=4", "changing only seq 2 of `x` changes seq 0 of the result"),
    (Language, "mask", "batch=2, seq=3", "in the forward of Language itself, after `qkv` and before `joined`"),
    (Language, "heads", "batch=2, seq=3", "in the forward of Language itself, after `qkv` and before `joined`"),
    (Language, "places", "batch=2, seq=3", "its place along batch matters"),
    (Autoencoder, "in place", "batch=3", "`x` is edited in place"),
    (Autoencoder, "centered", "batch=3", "in the forward of Autoencoder itself, after `logvar` and before `decode`"),
    (Siamese, "all pairs", "batch=2", "in the forward of Siamese itself, after `tower`"),
    (Siamese, "interleaved", "batch=2", "in the forward of Siamese itself, after `tower`"),
    (Siamese, "squeeze", "batch=1", "the result does not fit: it has 0 axes, must have 1"),
]
