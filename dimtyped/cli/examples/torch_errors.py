"""Everyday mistakes at torch's operators, each a small program: what torch says of it, and the note that it gets."""

from __future__ import annotations

import linecache
from dataclasses import dataclass
from typing import Any

from dimtyped.diagnosis import TorchErrorReport, explain

TORCH_ERRORS_PRELUDE = """\
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

from dimtyped import DimSize, nn, typed
"""
"""What the code of every example begins with."""


@dataclass(frozen=True)
class TorchErrorExample:
    """One mistake at an operator.

    Args:
        name: What it is called.
        title: The mistake in words.
        code: The program; its last statement raises.
    """

    name: str
    title: str
    code: str

    def error(self) -> Exception:
        """The exception that the program raises, with its note."""
        error = _error(self.code, f"{self.name}.py")
        assert error is not None, f"{self.name} raises nothing"
        return error

    def report(self) -> TorchErrorReport | None:
        """What is known of the exception."""
        return explain(self.error())

    @property
    def fixed(self) -> str:
        """The program with the fix of its note in place of the wrong expression; the same where there is none."""
        report = self.report()
        if report is None or not report.fix:
            return self.code
        lines = self.code.splitlines(keepends=True)
        line = lines[report.line - 1]
        assert report.source in line
        lines[report.line - 1] = line.replace(report.source, report.fix)
        return "".join(lines)

    def fixed_error(self) -> Exception | None:
        """What the program with the fix raises: nothing, if the fix is right."""
        return _error(self.fixed, f"{self.name}-fixed.py")


def _error(code: str, file: str) -> Exception | None:
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    names: dict[str, Any] = {"__name__": file}
    exec(compile(TORCH_ERRORS_PRELUDE, "<gallery>", "exec"), names)
    try:
        exec(compile(code, file, "exec"), names)
    except Exception as error:  # noqa: BLE001  # whatever the mistake leads to is what is shown
        return error
    return None


TORCH_ERRORS: dict[str, tuple[TorchErrorExample, ...]] = {
    "Products": (
        TorchErrorExample(
            "scores-without-transpose",
            "The keys of attention are not transposed",
            """\
class Head(nn.Module):
    def __init__(self, embed: DimSize, head: DimSize):
        super().__init__()
        self.query = nn.Linear(embed, head)
        self.key = nn.Linear(embed, head)

    def forward(self, x: Float[Tensor, "batch time embed"]) -> Float[Tensor, "batch time time"]:
        q, k = self.query(x), self.key(x)
        return q @ k

Head(embed=32, head=16)(torch.ones(4, 8, 32))
""",
        ),
        TorchErrorExample(
            "weight-as-in-linear",
            "A weight is stored (out, in), as in nn.Linear, and not transposed",
            """\
class Project(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(hidden, embed))

    def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch hidden"]:
        return x @ self.weight

Project(embed=32, hidden=64)(torch.ones(4, 32))
""",
        ),
        TorchErrorExample(
            "query-of-one-step",
            "A state without an axis of time is multiplied with one that has it",
            """\
@typed
def attend(
    state: Float[Tensor, "batch hidden"], encoded: Float[Tensor, "batch source hidden"]
) -> Float[Tensor, "batch source"]:
    return torch.bmm(encoded, state).squeeze(-1)

attend(torch.ones(4, 16), torch.ones(4, 9, 16))
""",
        ),
        TorchErrorExample(
            "einsum-letters",
            "An equation of einsum has the axes of the keys in another order",
            """\
@typed
def scores(
    q: Float[Tensor, "batch target heads head"], k: Float[Tensor, "batch source heads head"]
) -> Float[Tensor, "batch heads target source"]:
    return torch.einsum("bthd,bhsd->bhts", q, k)

scores(torch.ones(4, 5, 2, 16), torch.ones(4, 9, 2, 16))
""",
        ),
        TorchErrorExample(
            "features-not-last",
            "A plain layer gets the features before the time",
            """\
class Tagger(nn.Module):
    def __init__(self, embed: DimSize, tags: DimSize):
        super().__init__()
        self.out = torch.nn.Linear(embed, tags)

    def forward(self, x: Float[Tensor, "batch embed time"]) -> Float[Tensor, "batch time tags"]:
        return self.out(x)

Tagger(embed=32, tags=5)(torch.ones(4, 32, 8))
""",
        ),
    ),
    "Sums, masks and other broadcasts": (
        TorchErrorExample(
            "norm-without-keepdim",
            "A row is divided by its norm, whose axis is gone",
            """\
@typed
def normalised(x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
    return x / x.norm(dim=1)

normalised(torch.ones(4, 32))
""",
        ),
        TorchErrorExample(
            "bias-of-channels",
            "A bias for each channel is added where the time is last",
            """\
class Shift(nn.Module):
    def __init__(self, channels: DimSize):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch channels time"]:
        return x + self.bias

Shift(channels=3)(torch.ones(4, 3, 100))
""",
        ),
        TorchErrorExample(
            "padding-mask",
            "A mask of padding is laid over the scores of all heads",
            """\
@typed
def masked(
    scores: Float[Tensor, "batch heads target source"], padding: Bool[Tensor, "batch source"]
) -> Float[Tensor, "batch heads target source"]:
    return scores.masked_fill(padding, -torch.inf)

masked(torch.ones(4, 2, 5, 9), torch.zeros(4, 9, dtype=torch.bool))
""",
        ),
        TorchErrorExample(
            "residual-transposed",
            "A convolution's output is added to what went in before the transpose",
            """\
class Block(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.conv = nn.Conv1d(embed, embed, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch time embed"]) -> Float[Tensor, "batch time embed"]:
        y = self.conv(x.transpose(1, 2))
        return x + y

Block(embed=32)(torch.ones(4, 8, 32))
""",
        ),
        TorchErrorExample(
            "where-by-row",
            "Rows are chosen by a condition that has no axis for the features",
            """\
@typed
def replace(
    x: Float[Tensor, "batch embed"], default: Float[Tensor, "embed"], missing: Bool[Tensor, "batch"]
) -> Float[Tensor, "batch embed"]:
    return torch.where(missing, default, x)

replace(torch.ones(4, 32), torch.zeros(32), torch.zeros(4, dtype=torch.bool))
""",
        ),
        TorchErrorExample(
            "added-in-place",
            "A tensor that is added in place has more axes than the one that it is added to",
            """\
@typed
def with_positions(
    positions: Float[Tensor, "time embed"], x: Float[Tensor, "batch time embed"]
) -> Float[Tensor, "batch time embed"]:
    positions += x
    return positions

with_positions(torch.zeros(8, 32), torch.ones(4, 8, 32))
""",
        ),
    ),
    "Tensors put together": (
        TorchErrorExample(
            "cat-along-batch",
            "Two sequences of different lengths are joined along the batch",
            """\
@typed
def prompt_and_text(
    prompt: Float[Tensor, "batch prompt embed"], text: Float[Tensor, "batch time embed"]
) -> Float[Tensor, "batch both embed"]:
    return torch.cat([prompt, text])

prompt_and_text(torch.ones(4, 3, 32), torch.ones(4, 8, 32))
""",
        ),
        TorchErrorExample(
            "class-token",
            "A class token without an axis of time is put before the sequence",
            """\
@typed
def with_token(
    token: Float[Tensor, "batch embed"], x: Float[Tensor, "batch time embed"]
) -> Float[Tensor, "batch longer embed"]:
    return torch.cat([token, x], dim=1)

with_token(torch.ones(4, 32), torch.ones(4, 8, 32))
""",
        ),
        TorchErrorExample(
            "stacked-lengths",
            "Sequences of different lengths are stacked",
            """\
@typed
def batched(first: Float[Tensor, "time embed"], second: Float[Tensor, "longer embed"]) -> Float[Tensor, "two time embed"]:
    return torch.stack([first, second])

batched(torch.ones(8, 32), torch.ones(9, 32))
""",
        ),
        TorchErrorExample(
            "cache-slice",
            "New keys are written into a cache whose heads come first",
            """\
@typed
def remember(
    cache: Float[Tensor, "batch heads longest head"], keys: Float[Tensor, "batch time heads head"]
) -> Float[Tensor, "batch heads longest head"]:
    cache[:, :, : keys.shape[1]] = keys
    return cache

remember(torch.zeros(4, 2, 64, 16), torch.ones(4, 8, 2, 16))
""",
        ),
    ),
    "Other shapes of one tensor": (
        TorchErrorExample(
            "view-after-transpose",
            "Heads are joined by a view right after a transpose",
            """\
@typed
def joined(x: Float[Tensor, "batch heads time head"]) -> Float[Tensor, "batch time embed"]:
    batch, heads, time, head = x.shape
    return x.transpose(1, 2).view(batch, time, heads * head)

joined(torch.ones(4, 2, 8, 16))
""",
        ),
        TorchErrorExample(
            "batch-in-the-code",
            "A batch size is written into a view, and the last batch is smaller",
            """\
@typed
def flattened(images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch pixels"]:
    return images.view(32, 784)

flattened(torch.ones(20, 1, 28, 28))
""",
        ),
        TorchErrorExample(
            "heads-that-do-not-divide",
            "The features are split into heads that do not divide them",
            """\
@typed
def split(x: Float[Tensor, "batch time embed"]) -> Float[Tensor, "batch time heads head"]:
    return x.unflatten(-1, (5, -1))

split(torch.ones(4, 8, 32))
""",
        ),
        TorchErrorExample(
            "expand-at-the-end",
            "A number of each row is expanded over the time",
            """\
@typed
def over_time(lengths: Int[Tensor, "batch"], x: Float[Tensor, "batch time"]) -> Int[Tensor, "batch time"]:
    return lengths.expand(x.shape)

over_time(torch.ones(4, dtype=torch.long), torch.ones(4, 8))
""",
        ),
        TorchErrorExample(
            "axis-that-is-not-there",
            "A softmax over an axis that only the batched scores have",
            """\
@typed
def weights(scores: Float[Tensor, "target source"]) -> Float[Tensor, "target source"]:
    return scores.softmax(dim=2)

weights(torch.ones(5, 9))
""",
        ),
    ),
    "Losses": (
        TorchErrorExample(
            "classes-last",
            "The classes are last, cross_entropy wants them at axis 1",
            """\
@typed
def loss(logits: Float[Tensor, "batch seq vocab"], target: Int[Tensor, "batch seq"]) -> Float[Tensor, ""]:
    return F.cross_entropy(logits, target)

loss(torch.ones(4, 8, 100), torch.ones(4, 8, dtype=torch.long))
""",
        ),
        TorchErrorExample(
            "shifted-by-one",
            "The targets are shifted by one, the predictions are not",
            """\
@typed
def loss(logits: Float[Tensor, "batch vocab seq"], tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, ""]:
    target = tokens[:, 1:]
    return F.cross_entropy(logits, target)

loss(torch.ones(4, 100, 8), torch.ones(4, 8, dtype=torch.long))
""",
        ),
        TorchErrorExample(
            "target-with-an-axis",
            "The labels come as a column",
            """\
@typed
def loss(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, "batch one"]) -> Float[Tensor, ""]:
    return F.cross_entropy(logits, labels)

loss(torch.ones(4, 10), torch.ones(4, 1, dtype=torch.long))
""",
        ),
        TorchErrorExample(
            "logit-with-an-axis",
            "A classifier's one logit keeps its axis, the labels have none",
            """\
@typed
def loss(logits: Float[Tensor, "batch one"], labels: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    return F.binary_cross_entropy_with_logits(logits, labels)

loss(torch.ones(4, 1), torch.ones(4))
""",
        ),
        TorchErrorExample(
            "loss-of-each-row",
            "A loss that was not reduced is differentiated",
            """\
@typed
def step(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, "batch"]) -> None:
    loss = F.cross_entropy(logits, labels, reduction="none")
    loss.backward()

step(torch.ones(4, 10, requires_grad=True), torch.ones(4, dtype=torch.long))
""",
        ),
    ),
    "Indices": (
        TorchErrorExample(
            "gather-without-axis",
            "The logit of each label is gathered by labels without a second axis",
            """\
@typed
def chosen(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, "batch"]) -> Float[Tensor, "batch one"]:
    return logits.gather(1, labels)

chosen(torch.ones(4, 10), torch.ones(4, dtype=torch.long))
""",
        ),
        TorchErrorExample(
            "mask-at-the-wrong-axis",
            "A mask of the features stands at the place of the batch",
            """\
@typed
def kept(x: Float[Tensor, "batch embed"], keep: Bool[Tensor, "embed"]) -> Float[Tensor, "batch kept"]:
    return x[keep]

kept(torch.ones(4, 32), torch.ones(32, dtype=torch.bool))
""",
        ),
        TorchErrorExample(
            "one-step-too-far",
            "The last step is taken by the length",
            """\
@typed
def last(x: Float[Tensor, "batch time embed"]) -> Float[Tensor, "batch embed"]:
    time = x.shape[1]
    return x[:, time]

last(torch.ones(4, 8, 32))
""",
        ),
        TorchErrorExample(
            "too-many-indices",
            "An index has a place for the heads, which are gone",
            """\
@typed
def first_head(weights: Float[Tensor, "batch time"]) -> Float[Tensor, "batch"]:
    return weights[:, 0, -1]

first_head(torch.ones(4, 8))
""",
        ),
        TorchErrorExample(
            "id-outside",
            "A table of positions is shorter than the sequence",
            """\
@typed
def positions(ids: Int[Tensor, "batch time"], table: Float[Tensor, "longest embed"]) -> Float[Tensor, "batch time embed"]:
    return F.embedding(ids, table)

positions(torch.arange(36).view(4, 9), torch.ones(8, 32))
""",
        ),
    ),
    "Layers' functions": (
        TorchErrorExample(
            "channels-last",
            "Images as they are read from a file, with the channels last",
            """\
@typed
def edges(images: Float[Tensor, "batch height width channels"], kernel: Float[Tensor, "out channels 3 3"]) -> Tensor:
    return F.conv2d(images, kernel)

edges(torch.ones(4, 28, 28, 3), torch.ones(8, 3, 3, 3))
""",
        ),
        TorchErrorExample(
            "norm-over-time",
            "The features are normalised where the time is last",
            """\
@typed
def normed(x: Float[Tensor, "batch embed time"]) -> Float[Tensor, "batch time embed"]:
    return F.layer_norm(x, (32,))

normed(torch.ones(4, 32, 8))
""",
        ),
        TorchErrorExample(
            "packed-batch-second",
            "A batch is packed as if the time came first",
            """\
@typed
def packed(x: Float[Tensor, "batch time embed"], lengths: Int[Tensor, "batch"]) -> object:
    return pack_padded_sequence(x, lengths)

packed(torch.ones(4, 8, 32), torch.tensor([8, 8, 5, 2]))
""",
        ),
        TorchErrorExample(
            "attention-mask",
            "A mask of padding is given as the mask of attention",
            """\
@typed
def attend(
    q: Float[Tensor, "batch heads target head"],
    k: Float[Tensor, "batch heads source head"],
    padding: Bool[Tensor, "batch source"],
) -> Float[Tensor, "batch heads target head"]:
    return F.scaled_dot_product_attention(q, k, k, padding)

attend(torch.ones(4, 2, 5, 16), torch.ones(4, 2, 9, 16), torch.ones(4, 9, dtype=torch.bool))
""",
        ),
        TorchErrorExample(
            "checkpoint",
            "A checkpoint of a smaller vocabulary is loaded into a plain model",
            """\
class Trainer(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize):
        super().__init__()
        self.model = torch.nn.Sequential(torch.nn.Embedding(vocab, embed))

    def forward(self, weight: Float[Tensor, "rows embed"]) -> None:
        self.model.load_state_dict({"0.weight": weight})

Trainer(vocab=32001, embed=32)(torch.ones(32000, 32))
""",
        ),
    ),
    "Dtypes, devices, memory": (
        TorchErrorExample(
            "half-and-float",
            "One factor was made in half precision",
            """\
@typed
def scores(q: Float[Tensor, "time head"], k: Float[Tensor, "time head"]) -> Float[Tensor, "time time"]:
    return q @ k.T

scores(torch.ones(8, 16, dtype=torch.bfloat16), torch.ones(8, 16))
""",
        ),
        TorchErrorExample(
            "labels-as-floats",
            "Labels were read as floats",
            """\
@typed
def loss(logits: Float[Tensor, "batch classes"], labels: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    return F.cross_entropy(logits, labels)

loss(torch.ones(4, 10), torch.ones(4))
""",
        ),
        TorchErrorExample(
            "index-as-floats",
            "Indices are the result of a division",
            """\
@typed
def every_second(x: Float[Tensor, "time embed"], steps: Int[Tensor, "steps"]) -> Float[Tensor, "steps embed"]:
    return x[steps / 2]

every_second(torch.ones(8, 32), torch.tensor([0, 2, 4]))
""",
        ),
        TorchErrorExample(
            "mask-elsewhere",
            "A mask is made on the CPU, the model is on another device",
            """\
@typed
def kept(x: Float[Tensor, "batch time embed"], longest: int) -> Float[Tensor, "batch time embed"]:
    keep = (torch.arange(x.shape[1]) < longest).float()
    return x * keep[:, None]

kept(torch.ones(4, 8, 32, device="meta"), 5)
""",
        ),
        TorchErrorExample(
            "all-pairs",
            "All pairs of a long sequence do not fit into memory",
            """\
@typed
def distances(x: Float[Tensor, "points space"]) -> Float[Tensor, "points points"]:
    return (x[:, None] - x[None]).norm(dim=-1)

distances(torch.ones(1, 3).expand(10_000_000, 3))
""",
        ),
    ),
}
"""The examples, by what they have in common."""
