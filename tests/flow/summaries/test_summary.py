"""`summary`: each module with what goes in and comes out, its parameters and its multiply-adds."""

import io
import json

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dimtyped import DimSize, nn, summary


class Block(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.up, self.down = nn.Linear(embed, hidden), nn.Linear(hidden, embed)
        self.unused = nn.Dropout()

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        return x + self.down(self.up(x).relu())


class Language(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, layers: int = 3):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.blocks = nn.ModuleList([Block(embed, 4 * embed) for _ in range(layers)])
        self.out = nn.TiedDecoder(self.embedding)

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        return self.out(x)


def rows(made, depth=None):
    """The cells of each row that say what a module is."""
    return [(node.name, node.kind, node.times, node.inputs, node.outputs) for _, _, node in made.root.walk(depth)]


def test_each_module_is_a_row_in_names_and_blocks_that_are_alike_are_one():
    assert rows(summary(Language(50, 8))) == [
        ("", "Language", 1, "(batch=5, seq=7)", "(batch, seq, vocab=50)"),
        ("embedding", "Embedding", 1, "(batch=5, seq=7)", "(batch, seq, embed=8)"),
        ("blocks", "ModuleList", 1, "", ""),
        ("0-2", "Block", 3, "(batch=5, seq=7, embed=8)", "(batch, seq, embed)"),
        ("up", "Linear", 1, "(batch=5, seq=7, embed=8)", "(batch, seq, hidden=32)"),
        ("down", "Linear", 1, "(batch=5, seq=7, hidden=32)", "(batch, seq, embed=8)"),
        ("unused", "Dropout", 1, "", ""),
        ("out", "TiedDecoder", 1, "(batch=5, seq=7, embed=8)", "(batch, seq, vocab=50)"),
    ]


def test_the_table(monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    assert str(summary(Language(50, 8))).splitlines() == [
        "module                  parameters   share  multiply-adds  shapes",
        "-----------------------------------------------------------",
        "Language                     2,106  100.0%         67.8 k  (batch=5, seq=7) -> (batch, seq, vocab=50)",
        "  embedding: Embedding         400   19.0%                 (batch=5, seq=7) -> (batch, seq, embed=8)",
        "  blocks: ModuleList         1,656   78.6%         53.8 k",
        "    0-2: Block x 3             552   78.6%         17.9 k  (batch=5, seq=7, embed=8) -> (batch, seq, embed)",
        "      up: Linear               288   41.0%         8.96 k  (batch=5, seq=7, embed=8) -> (batch, seq, hidden=32)",
        "      down: Linear             264   37.6%         8.96 k  (batch=5, seq=7, hidden=32) -> (batch, seq, embed=8)",
        "      unused: Dropout                                      not called",
        "  out: TiedDecoder             450   21.4%           14 k  (batch=5, seq=7, embed=8) -> (batch, seq, vocab=50)",
        "-----------------------------------------------------------",
        "parameters: 2,106",
        "multiply-adds: 67.8 k with batch=5, seq=7",
        "memory: inputs 280 B, outputs of layers and their gradients 49.8 kB, parameters 8.42 kB",
    ]


def test_in_a_narrow_terminal_shapes_stand_below_the_numbers(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = str(summary(Language(50, 8), depth=1)).splitlines()
    assert max(map(len, lines[:-3])) <= 80
    assert lines[2:4] == [
        "Language                     2,106  100.0%         67.8 k",
        "    (batch=5, seq=7) -> (batch, seq, vocab=50)",
    ]


def test_parameters_of_a_tie_count_once():
    tied = Language(50, 8)
    made = summary(tied)
    assert made.parameters == sum(parameter.numel() for parameter in tied.parameters())
    out = made.root.children[-1]
    assert (out.parameters, out.shared) == (450, 400)
    tied.embedding.requires_grad_(False)
    assert summary(tied).trainable == made.parameters - 400
    assert "parameters: 2,106, 400 of them frozen" in str(summary(tied))


MODELS = {
    "language": (lambda: Language(50, 8), torch.zeros(4, 6, dtype=torch.long)),
    "convolutions": (
        lambda: torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.ConvTranspose2d(8, 4, 2, stride=2), torch.nn.Flatten()
        ),
        torch.zeros(2, 3, 10, 12),
    ),
    "transformer": (lambda: torch.nn.TransformerEncoderLayer(16, 4), torch.zeros(5, 3, 16)),
    "gru": (lambda: torch.nn.GRU(8, 16, 2, bidirectional=True), torch.zeros(5, 3, 8)),
}


@pytest.mark.parametrize("name", MODELS)
def test_multiply_adds_are_half_of_what_torch_counts(name):
    make, x = MODELS[name]
    model = make()
    with FlopCounterMode(display=False) as counter:
        model(x)
    assert summary(model, x).multiply_adds == counter.get_total_flops() // 2 > 0


def test_multiply_adds_of_an_lstm_which_torch_leaves_out():
    made = summary(torch.nn.LSTM(8, 16, 2, bidirectional=True), torch.zeros(5, 3, 8))
    assert made.multiply_adds == 5 * 3 * 2 * (4 * 16 * (8 + 16) + 4 * 16 * (32 + 16))


def test_a_model_of_seventy_billion_parameters_on_meta():
    with torch.device("meta"):
        model = Language(128_256, 8192, layers=124)
    made = summary(model, sizes={"batch": 8, "seq": 4096})
    assert made.parameters > 67e9
    assert made.root.children[1].children[0].times == 124
    assert all(parameter.is_meta for parameter in model.parameters())


def test_a_class_is_made_first():
    made = summary(Language, sizes={"vocab": 30}, arguments={"layers": 1})
    assert made.notes == ["made with vocab=30, embed=13"]
    assert made.sizes == {"batch": 5, "seq": 7}


def test_a_module_that_is_called_several_times_says_so():
    class Twice(nn.Module):
        def __init__(self, embed: DimSize):
            super().__init__()
            self.inner = nn.Linear(embed, embed)

        def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
            return self.inner(self.inner(x))

    made = summary(Twice(6))
    assert (made.root.children[0].calls, made.multiply_adds) == (2, 2 * 5 * 36)
    assert "(batch=5, embed=6) -> (batch, embed), 2 calls" in str(made)


def test_nothing_of_the_model_changes():
    model = Language(50, 8).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    summary(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(member._forward_hooks or member._forward_pre_hooks for member in model.modules())
    assert not torch.nn.modules.module._global_forward_pre_hooks
    assert not model.training


def test_its_other_forms():
    made = summary(Language(50, 8))
    markdown, html = made.to_markdown(), made.to_html()
    assert (
        "| &emsp;&emsp;`0-2: Block x 3` | 552 | 78.6% | 17.9 k | `(batch=5, seq=7, embed=8) -> (batch, seq, embed)` |"
        in markdown
    )
    assert "<code>(batch=5, seq=7) -&gt; (batch, seq, vocab=50)</code>" in html
    assert made._repr_html_() == html
    data = json.loads(json.dumps(made.to_dict()))
    assert data["root"]["children"][0]["outputs"] == "(batch, seq, embed=8)"


def test_rich_shows_it():
    rich = pytest.importorskip("rich.console")
    console = rich.Console(width=130, record=True, file=io.StringIO())
    console.print(summary(Language(50, 8)))
    assert "0-2: Block x 3" in console.export_text()


def test_bad_input():
    with pytest.raises(ValueError, match="summary takes a module or what makes one, not 3 of type int"):
        summary(3)
    with pytest.raises(
        ValueError, match=r"no annotation says which tensors it takes.*\n  Give them: summary\(model, x\)"
    ):
        summary(torch.nn.Sequential(torch.nn.Linear(2, 3)))
    with pytest.raises(RuntimeError, match="embed is 3, must be 8"):
        summary(Block(8, 16), torch.ones(2, 4, 3))
