"""The graph of a model: boxes, what joins, and arrows with named shapes."""

import shutil
import subprocess

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import DimSize, nn, summary
from dimtyped.flow.summaries.links import Link
from tests.flow.summaries.test_summary import Language


def arrows(made):
    """The arrows of a model's graph, as text; the line of an operator is left out."""
    places = ((link.source, link.axes, link.target) for link in made._graph.arrows)
    return [f"{place(source)} -> {place(target)}: {' '.join(axes)}" for source, axes, target in places]


def place(key):
    return key.partition(":")[0]


BLOCKS = [
    "<input> tokens -> embedding: batch seq",
    "embedding -> blocks.0.up: batch seq embed",
    "blocks.0.up -> blocks.0.down: batch seq hidden",
    "embedding -> blocks.0#add: batch seq embed",
    "blocks.0.down -> blocks.0#add: batch seq embed",
    "blocks.0#add -> out: batch seq embed",
    "out -> <output>: batch seq vocab",
]


def test_blocks_that_are_alike_are_drawn_once():
    assert arrows(summary(Language(50, 8))) == BLOCKS


def test_a_graph_of_less_depth_has_the_modules_around():
    assert arrows(summary(Language(50, 8), depth=1)) == [
        "<input> tokens -> embedding: batch seq",
        "embedding -> blocks: batch seq embed",
        "blocks -> out: batch seq embed",
        "out -> <output>: batch seq vocab",
    ]


class Attention(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(embed, embed) for _ in range(3))

    def forward(
        self, x: Float[Tensor, "batch seq embed"], *, mask: Float[Tensor, "seq seq"]
    ) -> Float[Tensor, "batch seq embed"]:
        scores = self.q(x) @ self.k(x).mT + mask
        return scores.softmax(-1) @ self.v(x)


def test_operators_that_join_are_places_and_others_are_not():
    assert arrows(summary(Attention(6)))[2:] == [
        "q -> #matmul: batch seq embed",
        "k -> #matmul: batch embed seq",
        "#matmul -> #add: batch seq seq",
        "<input> mask -> #add: seq seq",
        "<input> x -> v: batch seq embed",
        "#add -> #matmul: batch seq seq",
        "v -> #matmul: batch seq embed",
        "#matmul -> <output>: batch seq embed",
    ]


def test_a_layer_with_modules_inside_and_weights_of_its_own_is_one_box():
    class Projected(nn.Module):
        def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize):
            super().__init__()
            self.up = nn.Linear(embed, hidden)
            self.out = nn.TiedDecoder(nn.Embedding(vocab, embed), hidden, project=True)

        def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch vocab"]:
            return self.out(self.up(x))

    assert arrows(summary(Projected(9, 4, 6)))[1:] == ["up -> out: batch hidden", "out -> <output>: batch vocab"]


def test_mermaid_has_a_colour_for_each_name():
    text = summary(Language(50, 8), depth=1).to_mermaid()
    assert text.splitlines() == [
        "flowchart TD",
        '  subgraph g["Language"]',
        '    n2["embedding<br/><small>Embedding</small>"]',
        '    n3["blocks<br/><small>ModuleList</small>"]',
        '    n4["out<br/><small>TiedDecoder</small>"]',
        "  end",
        '  n0(["tokens"])',
        '  n1(["output"])',
        *(line for line in text.splitlines() if "-->" in line),
        *text.splitlines()[-2:],
    ]
    assert "  n4 -->|\"<span style='color:#1f6fb4'>batch</span>, <span style='color:#c1440e'>seq</span>, " in text
    assert "<span style='color:#1c7c3c'>embed</span> = 8" in text


def test_graphviz_takes_it():
    dot = shutil.which("dot")
    if dot is None:
        pytest.skip("graphviz is not installed")
    text = summary(Language(50, 8)).to_dot()
    drawn = subprocess.run([dot, "-Tsvg"], input=text, text=True, capture_output=True, check=True)
    assert drawn.stderr == ""
    assert all(word in drawn.stdout for word in ("TiedDecoder", "hidden", "Block"))


def test_the_language_of_graphviz():
    text = summary(torch.nn.Sequential(torch.nn.Linear(2, 3)), torch.ones(4, 2)).to_dot()
    assert text.count("{") == text.count("}")
    assert '"0" -> "<output>" [label=< 4, 3 >]' in text


def test_links_are_data():
    assert summary(Language(50, 8)).links[0] == Link("<input> tokens", "embedding", ("batch", "seq"))
