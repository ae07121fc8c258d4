"""What was not checked, and what does not import, as problems at lines of the text."""

from __future__ import annotations

import pytest

from dimtyped.cli.check.checking import Checking
from dimtyped.cli.check.results import Checked, Results
from dimtyped.cli.lsp.data import Span, lines_of
from dimtyped.cli.lsp.problems import problems_of
from dimtyped.cli.targets.loading import Loader
from dimtyped.cli.targets.settings import Settings
from dimtyped.cli.targets.sources import sources_of
from dimtyped.flow import Place, Report
from dimtyped.flow.findings import finding
from tests.cli.check.models import HEAD, RIGHT, VARIED, write


@pytest.fixture
def problems(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def found(**files):
        write(tmp_path, **files)
        results = Checking(Settings(), False, lambda _: None, Loader()).of(sources_of(["model.py"]))
        return problems_of(results, (tmp_path / "model.py").resolve())

    return found


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("x = (\n", "x = (", "model.py does not import: SyntaxError: '(' was never closed"),
        (
            "import nothing_there\n",
            "import nothing_there",
            "model.py does not import: ModuleNotFoundError: No module named 'nothing_there'; install `nothing_there`, or run "
            "where it can be imported",
        ),
        (
            "def f():\n    return 1 / 0\n\n\nf()\n",
            "return 1 / 0",
            "model.py does not import: ZeroDivisionError: division by zero",
        ),
        (
            "raise SystemExit(4)\n",
            "raise SystemExit(4)",
            'model.py does not import: it calls sys.exit(4); put what runs a program below `if __name__ == "__main__":`',
        ),
    ],
    ids=["syntax", "module", "deep", "exit"],
)
def test_a_file_that_does_not_import_is_a_problem_at_its_line(problems, text, line, says):
    [problem] = problems(model=HEAD + text)
    assert (problem.kind, problem.is_error, problem.message) == ("import", True, says)
    span = problem.span
    assert lines_of(HEAD + text)[span.line][span.column : span.end_column] == line


def test_a_file_that_another_one_cannot_import_is_told_at_the_import(problems):
    [problem] = problems(layers=HEAD + "x = (\n", model=HEAD + "import layers\n")
    assert lines_of(HEAD + "import layers\n")[problem.span.line] == "import layers"
    assert problem.message == "model.py does not import: SyntaxError: '(' was never closed\nlayers.py:7: x = ("


FAILS = """

class Fails(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()

    def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
        raise OSError("no disk")
"""


def test_what_is_not_checked_is_a_warning_at_its_line(problems):
    text = (
        VARIED + FAILS + RIGHT[RIGHT.index("class") :].replace("self.heads = heads", "assert heads == embed, 'square'")
    )
    skipped = [each for each in problems(model=text) if each.kind == "skipped"]
    assert not any(each.is_error for each in skipped)
    assert {lines_of(text)[each.span.line].strip(): each.message for each in skipped} == {
        "class Mlp(nn.Module):": "Mlp is not checked: it needs `width`, which is not a DimSize: give `width` in "
        "[tool.dimtyped.arguments] of pyproject.toml",
        'raise OSError("no disk")': 'Fails is not checked: it raised OSError: no disk at model.py:56: raise OSError("no disk")',
        "class Attention(nn.Module):": "Attention is not checked: Attention cannot be made to check it; with embed=13, heads=17: "
        "AssertionError: square; give [tool.dimtyped.sizes] or [tool.dimtyped.arguments] in pyproject.toml",
    }


@pytest.mark.parametrize(
    ("fix", "says"),
    [
        ("x.T", "fix: x.T"),
        ("write x; else: --size seq=15", "fix: write x; else: seq = 15 in [tool.dimtyped.sizes] of pyproject.toml"),
        ("write x; else: --size NAME=N", "fix: write x; else: NAME = N in [tool.dimtyped.sizes] of pyproject.toml"),
    ],
)
def test_a_finding_has_its_message_where_names_come_from_and_its_fix(tmp_path, fix, says):
    file = tmp_path / "model.py"
    file.write_text("y = f(x)\n", encoding="utf-8")
    found = finding("fixed", "it is wrong", Place("f", str(file), 1, 4, 8, "f(x)"), fix=fix)
    found.origins = {"seq": "bound by `x`", "": "", "none": ""}
    results = Results([Checked("model.py", "f", 1, is_class=False, report=Report("f", [found]))])
    [problem] = problems_of(results, file)
    assert problem.message == f"`f(x)` in f: it is wrong\nseq: bound by `x`\n{says}"
    assert problem.span == Span(0, 4, 0, 8)
