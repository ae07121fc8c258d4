"""`dimtyped summary`: which models it shows, and in which form."""

import json

import pytest

from dimtyped.cli.main import main
from tests.cli.check.models import RIGHT, VARIED, write


@pytest.fixture
def shown(tmp_path, monkeypatch, capsys):
    """`dimtyped summary ...` in a folder with a file: its exit status, and what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    write(tmp_path, model=RIGHT, varied=VARIED)

    def run(*words):
        status = main(["summary", *words])
        return status, *capsys.readouterr()

    return run


def test_a_model_is_a_table(shown):
    status, out, _ = shown("model.py", "--size", "embed=24", "--size", "heads=2")
    assert status == 0
    assert out.splitlines()[0] == "model.py:Attention"
    assert out.splitlines()[4] == (
        "  qkv: Linear       1,800   75.0%         60.5 k  (batch=5, seq=7, embed=24) -> (batch, seq, 3*embed=72)"
    )
    assert "multiply-adds: 92.4 k with batch=5, seq=7" in out


def test_all_models_of_a_file_and_what_is_skipped(shown):
    status, out, err = shown("varied.py", "model.py:Attention", "--depth", "1", "--format", "markdown")
    assert [line for line in out.splitlines() if line.startswith("## ")] == ["## model.py:Attention"]
    assert "skipped varied.py:Mlp: it needs `width`, which is not a DimSize: give --arg width=..." in err
    assert "skipped varied.py:Torchs: it raised DimensionError: Torchs.forward: the result does not fit" in err
    assert status == 0


def test_other_forms(shown):
    assert json.loads(shown("model.py", "--format", "json")[1])["model.py:Attention"]["root"]["kind"] == "Attention"
    assert shown("model.py", "--format", "html")[1].startswith("<h2>model.py:Attention</h2>\n<table>")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["model.py:No"], "model.py has no `No`; it has Attention"),
        (["varied.py:pool"], "varied.py:pool: it is a function, and no model"),
        (["varied.py:Mlp"], "varied.py:Mlp: it needs `width`, which is not a DimSize: give --arg width=..."),
        (["varied.py:Torchs", "--size", "x"], "--size x: not a name and a value; write --size hidden=64"),
        ([], "nothing to look at; name a file, a module or a folder: dimtyped summary model.py"),
    ],
)
def test_bad_input_is_one_line(shown, words, says):
    status, out, err = shown(*words)
    assert (status, out, err) == (2, "", f"dimtyped summary: error: {says}\n")


@pytest.mark.parametrize(
    ("file", "begins"), [("out.dot", "digraph {"), ("out.mmd", "flowchart TD"), ("out.svg", "flowchart TD")]
)
def test_a_model_is_drawn(shown, tmp_path, monkeypatch, file, begins):
    monkeypatch.setattr("dimtyped.cli.picture.shutil.which", lambda _: None)
    status, out, _ = shown("model.py", "--graph", file)
    written = file.replace(".svg", ".mmd")
    assert (tmp_path / written).read_text().startswith(begins)
    why = ": graphviz is not installed, so out.svg could not be drawn" if file == "out.svg" else ""
    assert (status, out) == (0, f"model.py:Attention: {written}{why}\n")


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("out.bmp", "--graph out.bmp: `.bmp` is no form of a picture; write out.svg, .png, .pdf, .dot or .mmd"),
        ("no/out.dot", "--graph no/out.dot: No such file or directory"),
    ],
)
def test_what_cannot_be_drawn(shown, file, says):
    assert shown("model.py", "--graph", file) == (2, "", f"dimtyped summary: error: {says}\n")


def test_one_model_is_drawn(shown):
    _, _, err = shown("model.py", "varied.py:make", "--graph", "out.dot")
    assert err.endswith("--graph draws one model, and there are 2; name it: dimtyped summary model.py:Attention\n")
