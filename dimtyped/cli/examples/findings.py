"""The mistakes that `check` and `watch` find, by family: each is a small program, and its corrected form."""

from __future__ import annotations

import linecache
from dataclasses import dataclass
from typing import Any

from dimtyped.flow import Report

FINDINGS_PRELUDE = """\
import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from dimtyped import DimSize, check, nn, typed, watch
"""
"""The code that every example begins with."""


@dataclass(frozen=True)
class FindingExample:
    """One mistake in a program that runs without an error, or has not been run yet.

    Args:
        name: Its name.
        title: The mistake in words.
        kind: The kind of the finding.
        code: The program; its last statement makes `report`.
        fix: A part of the code, and its replacement in the right program.
    """

    name: str
    title: str
    kind: str
    code: str
    fix: tuple[str, str]

    @property
    def fixed(self) -> str:
        """The right program."""
        return self.code.replace(*self.fix)

    @property
    def line(self) -> int:
        """The line of the mistake: the last line that the fix replaces."""
        return self.code[: self.code.index(self.fix[0]) + len(self.fix[0])].count("\n") + 1

    def report(self) -> Report:
        """The report of the wrong program."""
        return report_of(self.code, self.name)

    def fixed_report(self) -> Report:
        """The report of the right program, which has no findings."""
        return report_of(self.fixed, f"{self.name}-fixed")


def report_of(code: str, name: str) -> Report:
    """The report that a program makes."""
    file = f"{name}.py"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    names: dict[str, Any] = {"__name__": name}
    exec(compile(FINDINGS_PRELUDE, "<gallery>", "exec"), names)
    exec(compile(code, file, "exec"), names)
    return names["report"]


FINDINGS: dict[str, tuple[FindingExample, ...]] = {
    "Heads, and how they are split and joined": (
        FindingExample(
            "joined-heads",
            "Heads are joined without the transpose",
            "scramble",
            """\
class Attention(nn.Module):
    def __init__(self, embed: DimSize, heads: DimSize):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(embed, 3 * embed)
        self.out = nn.Linear(embed, embed)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / math.sqrt(C // self.heads)).softmax(-1)
        o = weights @ v
        return self.out(o.reshape(B, T, C))

report = check(Attention(embed=64, heads=4))
""",
            ("o.reshape(B, T, C)", "o.transpose(1, 2).reshape(B, T, C)"),
        ),
        FindingExample(
            "split-heads",
            "Heads are split by a view that skips the transpose",
            "scramble",
            """\
class Scores(nn.Module):
    def __init__(self, embed: DimSize, heads: DimSize):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(embed, embed)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch heads seq _"]:
        B, T, C = x.shape
        return self.query(x).view(B, self.heads, T, C // self.heads)

report = check(Scores(embed=64, heads=4))
""",
            (
                "self.query(x).view(B, self.heads, T, C // self.heads)",
                "self.query(x).view(B, T, self.heads, C // self.heads).transpose(1, 2)",
            ),
        ),
        FindingExample(
            "heads-into-batch",
            "Heads are folded into the batch, and unfolded in the other order",
            "scramble",
            """\
@typed
def residual(x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
    B, T, C = x.shape
    folded = x.view(B, T, 4, C // 4).permute(0, 2, 1, 3).reshape(B * 4, T, C // 4)
    heads = folded.view(4, B, T, C // 4).permute(1, 2, 0, 3).reshape(B, T, C)
    return x + heads

report = check(residual, sizes={"embed": 16})
""",
            ("folded.view(4, B, T, C // 4).permute(1, 2, 0, 3)", "folded.view(B, 4, T, C // 4).permute(0, 2, 1, 3)"),
        ),
        FindingExample(
            "cache-along-heads",
            "New keys are appended along the heads instead of the time",
            "refused",
            """\
class Cached(nn.Module):
    def __init__(self, embed: DimSize, heads: DimSize):
        super().__init__()
        self.heads = heads
        self.key = nn.Linear(embed, embed)
        self.query = nn.Linear(embed, embed)

    def forward(
        self, x: Float[Tensor, "batch 1 embed"], past: Float[Tensor, "batch {self.heads} past {self.head}"]
    ) -> Float[Tensor, "batch {self.heads} 1 _"]:
        B, T, C = x.shape
        q, k = (layer(x).view(B, T, self.heads, -1).transpose(1, 2) for layer in (self.query, self.key))
        keys = torch.cat([past, k], dim=1)
        return q @ keys.transpose(-2, -1)

    @property
    def head(self) -> int:
        return self.key.in_features // self.heads

report = check(Cached(embed=64, heads=4))
""",
            ("torch.cat([past, k], dim=1)", "torch.cat([past, k], dim=2)"),
        ),
    ),
    "States of recurrent layers": (
        FindingExample(
            "state-flattened",
            "The state of a bidirectional layer is flattened as if the batch came first",
            "scramble",
            """\
class Classifier(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize, classes: DimSize):
        super().__init__()
        self.gru = nn.GRU(embed, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, classes)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch classes"]:
        _, state = self.gru(x)
        return self.out(state.view(x.shape[0], -1))

report = check(Classifier)
""",
            ("state.view(x.shape[0], -1)", "state.transpose(0, 1).flatten(1)"),
        ),
        FindingExample(
            "state-viewed",
            "The state is viewed with the batch first",
            "scramble",
            """\
@typed
def last(state: Float[Tensor, "layers batch hidden"]) -> Float[Tensor, "batch hidden"]:
    layers, batch, hidden = state.shape
    return state.view(batch, layers, hidden)[:, -1]

report = check(last)
""",
            ("state.view(batch, layers, hidden)", "state.transpose(0, 1)"),
        ),
        FindingExample(
            "last-step",
            "The last step of a bidirectional output: its backward half has seen one word",
            "selection",
            """\
class Sentiment(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.lstm = nn.LSTM(embed, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, 1)

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch 1"]:
        output, (state, _) = self.lstm(self.embedding(tokens))
        return self.out(output[:, -1])

report = check(Sentiment)
""",
            ("output[:, -1]", "torch.cat([state[-2], state[-1]], dim=-1)"),
        ),
        FindingExample(
            "batch-first",
            "`batch_first` is forgotten: the layer runs along the batch",
            "mixing",
            """\
class Tagger(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize, tags: DimSize):
        super().__init__()
        self.gru = nn.GRU(embed, hidden)
        self.out = nn.Linear(hidden, tags)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq tags"]:
        output, _ = self.gru(x)
        return self.out(output)

report = check(Tagger)
""",
            ("self.gru(x)", "self.gru(x.transpose(0, 1))[0].transpose(0, 1), None"),
        ),
        FindingExample(
            "fixed-state",
            "The first state is made for one batch size",
            "fixed",
            """\
class Encoder(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.hidden = hidden
        self.gru = nn.GRU(embed, hidden, batch_first=True)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq hidden"]:
        state = x.new_zeros(1, 32, self.hidden)
        return self.gru(x, state)[0]

report = check(Encoder)
""",
            (
                "state = x.new_zeros(1, 32, self.hidden)\n        return self.gru(x, state)",
                "state = x.new_zeros(1, x.shape[0], self.hidden)\n        return self.gru(x, state)",
            ),
        ),
    ),
    "Dimensions that must not mix": (
        FindingExample(
            "softmax-axis",
            "A softmax over the batch",
            "mixing",
            """\
class Classifier(nn.Module):
    def __init__(self, features: DimSize, classes: DimSize):
        super().__init__()
        self.out = nn.Linear(features, classes)

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        return self.out(x).softmax(0)

report = check(Classifier)
""",
            ("softmax(0)", "softmax(-1)"),
        ),
        FindingExample(
            "sort-axis",
            "A sort of the samples instead of each sample's scores",
            "mixing",
            """\
@typed
def ranked(scores: Float[Tensor, "batch items"]) -> Float[Tensor, "batch items"]:
    return scores.sort(0, descending=True).values

report = check(ranked)
""",
            ("scores.sort(0, ", "scores.sort(1, "),
        ),
        FindingExample(
            "cumulative-axis",
            "Returns are summed along the batch instead of the time",
            "mixing",
            """\
@typed
def returns(rewards: Float[Tensor, "batch time"]) -> Float[Tensor, "batch time"]:
    return rewards.flip(1).cumsum(0).flip(1)

report = check(returns)
""",
            ("rewards.flip(1).cumsum(0)", "rewards.flip(1).cumsum(1)"),
        ),
        FindingExample(
            "norm-axis",
            "Embeddings are scaled by a norm over the batch",
            "mixing",
            """\
@typed
def unit(x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
    return F.normalize(x, dim=0)

report = check(unit)
""",
            ("F.normalize(x, dim=0)", "F.normalize(x, dim=1)"),
        ),
        FindingExample(
            "attention-along-batch",
            "`batch_first` is forgotten in an attention: samples look at samples",
            "mixing",
            """\
class Pooled(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.attention = nn.MultiheadAttention(embed, 4)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        y = x
        return self.attention(y, y, y)[0]

report = check(Pooled(embed=16))
""",
            ("return self.attention(y, y, y)[0]", "return self.attention(*[y.transpose(0, 1)] * 3)[0].transpose(0, 1)"),
        ),
        FindingExample(
            "transformer-along-batch",
            "`batch_first` is forgotten in a transformer",
            "mixing",
            """\
class Encoder(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(embed, 4, 32, dropout=0.0)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        return self.layer(x)

report = check(Encoder(embed=16))
""",
            ("return self.layer(x)", "return self.layer(x.transpose(0, 1)).transpose(0, 1)"),
        ),
        FindingExample(
            "scores-across-samples",
            "A matrix product scores every sample against every other, as if samples were positions",
            "mixing",
            """\
@typed
def attended(q: Float[Tensor, "batch embed"], k: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
    return (q @ k.T).softmax(-1) @ k

report = check(attended)
""",
            ("(q @ k.T).softmax(-1) @ k", "(q * k).softmax(-1) * k"),
        ),
        FindingExample(
            "concatenated-batch",
            "Two features are concatenated along the batch",
            "refused",
            """\
class Joined(nn.Module):
    def __init__(self, left: DimSize, right: DimSize, out: DimSize):
        super().__init__()
        self.out = nn.Linear(left + right, out)

    def forward(
        self, a: Float[Tensor, "batch left"], b: Float[Tensor, "batch right"]
    ) -> Float[Tensor, "batch out"]:
        return self.out(torch.cat([a, b]))

report = check(Joined)
""",
            ("torch.cat([a, b])", "torch.cat([a, b], dim=-1)"),
        ),
        FindingExample(
            "positions-by-batch",
            "Positions are cut by the batch size: every sample gets one position",
            "refused",
            """\
class Positions(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.table = nn.Embedding(512, embed)

    def forward(self, x: Float[Tensor, "seq batch embed"]) -> Float[Tensor, "seq batch embed"]:
        places = torch.arange(x.shape[1])
        return x + self.table(places).unsqueeze(1)

report = check(Positions)
""",
            (
                "places = torch.arange(x.shape[1])\n        return x + self.table(places)",
                "places = torch.arange(x.shape[0])\n        return x + self.table(places)",
            ),
        ),
    ),
    "Losses": (
        FindingExample(
            "outer-difference",
            "`(batch, 1)` minus `(batch)` pairs every prediction with every target",
            "outer",
            """\
class Critic(nn.Module):
    def __init__(self, state: DimSize):
        super().__init__()
        self.value = nn.Linear(state, 1)

    def forward(self, states: Float[Tensor, "batch state"], returns: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
        return (self.value(states) - returns).square().mean()

report = check(Critic)
""",
            ("(self.value(states) - returns)", "(self.value(states).squeeze(-1) - returns)"),
        ),
        FindingExample(
            "outer-loss",
            "The same in `F.mse_loss`, which only warns",
            "outer",
            """\
class Regression(nn.Module):
    def __init__(self, features: DimSize):
        super().__init__()
        self.out = nn.Linear(features, 1)

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch 1"]:
        return self.out(x)

@typed
def loss(prediction: Float[Tensor, "batch 1"], target: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    return F.l1_loss(prediction, target)

model = Regression(8)
with watch() as report:
    loss(model(torch.ones(16, 8)), torch.ones(16))
""",
            ("F.l1_loss(prediction, target)", "F.l1_loss(prediction, target.unsqueeze(-1))"),
        ),
        FindingExample(
            "advantages",
            "Advantages of an actor-critic, `(batch, 1)`, weigh log-probabilities, `(batch)`",
            "outer",
            """\
@typed
def actor_loss(
    log_probs: Float[Tensor, "batch"], values: Float[Tensor, "batch 1"], returns: Float[Tensor, "batch 1"]
) -> Float[Tensor, ""]:
    advantages = returns - values
    return -(log_probs * advantages.detach()).mean()

report = check(actor_loss)
""",
            ("log_probs * advantages.detach()", "log_probs * advantages.detach().squeeze(-1)"),
        ),
        FindingExample(
            "class-axis",
            "Cross-entropy expects the classes second, and gets them last",
            "refused",
            """\
@typed
def loss(logits: Float[Tensor, "batch seq vocab"], targets: Int[Tensor, "batch seq"]) -> Float[Tensor, ""]:
    return F.cross_entropy(logits, targets)

report = check(loss)
""",
            ("F.cross_entropy(logits, targets)", "F.cross_entropy(logits.transpose(1, 2), targets)"),
        ),
        FindingExample(
            "class-axis-coincidence",
            "The same with a sequence as long as the vocabulary",
            "coincidence",
            """\
@typed
def loss(logits: Float[Tensor, "batch seq vocab"], targets: Int[Tensor, "batch seq"]) -> Float[Tensor, ""]:
    return F.cross_entropy(logits, targets)

report = check(loss, torch.zeros(2, 9, 9), torch.zeros(2, 9, dtype=torch.long))
""",
            ("F.cross_entropy(logits, targets)", "F.cross_entropy(logits.transpose(1, 2), targets)"),
        ),
        FindingExample(
            "labels-not-shifted",
            "The logits lose their last step, the labels do not",
            "refused",
            """\
@typed
def loss(logits: Float[Tensor, "batch seq vocab"], tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, ""]:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens.flatten())

report = check(loss)
""",
            ("tokens.flatten()", "tokens[:, 1:].flatten()"),
        ),
        FindingExample(
            "flattened-apart",
            "Logits and labels are flattened in different orders",
            "coincidence",
            """\
@typed
def loss(logits: Float[Tensor, "seq batch vocab"], tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, ""]:
    return F.cross_entropy(logits.flatten(0, 1), tokens.flatten())

report = check(loss)
""",
            ("tokens.flatten()", "tokens.T.flatten()"),
        ),
        FindingExample(
            "masked-mean",
            "A mask without its last axis: it applies to the features",
            "refused",
            """\
@typed
def mean(x: Float[Tensor, "batch seq embed"], real: Bool[Tensor, "batch seq"]) -> Float[Tensor, "batch embed"]:
    return (x * real).sum(1) / real.sum(1, keepdim=True)

report = check(mean)
""",
            ("x * real)", "x * real.unsqueeze(-1))"),
        ),
    ),
    "Masks and attention": (
        FindingExample(
            "mask-of-the-other",
            "The mask belongs to the other sequence",
            "refused",
            """\
@typed
def attend(
    q: Float[Tensor, "batch target embed"],
    k: Float[Tensor, "batch source embed"],
    padding: Bool[Tensor, "batch target"],
) -> Float[Tensor, "batch target embed"]:
    scores = q @ k.transpose(1, 2)
    return scores.masked_fill(padding[:, None], -1e9).softmax(-1) @ k

report = check(attend)
""",
            (
                "scores.masked_fill(padding[:, None], -1e9)",
                "scores.masked_fill(padding[:, :, None], -1e9)",
            ),
        ),
        FindingExample(
            "mask-transposed",
            "A mask of target by source is transposed, and both are equally long",
            "coincidence",
            """\
@typed
def attend(
    q: Float[Tensor, "batch target embed"],
    k: Float[Tensor, "batch source embed"],
    mask: Bool[Tensor, "batch source target"],
) -> Float[Tensor, "batch target embed"]:
    scores = q @ k.transpose(1, 2)
    return scores.masked_fill(mask, -1e9).softmax(-1) @ k

report = check(attend, torch.ones(2, 6, 8), torch.ones(2, 6, 8), torch.zeros(2, 6, 6, dtype=torch.bool))
""",
            ("scores.masked_fill(mask, -1e9)", "scores.masked_fill(mask.transpose(1, 2), -1e9)"),
        ),
        FindingExample(
            "mask-without-heads",
            "A mask without an axis for the heads: its batch broadcasts to them",
            "refused",
            """\
@typed
def masked(
    scores: Float[Tensor, "batch heads seq seq"], padding: Bool[Tensor, "batch seq"]
) -> Float[Tensor, "batch heads seq seq"]:
    return scores.masked_fill(padding[:, None, :], -1e9)

report = check(masked)
""",
            ("padding[:, None, :]", "padding[:, None, None, :]"),
        ),
        FindingExample(
            "mask-without-heads-coincidence",
            "The same with as many samples as heads",
            "coincidence",
            """\
@typed
def masked(
    scores: Float[Tensor, "batch heads seq seq"], padding: Bool[Tensor, "batch seq"]
) -> Float[Tensor, "batch heads seq seq"]:
    return scores.masked_fill(padding[:, None, :], -1e9)

report = check(masked, torch.ones(4, 4, 7, 7), torch.zeros(4, 7, dtype=torch.bool))
""",
            ("padding[:, None, :]", "padding[:, None, None, :]"),
        ),
        FindingExample(
            "keys-not-transposed",
            "Keys are not transposed, and sequence and width are equal",
            "coincidence",
            """\
@typed
def scores(
    q: Float[Tensor, "batch seq embed"], k: Float[Tensor, "batch seq embed"]
) -> Float[Tensor, "batch seq _"]:
    return q @ k

report = check(scores, torch.ones(2, 8, 8), torch.ones(2, 8, 8))
""",
            ("return q @ k", "return q @ k.mT"),
        ),
        FindingExample(
            "scores-transposed",
            "Scores are returned transposed, and both sequences are equally long",
            "annotation",
            """\
@typed
def attend(
    q: Float[Tensor, "batch target embed"], k: Float[Tensor, "batch source embed"]
) -> Float[Tensor, "batch source target"]:
    return q @ k.mT

report = check(attend, torch.ones(2, 6, 8), torch.ones(2, 6, 8))
""",
            ("return q @ k.mT", "return k @ q.mT"),
        ),
        FindingExample(
            "einsum-letters",
            "Two letters of an einsum are swapped",
            "refused",
            """\
@typed
def context(
    weights: Float[Tensor, "batch target source"], values: Float[Tensor, "batch source embed"]
) -> Float[Tensor, "batch target embed"]:
    return torch.einsum("bts,bte->bse", weights, values)

report = check(context)
""",
            ('"bts,bte->bse"', '"bts,bse->bte"'),
        ),
        FindingExample(
            "einsum-coincidence",
            "The same with source and target equally long",
            "coincidence",
            """\
@typed
def context(
    weights: Float[Tensor, "batch target source"], values: Float[Tensor, "batch source embed"]
) -> Float[Tensor, "batch target embed"]:
    return torch.einsum("bts,bte->bse", weights, values)

report = check(context, torch.ones(2, 6, 6), torch.ones(2, 6, 8))
""",
            ('"bts,bte->bse"', '"bts,bse->bte"'),
        ),
    ),
    "Images and sound": (
        FindingExample(
            "conv-over-features",
            "A convolution runs over the features, and takes the time as channels",
            "refused",
            """\
class Speech(nn.Module):
    def __init__(self, mels: DimSize, hidden: DimSize):
        super().__init__()
        self.conv = nn.Conv1d(mels, hidden, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch time mels"]) -> Float[Tensor, "batch time hidden"]:
        return self.conv(x).transpose(1, 2)

report = check(Speech)
""",
            ("self.conv(x)", "self.conv(x.transpose(1, 2))"),
        ),
        FindingExample(
            "conv-coincidence",
            "The same with as many frames as features",
            "coincidence",
            """\
class Speech(nn.Module):
    def __init__(self, mels: DimSize, hidden: DimSize):
        super().__init__()
        self.conv = nn.Conv1d(mels, hidden, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch time mels"]) -> Float[Tensor, "batch hidden _"]:
        return self.conv(x)

report = check(Speech(mels=8, hidden=16), torch.ones(2, 8, 8))
""",
            ("self.conv(x)", "self.conv(x.mT)"),
        ),
        FindingExample(
            "frames-and-channels",
            "Frames become channels in the wrong order",
            "scramble",
            """\
@typed
def stacked(video: Float[Tensor, "batch frames channels height width"]) -> Float[Tensor, "batch _ height width"]:
    B, N, C, H, W = video.shape
    by_channel = video.reshape(B, C, N, H, W)
    return by_channel.flatten(1, 2)

report = check(stacked)
""",
            ("video.reshape(B, C, N, H, W)", "video.transpose(1, 2)"),
        ),
        FindingExample(
            "patches-by-view",
            "Patches are cut by a single view",
            "scramble",
            """\
@typed
def patches(image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch _ _"]:
    B, C, H, W = image.shape
    return image.reshape(B, (H // 4) * (W // 4), C * 16)

report = check(patches, sizes={"height": 32, "width": 40, "channels": 3})
""",
            (
                "image.reshape(B, (H // 4) * (W // 4), C * 16)",
                "F.unfold(image, 4, stride=4).transpose(1, 2)",
            ),
        ),
        FindingExample(
            "channels-last",
            "Channels are moved to the front by a reshape",
            "scramble",
            """\
@typed
def to_torch(image: Float[Tensor, "batch height width channels"]) -> Float[Tensor, "batch channels height width"]:
    B, H, W, C = image.shape
    return image.reshape(B, C, H, W)

report = check(to_torch)
""",
            ("image.reshape(B, C, H, W)", "image.permute(0, 3, 1, 2)"),
        ),
        FindingExample(
            "odd-sizes",
            "A skip connection of a U-Net: odd sizes are not restored",
            "refused",
            """\
class Unet(nn.Module):
    def __init__(self, channels: DimSize):
        super().__init__()
        self.down = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(channels, channels, 2, stride=2)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        up = self.up(self.down(x))
        return x + up

report = check(Unet)
""",
            ("return x + up", "return x + F.interpolate(up, size=x.shape[-2:])"),
        ),
        FindingExample(
            "image-size",
            "A classifier's last layer is made for one image size",
            "fixed",
            """\
class Net(nn.Module):
    def __init__(self, classes: DimSize):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.classes = classes
        self.out = nn.Linear(8, classes)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        y = self.conv(x).mean((2, 3))
        return self.out(y.view(64, 8))

report = check(Net)
""",
            ("y.view(64, 8)", "y"),
        ),
    ),
    "Hard-coded sizes, and sizes of 1": (
        FindingExample(
            "fixed-batch",
            "The batch size is hard-coded",
            "fixed",
            """\
@typed
def flat(x: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch height*width"]:
    return x.view(32, -1)

report = check(flat)
""",
            ("x.view(32, -1)", "x.view(x.shape[0], -1)"),
        ),
        FindingExample(
            "short-buffer",
            "A table of positions is shorter than the sequence may be",
            "fixed",
            """\
class Positions(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.table = torch.nn.Parameter(torch.zeros(8, embed))

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        return x + self.table[: x.shape[1]]

report = check(Positions)
""",
            ("return x + self.table[: x.shape[1]]", "return x + F.pad(self.table, (0, 0, 0, 1000))[: x.shape[1]]"),
        ),
        FindingExample(
            "squeezed-batch",
            "`squeeze()` removes the batch if it holds one sample",
            "degenerate",
            """\
class Score(nn.Module):
    def __init__(self, features: DimSize):
        super().__init__()
        self.out = nn.Linear(features, 1)

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch"]:
        return self.out(x).squeeze()

report = check(Score)
""",
            ("self.out(x).squeeze()", "self.out(x).squeeze(-1)"),
        ),
        FindingExample(
            "softmax-of-one",
            "A softmax over an axis whose size is always 1: every weight is 1",
            "degenerate",
            """\
class Pool(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.score = nn.Linear(embed, 1)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch embed"]:
        weights = self.score(x).softmax(-1)
        return (weights * x).sum(1)

report = check(Pool)
""",
            ("self.score(x).softmax(-1)", "self.score(x).softmax(1)"),
        ),
        FindingExample(
            "last-word-frozen",
            "`padding_idx=-1`, meant as no padding, freezes the last word",
            "degenerate",
            """\
@typed
def embedded(tokens: Int[Tensor, "batch seq"], table: Float[Tensor, "vocab embed"]) -> Float[Tensor, "batch seq embed"]:
    return F.embedding(tokens, table, padding_idx=-1)

report = check(embedded)
""",
            (", padding_idx=-1", ""),
        ),
    ),
    "Rows, columns and indices": (
        FindingExample(
            "rows-as-logits",
            "The embedding's matrix is not transposed: logits of the width, not of the words",
            "refused",
            """\
class Model(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.body = nn.Linear(embed, embed)

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
        x = self.body(self.embedding(tokens))
        return x @ self.embedding.weight

report = check(Model)
""",
            ("x @ self.embedding.weight", "x @ self.embedding.weight.T"),
        ),
        FindingExample(
            "square-weights",
            "A square weight is tied without its transpose",
            "coincidence",
            """\
@typed
def decoded(
    x: Float[Tensor, "batch hidden"], weight: Float[Tensor, "hidden features"]
) -> Float[Tensor, "batch features"]:
    return F.linear(x, weight)

report = check(decoded, torch.ones(4, 8), torch.ones(8, 8))
""",
            ("F.linear(x, weight)", "F.linear(x, weight.T)"),
        ),
        FindingExample(
            "gather-axis",
            "A gather along the batch instead of the time",
            "coincidence",
            """\
@typed
def last(x: Float[Tensor, "batch time"], lengths: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
    return x.gather(0, lengths[None, :] - 1)[0]

report = check(last, torch.ones(4, 4), torch.ones(4, dtype=torch.long))
""",
            ("x.gather(0, lengths[None, :] - 1)[0]", "x.gather(1, lengths[:, None] - 1)[:, 0]"),
        ),
        FindingExample(
            "repeated-rows",
            "`repeat` where `repeat_interleave` is meant: each sample gets others' rows, which values show",
            "mixing",
            """\
@typed
def beams(x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch 3 embed"]:
    return x.repeat(3, 1).view(x.shape[0], 3, -1)

report = check(beams, fuzz=True)
""",
            ("x.repeat(3, 1)", "x.repeat_interleave(3, 0)"),
        ),
        FindingExample(
            "expert-routing",
            "Tokens are weighted by another token's gates",
            "coincidence",
            """\
@typed
def routed(
    outputs: Float[Tensor, "experts tokens embed"], gates: Float[Tensor, "tokens experts"]
) -> Float[Tensor, "tokens embed"]:
    return (outputs * gates.unsqueeze(-1)).sum(0)

report = check(routed, torch.ones(4, 4, 8), torch.ones(4, 4))
""",
            ("outputs * gates.unsqueeze(-1)", "outputs * gates.T.unsqueeze(-1)"),
        ),
        FindingExample(
            "returned-transposed",
            "The annotation says batch first, the result has the time first",
            "refused",
            """\
class Encoder(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.gru = nn.GRU(embed, hidden)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq hidden"]:
        output, _ = self.gru(x.transpose(0, 1))
        return output

report = check(Encoder)
""",
            ("return output", "return output.transpose(0, 1)"),
        ),
        FindingExample(
            "swapped-arguments",
            "Keys and queries are swapped in a call, and are equally long",
            "annotation",
            """\
@typed
def attend(
    q: Float[Tensor, "batch target embed"], k: Float[Tensor, "batch source embed"]
) -> Float[Tensor, "batch target source"]:
    return q @ k.mT

@typed
def align(
    source: Float[Tensor, "batch source embed"], target: Float[Tensor, "batch target embed"]
) -> Float[Tensor, "batch target source"]:
    return attend(source, target)

report = check(align, torch.ones(2, 6, 8), torch.ones(2, 6, 8))
""",
            ("return attend(source, target)", "return attend(target, source)"),
        ),
    ),
}
"""The examples, by family."""
