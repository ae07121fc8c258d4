"""The known mistakes, by family."""

from __future__ import annotations

from dimtyped.cli.examples.example import Example

FAMILIES: dict[str, tuple[Example, ...]] = {
    "A tensor of another size": (
        Example(
            "width",
            "A layer gets another width than it was made for",
            """\
gru = nn.GRU(128, 256)
gru(torch.ones(10, 32, 100))
""",
            ("gru(torch.ones(10, 32, 100))", "gru(nn.Linear(100, 128)(torch.ones(10, 32, 100)))"),
        ),
        Example(
            "doubled-width",
            "A layer doubles the width, and the next expects the old one",
            """\
class Block(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.up = nn.Linear(embed, 2 * embed)
        self.down = nn.Linear(embed, embed)

    def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
        return self.down(torch.relu(self.up(x)))

Block(128)(torch.ones(32, 128))
""",
            ("nn.Linear(embed, embed)", "nn.Linear(2 * embed, embed)"),
        ),
        Example(
            "channels",
            "An image with one channel, a layer for three",
            """\
conv = nn.Conv2d(3, 16, 3)
conv(torch.ones(32, 1, 28, 28))
""",
            ("nn.Conv2d(3, 16, 3)", "nn.Conv2d(1, 16, 3)"),
        ),
        Example(
            "attention-width",
            "Attention gets another width",
            """\
attention = nn.MultiheadAttention(128, 4, batch_first=True)
x = torch.ones(32, 10, 100)
attention(x, x, x)
""",
            ("torch.ones(32, 10, 100)", "nn.Linear(100, 128)(torch.ones(32, 10, 100))"),
        ),
        Example(
            "attention-mask",
            "A mask of the wrong shape",
            """\
attention = nn.MultiheadAttention(128, 4, batch_first=True)
x, mask = torch.ones(32, 10, 128), torch.zeros(10, 32, dtype=torch.bool)
attention(x, x, x, key_padding_mask=mask)
""",
            ("key_padding_mask=mask", "key_padding_mask=mask.T"),
        ),
        Example(
            "result",
            "A function returns another shape than its annotation says",
            """\
@typed
def scores(query: Float[Tensor, "batch hidden"], keys: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch 1 seq"]:
    return torch.bmm(keys, query.unsqueeze(2))

scores(torch.ones(32, 256), torch.ones(32, 10, 256))
""",
            ("query.unsqueeze(2))", "query.unsqueeze(2)).permute(0, 2, 1)"),
        ),
    ),
    "Axes in the wrong place": (
        Example(
            "swapped-axes",
            "A state with two axes swapped",
            """\
encoder, decoder = Encoder(9_000, 128, 256), Decoder(10_000, 128, 256)
state = encoder(tokens).permute(1, 0, 2)
decoder(tokens, state)
""",
            ("decoder(tokens, state)", "decoder(tokens, state.permute(1, 0, 2))"),
        ),
        Example(
            "transposed",
            "A transposed matrix",
            """\
@typed
def read(keys: Float[Tensor, "batch seq hidden"], weights: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch hidden"]:
    return torch.einsum("bs,bsh->bh", weights, keys)

read(torch.ones(32, 10, 256), torch.ones(10, 32))
""",
            ("torch.ones(10, 32)", "torch.ones(10, 32).T"),
        ),
        Example(
            "channels-last",
            "Images with the channels last",
            """\
conv = nn.Conv2d(3, 16, 3)
conv(torch.ones(32, 28, 28, 3))
""",
            ("torch.ones(32, 28, 28, 3)", "torch.ones(32, 28, 28, 3).permute(0, 3, 1, 2)"),
        ),
        Example(
            "class-axis",
            "Cross-entropy with the classes last",
            """\
loss = nn.CrossEntropyLoss()
loss(torch.ones(32, 10, 5_000), tokens)
""",
            ("torch.ones(32, 10, 5_000)", "torch.ones(32, 10, 5_000).permute(0, 2, 1)"),
        ),
        Example(
            "mask-order",
            "A mask in the order of the inputs",
            """\
attention = nn.MultiheadAttention(128, 4)
x, mask = torch.ones(10, 32, 128), torch.zeros(10, 32, dtype=torch.bool)
attention(x, x, x, key_padding_mask=mask)
""",
            ("key_padding_mask=mask", "key_padding_mask=mask.T"),
        ),
        Example(
            "reduced-axis",
            "A mean over the other axis",
            """\
@typed
def average(scores: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch"]:
    return scores.mean(0)

average(torch.ones(32, 10))
""",
            ("scores.mean(0)", "scores.mean(1)"),
        ),
        Example(
            "swapped-arguments",
            "Two arguments swapped",
            """\
decoder = Decoder(10_000, 128, 256)
decoder(torch.zeros(1, 32, 256), tokens)
""",
            ("torch.zeros(1, 32, 256), tokens", "tokens, torch.zeros(1, 32, 256)"),
        ),
    ),
    "Too many or too few axes": (
        Example(
            "column",
            "(batch, 1) against (batch)",
            """\
@typed
def error(guess: Float[Tensor, "batch"], truth: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    return (guess - truth).square().mean()

error(nn.Linear(8, 1)(torch.ones(32, 8)), torch.ones(32))
""",
            ("(torch.ones(32, 8)),", "(torch.ones(32, 8)).squeeze(1),"),
        ),
        Example(
            "no-batch",
            "One sequence where a batch is expected",
            """\
decoder = Decoder(10_000, 128, 256)
decoder(tokens[0], torch.zeros(1, 1, 256))
""",
            ("tokens[0]", "tokens[0].unsqueeze(0)"),
        ),
        Example(
            "heads",
            "Heads that were not joined",
            """\
out = nn.Linear(128, 128)
out(torch.ones(32, 10, 4, 32))
""",
            ("torch.ones(32, 10, 4, 32)", "torch.ones(32, 10, 4, 32).flatten(2)"),
        ),
        Example(
            "not-flattened",
            "A feature map into a linear layer",
            """\
out = nn.Linear(16 * 5 * 5, 10)
out(torch.ones(32, 16, 5, 5))
""",
            ("torch.ones(32, 16, 5, 5)", "torch.ones(32, 16, 5, 5).flatten(1)"),
        ),
        Example(
            "output-tuple",
            "A recurrent layer's whole output into the next layer",
            """\
gru, out = nn.GRU(128, 256), nn.Linear(256, 10)
out(gru(torch.ones(10, 32, 128)))
""",
            ("out(gru(torch.ones(10, 32, 128)))", "out(gru(torch.ones(10, 32, 128))[0])"),
        ),
    ),
    "A wrong dtype": (
        Example(
            "float-ids",
            "An encoder's state where token ids are expected",
            """\
decoder = Decoder(10_000, 128, 256)
state = torch.zeros(1, 32, 256)
decoder(state, state)
""",
            ("decoder(state, state)", "decoder(tokens, state)"),
        ),
        Example(
            "float-indices",
            "Indices that are floats",
            """\
embedding = nn.Embedding(10_000, 128)
embedding(torch.tensor([3.0, 4.0]))
""",
            ("torch.tensor([3.0, 4.0])", "torch.tensor([3.0, 4.0]).long()"),
        ),
        Example(
            "float64",
            "An array from NumPy is float64",
            """\
layer = nn.Linear(8, 4)
layer(torch.ones(32, 8, dtype=torch.float64))
""",
            ("torch.float64)", "torch.float64).float()"),
        ),
        Example(
            "float-mask",
            "A mask that is not bool",
            """\
@typed
def masked(x: Float[Tensor, "batch seq"], mask: Bool[Tensor, "batch seq"]) -> Float[Tensor, "batch seq"]:
    return x.masked_fill(~mask, 0.0)

masked(torch.ones(32, 10), torch.ones(32, 10))
""",
            ("torch.ones(32, 10), torch.ones(32, 10)", "torch.ones(32, 10), torch.ones(32, 10).bool()"),
        ),
    ),
    "Recurrent states": (
        Example(
            "batch-first-state",
            "A state in batch-first order",
            """\
gru = nn.GRU(128, 256, batch_first=True)
gru(torch.ones(32, 10, 128), torch.zeros(32, 1, 256))
""",
            ("torch.zeros(32, 1, 256)", "torch.zeros(32, 1, 256).permute(1, 0, 2)"),
        ),
        Example(
            "batch-first-forgotten",
            "`batch_first` forgotten",
            """\
gru = nn.GRU(128, 256)
gru(torch.ones(32, 10, 128), torch.zeros(1, 32, 256))
""",
            ("nn.GRU(128, 256)", "nn.GRU(128, 256, batch_first=True)"),
        ),
        Example(
            "last-batch",
            "The state of a full batch for a smaller last one",
            """\
gru = nn.GRU(128, 256, batch_first=True)
state = torch.zeros(1, 32, 256)
gru(torch.ones(20, 10, 128), state)
""",
            ("torch.ones(20, 10, 128), state", "torch.ones(20, 10, 128), state[:, :20].contiguous()"),
        ),
        Example(
            "pair-for-gru",
            "An LSTM's state into a GRU",
            """\
gru = nn.GRU(128, 256)
state = (torch.zeros(1, 32, 256), torch.zeros(1, 32, 256))
gru(torch.ones(10, 32, 128), state)
""",
            ("128), state)", "128), state[0])"),
        ),
        Example(
            "no-cell-for-lstm",
            "A GRU's state into an LSTM",
            """\
lstm = nn.LSTM(128, 256)
state = torch.zeros(1, 32, 256)
lstm(torch.ones(10, 32, 128), state)
""",
            ("128), state)", "128), (state, torch.zeros_like(state)))"),
        ),
        Example(
            "narrower-encoder",
            "An encoder narrower than the decoder",
            """\
class Seq2Seq(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(9_000, 128, 200), Decoder(10_000, 128, 256)
        self.bridge = nn.Identity()

    def forward(self, source: Int[Tensor, "batch source"], target: Int[Tensor, "batch target"]) -> Float[Tensor, "..."]:
        return self.decoder(target, self.bridge(self.encoder(source)))

Seq2Seq()(tokens[:, :7], tokens)
""",
            ("nn.Identity()", "nn.StateBridge(self.encoder.gru, self.decoder.gru)"),
        ),
        Example(
            "bidirectional-encoder",
            "A bidirectional encoder, found when the decoder is made",
            """\
encoder = nn.GRU(128, 256, bidirectional=True)
decoder = nn.GRU(128, 256, state_from=encoder)
""",
            (
                "decoder = nn.GRU(128, 256, state_from=encoder)",
                "decoder = nn.GRU(128, 256)\nbridge = nn.StateBridge(encoder, decoder)",
            ),
        ),
    ),
    "Vocabularies": (
        Example(
            "off-by-one",
            "One token more than the vocabulary has",
            """\
embedding = nn.Embedding(10_000, 128)
embedding(torch.tensor([[3, 10_000], [4, 5]]))
""",
            ("nn.Embedding(10_000, 128)", "nn.Embedding(10_001, 128)"),
        ),
        Example(
            "one-hot-ids",
            "One-hot ids where an embedding looks them up",
            """\
encoder = Encoder(1_000, 16, 32)
encoder(torch.nn.functional.one_hot(tokens, 1_000))
""",
            ("one_hot(tokens, 1_000))", "one_hot(tokens, 1_000).argmax(-1))"),
        ),
        Example(
            "class-outside",
            "A label that is not a class, in a target for cross-entropy",
            """\
loss = nn.CrossEntropyLoss()
loss(torch.ones(4, 10), torch.tensor([3, 9, 255, 0]))
""",
            ("nn.CrossEntropyLoss()", "nn.CrossEntropyLoss(ignore_index=255)"),
        ),
        Example(
            "other-tokenizer",
            "Ids from another tokenizer",
            """\
embedding = nn.Embedding(10_000, 128)
embedding(torch.tensor([[3, 31_999], [20_000, 5]]))
""",
            ("nn.Embedding(10_000, 128)", "nn.Embedding(32_000, 128)"),
        ),
        Example(
            "ignored-ids",
            "Ignored positions are looked up",
            """\
embedding = nn.Embedding(10_000, 128)
ids = torch.tensor([[3, -100], [4, 5]])
embedding(ids)
""",
            ("embedding(ids)", "embedding(ids.clamp(min=0))"),
        ),
        Example(
            "too-few-rows",
            "A pretrained matrix with fewer rows than words",
            """\
matrix, words = torch.zeros(9_998, 300), [f"word {i}" for i in range(10_000)]
nn.Embedding.from_pretrained(matrix, vocabulary=words)
""",
            ("torch.zeros(9_998, 300)", "torch.zeros(10_000, 300)"),
        ),
        Example(
            "too-many-rows",
            "Rows that no word looks up",
            """\
matrix, words = torch.zeros(10_002, 300), [f"word {i}" for i in range(10_000)]
nn.Embedding.from_pretrained(matrix, vocabulary=words)
""",
            ("torch.zeros(10_002, 300)", "torch.zeros(10_000, 300)"),
        ),
    ),
    "Ties and weights": (
        Example(
            "tied-width",
            "An output layer tied to an embedding of another width",
            """\
vocab, embed, hidden = dims(vocab=10_000, embed=128, hidden=256)
embedding, out = nn.Embedding(vocab, embed), nn.Linear(hidden, vocab)
out.weight = embedding.weight
""",
            (
                "nn.Linear(hidden, vocab)\nout.weight = embedding.weight",
                "None\nout = nn.TiedDecoder(embedding, hidden, project=True)",
            ),
        ),
        Example(
            "tied-decoder-width",
            "The same with TiedDecoder",
            """\
embedding = nn.Embedding(10_000, 128)
out = nn.TiedDecoder(embedding, 256)
""",
            ("256)", "256, project=True)"),
        ),
        Example(
            "assigned-weight",
            "A weight of another shape assigned",
            """\
layer = nn.Linear(128, 256)
layer.weight = nn.Parameter(torch.ones(128, 256))
""",
            ("torch.ones(128, 256)", "torch.ones(256, 128)"),
        ),
        Example(
            "checkpoint",
            "A checkpoint of another vocabulary",
            """\
saved = nn.Embedding(32_001, 128).state_dict()
nn.Embedding(32_000, 128).load_state_dict(saved)
""",
            ("nn.Embedding(32_000, 128)", "nn.Embedding(32_001, 128)"),
        ),
    ),
    "Declarations": (
        Example(
            "sequential",
            "Layers of a Sequential that do not fit together",
            """\
nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(30, 5))
""",
            ("nn.Linear(30, 5)", "nn.Linear(20, 30), nn.Linear(30, 5)"),
        ),
        Example(
            "head-count",
            "Heads that do not divide the width",
            """\
nn.MultiheadAttention(128, 3)
""",
            ("128", "129"),
        ),
        Example(
            "two-sizes",
            "A name with two sizes in one module",
            """\
class Pair(nn.Module):
    def __init__(self, hidden: DimSize):
        super().__init__()
        self.first = nn.Linear(hidden, hidden)
        self.second = nn.Linear(Dim("hidden", 128), 10)

Pair(256)
""",
            ('Dim("hidden", 128)', 'Dim("hidden_2", 128)'),
        ),
        Example(
            "ambiguous",
            "A name with different sizes in two parts of a model",
            """\
class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(9_000, 128, 256), Decoder(10_000, 128, 256)

    def forward(self, source: Int[Tensor, "batch source"]) -> Float[Tensor, "batch source vocab"]:
        return self.decoder(source, self.encoder(source))

Both()(tokens)
""",
            ('"batch source vocab"', '"batch source words"'),
        ),
        Example(
            "unknown-name",
            "An expression over a name that nothing declares",
            """\
class Doubling(nn.Module):
    def __init__(self, hidden: DimSize):
        super().__init__()
        self.layer = nn.Linear(hidden, 2 * hidden)

    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch 2*hiden"]:
        return self.layer(x)

Doubling(256)(torch.ones(32, 256))
""",
            ("2*hiden", "2*hidden"),
        ),
        Example(
            "misspelt-name",
            "A misspelled name, which fits any size",
            """\
class Head(nn.Module):
    def __init__(self, hidden: DimSize, vocab: DimSize):
        super().__init__()
        self.out = nn.Linear(hidden, vocab)

    def forward(self, x: Float[Tensor, "batch hiden"]) -> Float[Tensor, "batch vocab"]:
        return self.out(x)

Head(256, 10_000)
""",
            ("hiden", "hidden"),
        ),
        Example(
            "broadcast-to-nothing",
            "An axis that broadcasts to nothing",
            """\
@typed
def add(x: Float[Tensor, "rows hidden"], bias: Float[Tensor, "#batch hidden"]) -> Float[Tensor, "rows hidden"]:
    return x + bias

add(torch.ones(32, 256), torch.ones(1, 256))
""",
            ("#batch", "#rows"),
        ),
        Example(
            "unresolved",
            "An annotation that uses an undefined name",
            """\
@typed
def first(x: "Floot[Tensor, 'batch seq']") -> Float[Tensor, "batch"]:
    return x[:, 0]

first(torch.ones(32, 10))
""",
            ("Floot", "Float"),
        ),
        Example(
            "bad-size",
            "A size that is not an int",
            """\
half = dims(hidden=255)[0] / 2
Dim("half", half)
""",
            ("/ 2", "// 2"),
        ),
    ),
}
"""Every example, by the title of its family."""
