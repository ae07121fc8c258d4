"""The shape of each variable of a model's functions, in names, by line."""

from __future__ import annotations

import linecache
import textwrap
from pathlib import Path

import pytest
import torch

from dimtyped import DeclarationError
from dimtyped.flow.shapes import commented, margins_of, shapes_of

pytestmark = pytest.mark.any_engine

HEAD = """
import torch
from dimtyped import DimSize, nn, typed
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
"""
ATTENTION = """
class Attention(nn.Module):
    def __init__(self, embed: DimSize, heads: DimSize):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(embed, 3 * embed)

    def split(self, x):
        b, t, c = x.shape
        return x.view(
            b, t, self.heads, c // self.heads
        ).transpose(1, 2)

    def forward(self, x: Float[Tensor, "batch time embed"]) -> Float[Tensor, "batch time embed"]:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (self.split(each) for each in (q, k, v))
        weights = (q @ k.transpose(2, 3)).softmax(-1)
        for _ in range(2):
            y = weights @ v
        if (total := y.sum(-1)) is None:
            return x
        both = [y, y]
        return y.transpose(1, 2).flatten(2)
"""


@pytest.fixture
def module(tmp_path):
    """Runs source as a file; gives its names, and the file."""

    def made(source):
        file = tmp_path / "model.py"
        file.write_text(HEAD + textwrap.dedent(source), encoding="utf-8")
        linecache.checkcache(str(file))
        space = {"__name__": "model"}
        exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), space)
        return space, file

    return made


def comments(shapes, file):
    """The comment of each line, by the line's own text."""
    found = {}
    for margin in margins_of(shapes, str(file)):
        found |= {linecache.getline(str(file), line).strip(): text for line, text in margin.comments.items()}
    return found


def test_each_assignment_and_result_in_names(module):
    space, file = module(ATTENTION)
    assert comments(shapes_of(space["Attention"]), file) == {
        "def split(self, x):": "x: (batch, time, embed)",
        ").transpose(1, 2)": "(batch, heads, time, embed//heads)",
        "q, k, v = self.qkv(x).chunk(3, dim=-1)": "q, k, v: (batch, time, embed)",
        "q, k, v = (self.split(each) for each in (q, k, v))": "q, k, v: (batch, heads, time, embed//heads)",
        "weights = (q @ k.transpose(2, 3)).softmax(-1)": "(batch, heads, time, time)",
        "y = weights @ v": "(batch, heads, time, embed//heads)",
        "if (total := y.sum(-1)) is None:": "(batch, heads, time)",
        "both = [y, y]": "2 x (batch, heads, time, embed//heads)",
        "return y.transpose(1, 2).flatten(2)": "(batch, time, embed)",
    }


def test_a_size_of_the_run_is_no_part_of_a_comment_and_one_of_the_code_is(module):
    space, file = module(
        """
        @typed
        def call(x: Float[Tensor, "batch time"]):
            a = x.flatten().view(x.shape[1], x.shape[0])
            b = torch.zeros(3, x.shape[1])
            return b
        """
    )
    assert comments(shapes_of(space["call"]), file) == {
        "a = x.flatten().view(x.shape[1], x.shape[0])": "(_, _)",
        "b = torch.zeros(3, x.shape[1])": "(3, _)",
        "return b": "(3, _)",
    }


def test_a_function_that_is_called_with_several_shapes_has_each(module):
    space, file = module(
        """
        def norm(x):
            y = x - x.mean(-1, keepdim=True)
            return y

        @typed
        def call(x: Float[Tensor, "batch time"], z: Float[Tensor, "batch embed"]):
            return norm(x), norm(z)
        """
    )
    found = comments(shapes_of(space["call"]), file)
    assert found["y = x - x.mean(-1, keepdim=True)"] == "(batch, time) or (batch, embed)"
    assert found["return norm(x), norm(z)"] == "(batch, time), (batch, embed)"


def test_a_run_that_fails_has_shapes_up_to_the_line(module):
    space, file = module(
        """
        @typed
        def call(x: Float[Tensor, "batch time"], z: Float[Tensor, "batch embed"]):
            a = x.exp()
            b = a @ z
            c = b.exp()
            return c
        """
    )
    shapes = shapes_of(space["call"])
    assert shapes.error.startswith("RuntimeError")
    assert comments(shapes, file) == {"a = x.exp()": "(batch, time)"}


def test_inputs_can_be_given_and_nothing_of_the_model_changes(module):
    space, file = module(ATTENTION)
    model = space["Attention"](8, 2).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = comments(shapes_of(model, torch.ones(2, 5, 8)), file)
    assert found["y = weights @ v"] == "(batch, heads, time, embed//heads)"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(DeclarationError, match="no annotation says which tensors it takes, and no inputs were given"):
        shapes_of(torch.nn.Linear(2, 3))


def test_comments_are_written_once_and_others_stay(module):
    space, file = module(
        '''
        @typed
        def call(x: Float[Tensor, "batch time"]):
            """A text.

            More of it."""
            a = x.exp()  # why
            b = x.sum(
                1
            )
            return b
        '''
    )
    margins = margins_of(shapes_of(space["call"]), str(file))
    source = file.read_text(encoding="utf-8")
    written = commented(source, margins)
    added = {line.strip() for line in written.splitlines()} - {line.strip() for line in source.splitlines()}
    assert added == {")  # (batch)", "return b  # (batch)"}
    file.write_text(written, encoding="utf-8")
    linecache.checkcache(str(file))
    assert commented(written, margins_of(shapes_of(space["call"]), str(file))) == written


def test_shown_lines_have_one_comment_where_a_shape_was_written_by_hand(module):
    space, file = module(
        """
        @typed
        def call(x: Float[Tensor, "batch time"]):
            a = x.exp()  # (B, T)
            return a  # (not a shape) but a word
        """
    )
    (margin,) = margins_of(shapes_of(space["call"]), str(file))
    lines = [line.strip() for line in margin.lines]
    assert lines[1].split() == ["a", "=", "x.exp()", "#", "(batch,", "time)"]
    assert lines[2].endswith("# (not a shape) but a word  # (batch, time)")
    assert Path(margin.file) == file
