"""The variables of functions that ran, each where its name stands."""

from __future__ import annotations

from dimtyped.cli.lsp.data import lines_of
from dimtyped.cli.lsp.state import Checked, State
from dimtyped.cli.lsp.variables import functions_of
from dimtyped.cli.shapes import margins_in
from dimtyped.cli.targets.loading import Loader
from dimtyped.cli.targets.settings import Settings
from dimtyped.cli.targets.sources import sources_of
from tests.cli.check.models import HEAD

TEXT = (
    HEAD
    + """\
def shift(ä, by):
    ö = "é"; ü = ä + by
    return ü


class Net(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(embed, embed) for _ in range(2)])

    def forward(
        self,
        x: Float[Tensor, "batch seq embed"],
        scale: float = 1.0,
    ):
        for layer in self.layers:
            x = layer(x)
        if (mean := x.mean(1)).dim() == 2:
            pair = (
                mean,
                x,
            )

        def inner(y):
            z = y.sum(0)
            return z

        first, (second, *_) = inner(mean), pair
        total: Tensor = first.sum()
        x += shift(x, total)
        return x
"""
)


def functions(tmp_path, monkeypatch, text=TEXT):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(text, encoding="utf-8")
    loader = Loader()
    [source] = sources_of(["model.py"])
    try:
        return functions_of(text, margins_in(source, Settings(), loader, [], []))
    finally:
        loader.forget()


def test_each_variable_is_where_its_name_ends(tmp_path, monkeypatch):
    lines = lines_of(TEXT)
    found = functions(tmp_path, monkeypatch)
    shown = {
        function.name: [
            f"{each.name or 'return'}{':' if each.is_annotated else ''} {each.shape}" for each in function.variables
        ]
        for function in found
    }
    assert shown == {
        "shift": ["ä (batch, seq, embed)", "by ()", "ü (batch, seq, embed)", "return (batch, seq, embed)"],
        "Net.forward": [
            "x: (batch, seq, embed)",
            "x (batch, seq, embed)",
            "mean (batch, embed)",
            "pair (batch, embed), (batch, seq, embed)",
            "first (embed)",
            "second (batch, embed)",
            "total: ()",
            "x (batch, seq, embed)",
            "return (batch, seq, embed)",
        ],
        "Net.forward.inner": ["y (batch, embed)", "z (embed)", "return (embed)"],
    }
    for function in found:
        assert lines[function.first].lstrip().startswith("def ")
        for each in function.variables:
            assert lines[each.line][: each.column].endswith(each.name or lines[each.line].strip())
            assert each.line <= each.end <= function.last


def test_a_name_has_the_shape_that_it_was_given_last_above(tmp_path, monkeypatch):
    state, file = State(), tmp_path / "model.py"
    state.put(file, TEXT)
    state.checked[file] = Checked({file: lines_of(TEXT)}, functions=functions(tmp_path, monkeypatch))

    def shape(line, name):
        number = next(place for place, text in enumerate(lines_of(TEXT)) if line in text)
        found = state.variable_at(file, number, name)
        return found and (found.shape, found.line)

    forward = lines_of(TEXT).index("    def forward(")
    assert shape("total: Tensor", "first")[0] == "(embed)"
    assert shape("for layer", "x") == ("(batch, seq, embed)", forward + 2)
    assert shape("return x", "x")[1] == lines_of(TEXT).index("        x += shift(x, total)")
    assert shape("return z", "z")[0] == "(embed)"
    assert shape("return ü", "z") is None  # another function's
    assert shape("for layer", "mean") is None  # not yet
    assert state.variable_at(file, 0, "x") is None


def test_a_text_that_is_no_python_any_more_has_none(tmp_path, monkeypatch):
    assert functions_of("x = (", []) == []


SEVERAL = (
    HEAD
    + """\
class Pair(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.one, self.other = nn.Linear(embed, 2 * embed), nn.Linear(embed, embed)

    def forward(self, x: Float[Tensor, "batch embed"]):
        q = self.one(x); k = self.other(x); q = q.sum(-1)
        w = q.softmax(0); return k
"""
)


def test_several_statements_of_one_line_have_shapes_each_and_a_softmax_over_the_batch_keeps_its_name(
    tmp_path, monkeypatch
):
    lines = lines_of(SEVERAL)
    [function] = functions(tmp_path, monkeypatch, SEVERAL)
    assert [(each.name, each.shape, lines[each.line][: each.column].strip()) for each in function.variables] == [
        ("x", "(batch, embed)", "def forward(self, x"),
        ("k", "(batch, embed)", "q = self.one(x); k"),
        ("q", "(batch)", "q = self.one(x); k = self.other(x); q"),
        ("w", "(batch)", "w"),
        ("", "(batch, embed)", "w = q.softmax(0); return k"),
    ]
