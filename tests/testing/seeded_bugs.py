"""Models with one bug each, and their right twins: what `fuzz` must find, and what it must let pass."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dimtyped import DimSize, nn


class HardCodedBatch(nn.Module):
    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.bug, self.width = bug, width

    def forward(self, x: Float[Tensor, "batch seq width"]) -> Float[Tensor, "batch seq*{self.width}"]:
        return x.reshape(2 if self.bug else len(x), -1)


class SqueezeAtBatchOne(nn.Module):
    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.bug, self.score = bug, nn.Linear(width, 1)

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch"]:
        return self.score(x).squeeze() if self.bug else self.score(x).squeeze(-1)


class SwappedAxes(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize, bug: bool):
        super().__init__()
        self.bug, self.gru = bug, nn.GRU(embed, hidden)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq hidden"]:
        output, _ = self.gru(x.transpose(0, 1))
        return output if self.bug else output.transpose(0, 1)


class WrongMaskBroadcast(nn.Module):
    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.bug, self.width = bug, width

    def forward(
        self,
        query: Float[Tensor, "batch target width"],
        keys: Float[Tensor, "batch source width"],
        real: Bool[Tensor, "batch source"],
    ) -> Float[Tensor, "batch target source"]:
        scores = query @ keys.transpose(1, 2)
        return scores.masked_fill(~real if self.bug else ~real.unsqueeze(1), -1e9).softmax(-1)


class OffByOneLength(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, bug: bool):
        super().__init__()
        self.bug, self.embedding = bug, nn.Embedding(vocab, embed)

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq embed"]:
        embedded = self.embedding(tokens)
        return embedded[:, 1:] if self.bug else embedded


class DroppedLayerAxis(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize, bug: bool):
        super().__init__()
        self.bug, self.gru = bug, nn.GRU(embed, hidden, batch_first=True)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "1 batch hidden"]:
        _, state = self.gru(x)
        return state[-1] if self.bug else state


class MeanOverTheWrongAxis(nn.Module):
    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.bug, self.out = bug, nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "batch seq width"]) -> Float[Tensor, "batch width"]:
        return self.out(x).mean(0 if self.bug else 1)


class EditInPlace(nn.Module):
    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.bug, self.out = bug, nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return self.out(x.clamp_(min=0) if self.bug else x.clamp(min=0))


class DtypeLoss(nn.Module):
    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.bug, self.out = bug, nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        result = self.out(x)
        return result.half() if self.bug else result


class StateByView(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize, bug: bool):
        super().__init__()
        self.bug = bug
        self.gru, self.out = nn.GRU(embed, hidden, 2, batch_first=True), nn.Linear(2 * hidden, hidden)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch hidden"]:
        _, h_n = self.gru(x)
        joined = h_n.view(len(x), -1) if self.bug else h_n.transpose(0, 1).reshape(len(x), -1)
        return self.out(joined)


class HeadsByView(nn.Module):
    """Causal attention of two heads, whose positions a view mixes."""

    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.bug, self.width, self.query = bug, width, nn.Linear(width, width)

    def heads(self, x: Tensor) -> Tensor:
        batch, seq, _ = x.shape
        return x.reshape(batch, 2, seq, -1) if self.bug else x.reshape(batch, seq, 2, -1).transpose(1, 2)

    def forward(self, x: Float[Tensor, "batch seq width"]) -> Float[Tensor, "batch seq width"]:
        q, k = self.heads(self.query(x)), self.heads(x)
        scores = (q @ k.transpose(2, 3)) / math.sqrt(self.width)
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(later, float("-inf")).softmax(-1) @ k
        return mixed.transpose(1, 2).reshape(x.shape)


class SoftmaxOverTheBatch(nn.Module):
    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.bug, self.out = bug, nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return self.out(x).softmax(0 if self.bug else -1)


class PlacesAlongTheBatch(nn.Module):
    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.bug, self.places = bug, nn.Embedding(32, width)

    def forward(self, x: Float[Tensor, "batch seq width"]) -> Float[Tensor, "batch seq width"]:
        if self.bug:
            return x + self.places(torch.arange(x.shape[0])).unsqueeze(1)
        return x + self.places(torch.arange(x.shape[1]))


class AttentionBatchSecond(nn.Module):
    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=not bug)

    def forward(self, x: Float[Tensor, "batch seq width"]) -> Float[Tensor, "batch seq width"]:
        return self.attention(x, x, x, need_weights=False)[0]


class LastStepOfBoth(nn.Module):
    """A bidirectional reader of padded sequences, that takes the last place for the last step."""

    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize, bug: bool):
        super().__init__()
        self.bug, self.embedding = bug, nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, hidden, batch_first=True, bidirectional=True)

    def forward(
        self, tokens: Int[Tensor, "batch seq"], lengths: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch 2*hidden"]:
        embedded = self.embedding(tokens)
        if self.bug:
            return self.gru(embedded)[0][:, -1]
        packed = torch.nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        _, state = self.gru(packed)
        return torch.cat([state[0], state[1]], dim=-1)


class AddedToAColumn(nn.Module):
    """(batch,) + (batch, 1) is (batch, batch)."""

    def __init__(self, width: DimSize, bug: bool):
        super().__init__()
        self.bug, self.out = bug, nn.Linear(width, 1)

    def forward(self, x: Float[Tensor, "batch width"], bias: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        column = self.out(x)
        return (bias + column).mean(1) if self.bug else bias + column.squeeze(1)


@dataclass(frozen=True)
class Seeded:
    """A bug: what it is, the model and its sizes, what `fuzz` is asked beside, and what its failure says.

    `smallest` are the names' sizes in the smallest inputs, none of one size where the bug shows there too; of a bug that
    mixes, `mixes` is the axis and the two indices that show it, and `begins` is where. Where sizes may be the same, as
    for `independent`, a bug may show at other indices, `alone`.
    """

    bug: str
    model: Any
    sizes: dict[str, int]
    smallest: dict[str, int]
    says: str
    mixes: tuple[str, int, int] | None = None
    begins: str = ""
    alone: tuple[str, int, int] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.bug

    def make(self, *, bug: bool) -> torch.nn.Module:
        torch.manual_seed(0)
        return self.model(**self.sizes, bug=bug)


_APART, _WIDE = {"batch": 2, "seq": 3}, {"batch": 2, "seq": 5}
_SIDES = {"embed": 3, "hidden": 4}
BUGS = [
    Seeded(
        "hard-coded batch",
        HardCodedBatch,
        {"width": 4},
        {"batch": 3, "seq": 2},
        "the result does not fit: batch is 2, must be 3",
    ),
    Seeded("squeeze at batch 1", SqueezeAtBatchOne, {"width": 4}, {"batch": 1}, "it has 0 axes, must have 1"),
    Seeded("swapped axes", SwappedAxes, _SIDES, _WIDE, "batch is 5, must be 2; seq is 2, must be 5"),
    Seeded(
        "wrong mask broadcast",
        WrongMaskBroadcast,
        {"width": 4},
        {"batch": 2, "target": 1, "source": 1},
        "the result does not fit: target is 2, must be 1",
    ),
    Seeded(
        "off-by-one length", OffByOneLength, {"vocab": 5, "embed": 3}, {"batch": 2, "seq": 4}, "seq is 3, must be 4"
    ),
    Seeded("dropped layer axis", DroppedLayerAxis, _SIDES, _WIDE, "it has 2 axes, must have 3"),
    Seeded("mean over the wrong axis", MeanOverTheWrongAxis, {"width": 4}, _APART, "batch is 3, must be 2"),
    Seeded("in-place edit of the input", EditInPlace, {"width": 4}, {"batch": 2}, "`x` is edited in place"),
    Seeded("dtype loss", DtypeLoss, {"width": 4}, {"batch": 2}, "float16, but the module and its inputs are float32"),
    Seeded(
        "h_n.view(batch, -1)",
        StateByView,
        _SIDES,
        _WIDE,
        "changing only batch 0 of `x` changes batch 1 of the result",
        ("batch", 0, 1),
        "in the forward of StateByView itself, after `gru` and before `out`",
    ),
    Seeded(
        "heads split by view without transpose",
        HeadsByView,
        {"width": 4},
        _APART,
        "changing only seq 2 of `x` changes seq 1 of the result",
        ("seq", 2, 1),
        "in the forward of HeadsByView itself, after `query`",
        ("seq", 1, 0),
        {"causal": "seq"},
    ),
    Seeded(
        "softmax over the batch",
        SoftmaxOverTheBatch,
        {"width": 4},
        {"batch": 2},
        "changing only batch 0 of `x` changes batch 1 of the result",
        ("batch", 0, 1),
        "in the forward of SoftmaxOverTheBatch itself, after `out`",
    ),
    Seeded(
        "position table along the batch",
        PlacesAlongTheBatch,
        {"width": 4},
        _APART,
        "batch 1 moved to place 0 gives another result there: its place along batch matters",
        ("batch", 1, 0),
        "in the forward of PlacesAlongTheBatch itself, after `places`",
    ),
    Seeded(
        "batch_first forgotten in attention",
        AttentionBatchSecond,
        {"width": 4},
        _APART,
        "changing only batch 0 of `x` changes batch 1 of the result",
        ("batch", 0, 1),
        "in `attention` (MultiheadAttention)",
    ),
    Seeded(
        "a bidirectional out[:, -1]",
        LastStepOfBoth,
        {"vocab": 5, **_SIDES},
        {"batch": 2, "seq": 6},
        "values past `lengths` change the result at (1, 0)",
        ("seq", 1, 1),
        "in `gru` (GRU)",
        options={"padding": "lengths"},
    ),
    Seeded(
        "(batch,) + (batch, 1)",
        AddedToAColumn,
        {"width": 4},
        {"batch": 2},
        "changing only batch 0 of `bias` changes batch 1 of the result",
        ("batch", 0, 1),
        "in the forward of AddedToAColumn itself, after `out`",
    ),
]
