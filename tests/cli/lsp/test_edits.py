"""The fix of a finding as a change of the text: applied, it makes the program right."""

from __future__ import annotations

import pytest

from dimtyped.cli.examples.findings import FINDINGS, report_of
from dimtyped.cli.lsp.data import Span
from dimtyped.cli.lsp.edits import changed, edit_of, span_of
from dimtyped.flow.findings import finding
from dimtyped.runtime import Place
from tests.cli.test_findings import UNFIXED

EXAMPLES = {example.name: example for family in FINDINGS.values() for example in family}
pytestmark = pytest.mark.filterwarnings("ignore:Using a target size")  # torch's own, of a loss between two shapes


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_the_edit_makes_the_program_right(example):
    [found] = example.report().findings
    edit = edit_of(found, example.code)
    if example.name in UNFIXED:
        assert edit is None or report_of(changed(example.code, edit), f"{example.name}-edited").ok
        return
    assert edit is not None, found.fix
    report = report_of(changed(example.code, edit), f"{example.name}-edited")
    assert report.ok, str(report)


def made(source, fix, line=1, column=0, end_column=None):
    end = column + len(source) if end_column is None else end_column
    return finding("outer", "", Place("f", "f.py", line, column, end, source), fix=fix)


def edited(text, found):
    edit = edit_of(found, text)
    return None if edit is None else changed(text, edit)


@pytest.mark.parametrize(
    "fix",
    [
        "take the size from the input; if no other size is intended: check(..., sizes={'n': 3})",
        "name the axis to remove: squeeze(dim)",
        "batch_first=True where `self.gru` is made",
        "`x.shape[0]` in place of `5` in line 1",
        "",
        "a + b",
        "x = a + b",
    ],
)
def test_advice_in_words_is_no_edit(fix):
    assert edit_of(made("a + b", fix), "a + b\n") is None


def test_a_text_that_is_another_one_now_has_no_edit():
    found = made("a + b", "a + b.T", column=4)
    assert edited("x = a + b\n", found) == "x = a + b.T\n"
    assert edited("x = a - b\n", found) is None
    assert edited("y =  a + b\n", found) is None
    assert edited("x = a + b)\n", found) is None  # not Python


def test_columns_of_the_finding_are_bytes():
    text = "é = 'äöü'; return_ = ä + b\n"
    column = len(text.encode()[: text.encode().index("ä + b".encode())])
    found = made("ä + b", "ä + b.T", column=column, end_column=column + len("ä + b".encode()))
    assert edited(text, found) == text.replace("+ b", "+ b.T")


def test_an_expression_of_several_lines():
    text = "x = f(\n    a,\n    b\n) + 1\n"
    found = made("f( a, b )", "f(b, a)", column=4, end_column=1)
    assert span_of(found, text.split("\n")) == Span(0, 4, 3, 1)
    assert edited(text, found) == "x = f(b, a) + 1\n"


def test_what_binds_to_less_is_put_in_parentheses():
    assert edited("x = a.mean() * 2\n", made("a.mean()", "a + b", column=4)) == "x = (a + b) * 2\n"
    assert edited("return a\n", made("return a", "return a.T")) == "return a.T\n"


def test_a_number_is_replaced_where_its_line_has_it_once():
    text = "def f(x):\n    y = x.view(15, -1)  # 15\n    return x.view(15, 15)\n"
    fix = "`x.shape[0]` in place of `15` in line {}"
    assert edited(text, made("y", fix.format(2))) == text.replace("(15, -1)", "(x.shape[0], -1)")
    assert edited(text, made("y", fix.format(3))) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("self.gru = nn.GRU(4, 8)", "self.gru = nn.GRU(4, 8, batch_first=True)"),
        ("self.gru = nn.GRU(4, batch_first=False)", "self.gru = nn.GRU(4, batch_first=True)"),
        ("self.gru = nn.GRU(4, 8,)", None),
        ("self.gru = nn.GRU(4, 8); self.gru = nn.GRU(4, 9)", None),
        ("self.other = nn.GRU(4, 8)", None),
    ],
)
def test_a_keyword_where_a_layer_is_made(before, after):
    assert edited(f"{before}\n", made("y", "batch_first=True where `self.gru` is made")) == (after and f"{after}\n")
