"""For each mistake in the list of users' questions: the dimension named, the origin of each size, and a fix that runs.

A row is the code that makes the mistake and its replacement once the error's advice is followed. Both are executed. The
keys (A1, B2, ...) are the numbers of the questions, as in tests/nn/test_cases.py.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import pytest

import dimtyped
from dimtyped.cli.examples import PRELUDE


@dataclass(frozen=True)
class Row:
    """A mistake.

    Args:
        code: The code that makes it.
        fix: A part of the code, and its replacement once the advice is followed.
        kind: The class of the error.
        dim: The dimension that the error names; empty for a dtype.
        says: Parts of the text about the sizes and their origins.
        advises: The advice in the text.
    """

    code: str
    fix: tuple[str, str]
    kind: str
    dim: str
    says: tuple[str, ...]
    advises: str


ATTENTION = """
@typed
def read(weights: Float[Tensor, "batch 1 seq"], keys: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch 1 hidden"]:
    return torch.bmm(weights, keys)

scores = torch.ones(32, 10, 1)
read(scores.softmax(1), torch.ones(32, 10, 256))
"""
TAGGER = """
class Tagger(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.rnn = nn.GRU(embed, hidden, batch_first=True)

    def forward(
        self, x: Float[Tensor, "batch seq embed"], lengths: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch seq hidden"]:
        return self.rnn(x)[0]

Tagger(8, 16)(torch.ones(10, 32, 8), torch.full((32,), 10))
"""
BLOCK = """
class Block(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.up, self.next = nn.Linear(embed, 2 * embed), nn.Linear(embed, 10)

    def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch 10"]:
        return self.next(self.up(x))

Block(128)(torch.ones(32, 128))
"""
EMBED = "vocab, embed, hidden = dims(vocab=1000, embed=128, hidden=256)\n"


def recurrent(kind: str, rest: str) -> str:
    state = "(torch.zeros({0}), torch.zeros({0}))" if kind == "LSTM" else "torch.zeros({0})"
    return (
        "embed, hidden = dims(embed=10, hidden=20)\n"
        f"def state(*shape): return {state.format('shape')}\n"
        f"layer = nn.{kind}(embed, hidden, batch_first=True)\n{rest}"
    )


def of_each(name: str, row: Any) -> dict[str, Row]:
    return {f"{name} {kind}": row(kind) for kind in ("RNN", "LSTM", "GRU")}


ROWS: dict[str, Row] = {
    "A1": Row(
        "encoder, decoder = Encoder(900, 128, 256), Decoder(1000, 128, 256)\n"
        "state = encoder(tokens).permute(1, 0, 2)\ndecoder.gru(decoder.embedding(tokens), state)",
        ("tokens), state)", "tokens), state.permute(1, 0, 2))"),
        "DimensionError",
        "layers",
        ("layers is 32, must be 1", "batch  = 32   from `input` (32, 10, 128)", "layers = 1    declared by GRU(embed=128"),
        "`hx.permute(1, 0, 2)` fits",
    ),
    "A2": Row(
        "state = torch.zeros(1, 32, 256)\nDecoder(1000, 128, 256)(state, state)",
        ("(state, state)", "(tokens, state)"),
        "DimensionError",
        "",
        ("its dtype is float32", 'Int[Tensor, "batch seq"]', "got      float32 (1, 32, 256)"),
        "Give it token ids or other integers of (batch, seq), not a float tensor such as a state.",
    ),
    "A3": Row(
        EMBED + "embedding, out = nn.Embedding(vocab, embed), nn.Linear(hidden, vocab)\nout.weight = embedding.weight",
        ("nn.Linear(hidden, vocab)\nout.weight = embedding.weight", "0\nout = nn.TiedDecoder(embedding, hidden, project=True)"),
        "TyingError",
        "hidden",
        ("(vocab=1000, embed=128), the weight of Embedding(", "declared by Linear(hidden=256 -> vocab=1000)"),
        "nn.TiedDecoder(embedding, hidden=256, project=True)",
    ),
    "A5": Row(
        "embed, wide, hidden = dims(embed=128, wide=512, hidden=256)\nencoder = nn.GRU(embed, wide)\n"
        "decoder = nn.GRU(embed, hidden, state_from=encoder)\n"
        "x = torch.ones(7, 32, 128)\ndecoder(x, encoder(x)[1])",
        (
            "hidden, state_from=encoder)\nx = torch.ones(7, 32, 128)\ndecoder(x, encoder(x)[1])",
            "hidden)\nx = torch.ones(7, 32, 128)\ndecoder(x, nn.StateBridge(encoder, decoder)(encoder(x)[1]))",
        ),
        "StateError",
        "hidden",
        ("hidden: 512 in the source, 256 here", "GRU(embed=128 -> wide=512)", "GRU(embed=128 -> hidden=256)"),
        "nn.StateBridge(source, target)",
    ),
    "A6": Row(
        "encoder = nn.GRU(8, 16, num_layers=2, bidirectional=True)\ndecoder = nn.GRU(8, 16, state_from=encoder)\n"
        "x = torch.ones(7, 32, 8)\ndecoder(x, encoder(x)[1])",
        (
            "16, state_from=encoder)\nx = torch.ones(7, 32, 8)\ndecoder(x, encoder(x)[1])",
            "16)\nx = torch.ones(7, 32, 8)\ndecoder(x, nn.StateBridge(encoder, decoder)(encoder(x)[1]))",
        ),
        "StateError",
        "layers",
        ("layers: 2 in the source, 1 here", "directions: 2 in the source, 1 here"),
        "nn.StateBridge(source, target)",
    ),
    "A7": Row(
        ATTENTION,
        ("scores.softmax(1)", "scores.softmax(1).permute(0, 2, 1)"),
        "DimensionError",
        "1",
        ("axis 1 is 10, must be 1", 'Float[Tensor, "batch 1 seq"]', "got      float32 (32, 10, 1)"),
        "Two axes are swapped: `weights.permute(0, 2, 1)` fits",
    ),
    "A8": Row(
        EMBED + "out = nn.TiedDecoder(nn.Embedding(vocab, embed), hidden)\nout(torch.ones(32, 256))",
        ("hidden)\nout(", "hidden, project=True)\nout("),
        "TyingError",
        "hidden",
        ("hidden is 256, but the embedding's width is embed=128",),
        "nn.TiedDecoder(embedding, 256, project=True)",
    ),
    "B1": Row(
        "embedding = nn.Embedding(1000, 8)\nembedding(torch.tensor([[1, 1234], [1001, 5]]))",
        ("nn.Embedding(1000", "nn.Embedding(1235"),
        "VocabularyError",
        "vocab",
        ("2 token ids outside the vocabulary: 1001, 1234, must be 0 to 999", "at       (0, 1), (1, 0)", "vocab = 1000  declared by"),
        "vocab of at least 1235",
    ),
    "B2": Row(
        "nn.Embedding.from_pretrained(torch.zeros(1000, 8), vocabulary=900)",
        ("torch.zeros(1000, 8)", "torch.zeros(1000, 8)[:900]"),
        "UserWarning",
        "",
        ("900 entries, the matrix 1000 rows",),
        "100 rows are never looked up and never train",
    ),
    "B3": Row(
        EMBED + "nn.Embedding.from_pretrained(torch.zeros(900, 128), vocabulary=vocab)",
        ("torch.zeros(900", "torch.zeros(1000"),
        "DeclarationError",
        "vocab",
        ("vocab is 1000, but the matrix (900, 128) has 900 rows",),
        "Add a row for each, or drop the entries",
    ),
    "B3 width": Row(
        EMBED + "nn.Embedding.from_pretrained(torch.zeros(1000, 100), embed=embed)",
        ("embed=128", "embed=100"),
        "DeclarationError",
        "embed",
        ("embed is 128, but the matrix (1000, 100) has width 100",),
        "Give it a matrix of width 128, or make embed 100",
    ),
    "B5": Row(
        "saved = nn.Embedding(32_001, 8).state_dict()\nnn.Embedding(32_000, 8).load_state_dict(saved)",
        ("nn.Embedding(32_000, 8)", "nn.Embedding(32_000, 8).resized(32_001).embedding"),
        "RuntimeError",
        "",
        ("size mismatch for weight",),
        "vocab: 32001 in the checkpoint, 32000 in the model",
    ),
    "B6": Row(
        "words = ['a', 'b', 'c']\nembedding = nn.Embedding(len(words), 8)\nembedding(torch.tensor([0, 3]))",
        ("len(words)", "len(words) + 1"),
        "VocabularyError",
        "vocab",
        ("1 token id outside the vocabulary: 3, must be 0 to 2", "vocab = 3  declared by Embedding(vocab=3 -> embed=8)"),
        "one too many: was the padding or unknown token counted? Make vocab 4.",
    ),
    **of_each(
        "C1",
        lambda kind: Row(
            recurrent(kind, "layer(torch.ones(3, 5, 11))"),
            ("embed=10", "embed=11"),
            "DimensionError",
            "embed",
            ("embed is 11, must be 10", f"embed = 10  declared by {kind}(embed=10 -> hidden=20)"),
            "Make this layer with embed=11",
        ),
    ),
    **of_each(
        "C2",
        lambda kind: Row(
            recurrent(kind, "given = state(1, 3, 30)\nlayer(torch.ones(3, 5, 10), given)"),
            ("given)", f"nn.StateBridge(nn.{kind}(4, 30), layer)(given))"),
            "DimensionError",
            "hidden",
            ("hidden is 30, must be 20", f"declared by {kind}(embed=10 -> hidden=20)", "from `input` (3, 5, 10)"),
            f"If it is the final state of another layer, `nn.StateBridge(source, {kind.lower()})` learns the map",
        ),
    ),
    **of_each(
        "C3",
        lambda kind: Row(
            recurrent(kind, "kept = layer(torch.ones(32, 5, 10))[1]\nlayer(torch.ones(17, 5, 10), kept)"),
            (", kept)", ", tuple(part[:, :17].contiguous() for part in kept))" if kind == "LSTM" else ", kept[:, :17].contiguous())"),
            "DimensionError",
            "batch",
            ("batch is 32, must be 17", "from `input` (17, 5, 10)"),
            "Is this a smaller last batch?",
        ),
    ),
    **of_each(
        "C4",
        lambda kind: Row(
            recurrent(kind, "layer(torch.ones(3, 5, 10), state(3, 1, 20))"),
            (
                "state(3, 1, 20))",
                "tuple(part.permute(1, 0, 2) for part in state(3, 1, 20)))"
                if kind == "LSTM"
                else "state(3, 1, 20).permute(1, 0, 2))",
            ),
            "DimensionError",
            "layers",
            ("layers is 3, must be 1; batch is 1, must be 3",),
            "whatever batch_first says",
        ),
    ),
    "C5": Row(
        TAGGER,
        ("torch.ones(10, 32, 8)", "torch.ones(10, 32, 8).permute(1, 0, 2)"),
        "DimensionError",
        "batch",
        ("batch is 32, must be 10", "batch = 10  from `x` (10, 32, 8)"),
        "Two axes are swapped: `x.permute(1, 0, 2)` fits",
    ),
    **of_each(
        "C6",
        lambda kind: Row(
            recurrent(kind, f"layer.load_state_dict(torch.nn.{kind}(11, 30).state_dict())"),
            ("embed=10, hidden=20", "embed=11, hidden=30"),
            "RuntimeError",
            "",
            ("size mismatch for weight_ih_l0",),
            "hidden: 30 in the checkpoint, 20 in the model; embed: 11 in the checkpoint, 10 in the model",
        ),
    ),
    "C7 unbatched": Row(
        recurrent("GRU", "layer(torch.ones(5, 10), state(1, 1, 20))"),
        ("state(1, 1, 20)", "state(1, 1, 20).squeeze(1)"),
        "DimensionError",
        "layers hidden",
        ("it has 3 axes, must have 2",),
        "`hx.squeeze(1)` fits",
    ),
    "C7 packed": Row(
        recurrent("GRU", "from torch.nn.utils.rnn import pack_sequence\n"
        "layer(pack_sequence([torch.ones(5, 10), torch.ones(4, 10)]), state(1, 3, 20))"),
        ("state(1, 3, 20)", "state(1, 3, 20)[:, :2].contiguous()"),
        "DimensionError",
        "batch",
        ("batch is 3, must be 2",),
        "`hx[:, :2].contiguous()` cuts the state",
    ),
    "D2": Row(
        "nn.Conv2d(*dims(channels=3, filters=8), 3)(torch.ones(4, 1, 9, 9))",
        ("channels=3", "channels=1"),
        "DimensionError",
        "channels",
        ("channels is 1, must be 3", "channels = 3  declared by Conv2d(channels=3 -> filters=8)"),
        "Make this layer with channels=1.",
    ),
    "D3": Row(
        "nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(30, 5))",
        ("nn.Linear(30", "nn.Linear(20, 30), nn.Linear(30"),
        "DeclarationError",
        "in_features",
        ("layer 2 takes in_features=30, but layer 0 gives out_features=20",),
        "put `nn.Linear(20, 30)` between them",
    ),
    "E1": Row(
        "x = torch.ones(5, 3, 10)\nnn.MultiheadAttention(*dims(embed=8), 2)(x, x, x)",
        ("torch.ones(5, 3, 10)", "nn.Linear(10, 8)(torch.ones(5, 3, 10))"),
        "DimensionError",
        "embed",
        ("argument `query` does not fit: embed is 10, must be 8", "embed = 8  declared by MultiheadAttention(embed=8, heads=2)"),
        "put `nn.Linear(10, 8)` before it",
    ),
    "E2": Row(
        BLOCK,
        ("nn.Linear(embed, 10)", "nn.Linear(2 * embed, 10)"),
        "DimensionError",
        "embed",
        ("embed is 256, must be 128", "256 is 2*embed, declared by Block.up: Linear(embed=128 -> 2*embed=256)"),
        "Make this layer with 2*embed=256",
    ),
    "E2 at construction": Row(
        "(embed,) = dims(embed=128)\nnn.Sequential(nn.Linear(embed, 2 * embed), nn.Linear(embed, 10))",
        (", nn.Linear(embed, 10)", ", nn.Linear(256, 128), nn.Linear(embed, 10)"),
        "DeclarationError",
        "embed",
        ("layer 1 takes embed=128, but layer 0 gives 2*embed=256",),
        "put `nn.Linear(256, 128)` between them",
    ),
    "E3": Row(
        "x, keys = torch.ones(5, 3, 8), torch.ones(7, 3, 6)\nnn.MultiheadAttention(8, 2, kdim=5, vdim=6)(x, keys, keys)",
        ("kdim=5", "kdim=6"),
        "DimensionError",
        "kdim",
        ("argument `key` does not fit: kdim is 6, must be 5", "kdim  = 5  declared by MultiheadAttention("),
        "Make this layer with kdim=6",
    ),
    "E3 mask": Row(
        "x, mask = torch.ones(5, 3, 8), torch.zeros(5, 3, dtype=torch.bool)\n"
        "nn.MultiheadAttention(8, 2)(x, x, x, key_padding_mask=mask)",
        ("key_padding_mask=mask", "key_padding_mask=mask.T"),
        "DimensionError",
        "batch",
        ("batch is 5, must be 3; source is 3, must be 5", "from `query` (5, 3, 8)"),
        "It is transposed: `key_padding_mask.T` fits.",
    ),
    "E4": Row(
        "nn.MultiheadAttention(128, 3)",
        ("128", "129"),
        "DeclarationError",
        "embed_dim",
        ("embed_dim=128 is not divisible by num_heads=3",),
        "Make embed_dim a multiple of num_heads: 126 or 129",
    ),
}  # fmt: skip


def outcome(code: str) -> Exception | Warning | None:
    """What the code raises, or warns of."""
    names: dict[str, Any] = {"__name__": "case"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            exec(compile(PRELUDE, "prelude", "exec"), names)
            exec(compile(code, "case", "exec"), names)
        except (ValueError, RuntimeError) as error:
            return error
    return next((warning.message for warning in caught), None)  # type: ignore[return-value]  # caught as an object


@pytest.mark.parametrize("name", ROWS)
def test_the_error_names_the_dimension_its_origins_and_a_mend_that_runs(name: str) -> None:
    row = ROWS[name]
    error = outcome(row.code)
    assert isinstance(error, getattr(dimtyped, row.kind, None) or __builtins__[row.kind])
    text = str(error)
    for said in (*row.says, row.advises):
        assert said in text
    if isinstance(error, dimtyped.DimensionError | dimtyped.DeclarationError):
        assert error.dim == row.dim
        assert len(text.splitlines()) <= 15
    assert row.fix[0] in row.code
    assert outcome(row.code.replace(*row.fix)) is None
