"""`dimtyped shapes`: what it prints, what it writes, and what it cannot run."""

from __future__ import annotations

import pytest

from dimtyped.cli.main import main

pytestmark = pytest.mark.any_engine

MODEL = """\
from dimtyped import DimSize, nn
from jaxtyping import Float
from torch import Tensor


class Pool(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.score = nn.Linear(embed, 1)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch embed"]:
        weights = self.score(x).softmax(1)
        return (x * weights).sum(1)


class Twice(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.pool = Pool(embed)

    def forward(self, x: Float[Tensor, "rows cols embed"]) -> Float[Tensor, "rows embed"]:
        y = self.pool(x)
        return 2 * y
"""
PRINTED = """\
model.py:11: Pool.forward
    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch embed"]:
        weights = self.score(x).softmax(1)  # (rows, cols, 1)
        return (x * weights).sum(1)         # (rows, embed)

model.py:21: Twice.forward
    def forward(self, x: Float[Tensor, "rows cols embed"]) -> Float[Tensor, "rows embed"]:
        y = self.pool(x)  # (rows, embed)
        return 2 * y      # (rows, embed)

"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL, encoding="utf-8")
    return tmp_path


def test_the_source_with_shapes(capsys):
    assert main(["shapes", "model.py"]) == 0
    assert capsys.readouterr().out == PRINTED


def test_one_class_has_its_own_names(capsys):
    assert main(["shapes", "model.py:Pool"]) == 0
    assert "# (batch, seq, 1)" in capsys.readouterr().out


def test_a_size_of_an_input_is_no_argument_of_the_class(capsys):
    assert main(["shapes", "model.py:Pool", "--size", "seq=12", "--size", "embed=8"]) == 0
    assert "# (batch, seq, 1)" in capsys.readouterr().out


def test_comments_are_written_once(folder, capsys):
    assert main(["shapes", "--write-comments", "model.py"]) == 0
    assert capsys.readouterr().out == "model.py: 4 comments written\n"
    written = (folder / "model.py").read_text(encoding="utf-8")
    assert "        y = self.pool(x)  # (rows, embed)\n" in written
    assert main(["shapes", "--write-comments", "model.py"]) == 0
    assert capsys.readouterr().out == "model.py: no comments written\n"
    assert (folder / "model.py").read_text(encoding="utf-8") == written


def test_comments_are_written_in_the_encoding_of_a_file_and_behind_a_form_feed(folder, capsys):
    text = "# coding: latin-1\n" + MODEL.replace("class Twice", "# é\n\x0c\nclass Twice")
    (folder / "model.py").write_bytes(text.encode("latin-1"))
    assert main(["shapes", "--write-comments", "model.py"]) == 0
    assert capsys.readouterr().out == "model.py: 4 comments written\n"
    written = (folder / "model.py").read_bytes().decode("latin-1")
    assert "# é\n\x0c\nclass Twice" in written
    assert "        y = self.pool(x)  # (rows, embed)\n" in written


def test_a_run_that_fails(folder, capsys):
    wrong = MODEL.replace("return 2 * y", "z = y @ x\n        return z")
    (folder / "model.py").write_text(wrong, encoding="utf-8")
    assert main(["shapes", "model.py:Twice"]) == 1
    printed = capsys.readouterr()
    assert "y = self.pool(x)  # (rows, embed)\n        z = y @ x\n" in printed.out
    assert "dimtyped shapes: model.py:Twice stopped at RuntimeError: " in printed.err


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        (["other.py"], "there is no file `other.py`"),
        (["model.py:Pol"], "model.py has no `Pol`; did you mean `Pool`?"),
        ([], "nothing to look at; name a file, a module or a folder: dimtyped shapes model.py"),
    ],
)
def test_bad_input_is_one_line_and_2(targets, text, capsys):
    assert main(["shapes", *targets]) == 2
    assert text in capsys.readouterr().err
