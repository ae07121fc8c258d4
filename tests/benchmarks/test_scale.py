"""The curves' exponents, and the programs that other checkers are given."""

import ast
import sys
from pathlib import Path

import pytest

from benchmarks import gallery
from benchmarks.measure import Absent
from benchmarks.questions import scale, silent_bugs
from benchmarks.readme import section
from benchmarks.record import Answer, Results, Row, Spread

pytestmark = pytest.mark.any_engine


@pytest.mark.parametrize("power", [0, 1, 1.5, 2])
def test_an_exponent_is_the_slope_from_a_tenth_of_the_largest_size_on(power: float):
    sizes = (10, 30, 100, 300, 1000)
    values = [5 * size**power if size >= 100 else 1e9 for size in sizes]
    assert scale.exponent(sizes, values) == pytest.approx(power)


@pytest.mark.parametrize("curve", scale.CURVES, ids=lambda curve: curve.what)
def test_a_curve_is_prepared_anew_for_each_repeat(curve: scale.Curve):
    first, second = curve.prepare(3), curve.prepare(3)
    assert first is not second
    first()
    second()


@pytest.mark.parametrize(("exponent", "mark"), [(1.01, "reached"), (1.9, "**missed**")])
def test_the_page_shows_the_time_and_the_exponent(exponent: float, mark: str, tmp_path: Path):
    curve = scale.CURVES[4]
    rows = [
        Row("scale", curve.case(1000), "dimtyped", unit="us", figure=Spread(2e4, 2e4, 2e4, 3)),
        Row("scale", curve.exponent, "dimtyped", clock="", unit=scale.EXPONENT, value=exponent),
    ]
    conditions = {"date": "2026-01-01", "cpu": "a CPU", "python": "3.11", "versions": {}, "threads": 1}
    Results("some", "cpu", answers={"scale": Answer(conditions, rows)}).save(tmp_path / "some-cpu.json")
    said = f"| {curve.case(1000)} | linear | 20.0 ms, exponent {exponent:.2f} | {mark} | `scale` |"
    assert said in section(tmp_path / "some-cpu.json")


FORMS = (gallery.OWN, gallery.TORCH, gallery.SHAPES)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.what)
def test_each_program_is_written_without_its_check(form: gallery.Form, tmp_path: Path):
    gallery.write(tmp_path, form)
    for kind in (gallery.WRONG, gallery.RIGHT):
        files = sorted((tmp_path / kind).glob("*.py"))
        assert len(files) == len(gallery.EXAMPLES)
        for file in files:
            tree = ast.parse(file.read_text())
            called = [
                node.func.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            ]
            assert not {"check", "watch"} & set(called)


def test_a_tool_gets_its_own_annotations(tmp_path: Path):
    gallery.write(tmp_path, gallery.SHAPES)
    text = (tmp_path / "wrong" / "split_heads.py").read_text()
    assert "x: Annotated[Tensor, Shape('batch', 'seq', 'embed')]" in text
    assert "Annotated[Tensor, Shape('batch', 'heads', 'seq', 'any0')]" in text
    assert "Float[" not in text
    assert "dimtyped" not in text


@pytest.mark.parametrize(
    ("command", "said"),
    [(("no-such-program",), "not installed"), ((sys.executable, "-c", "raise SystemExit(3)"), "cannot run")],
    ids=["absent", "broken"],
)
def test_a_tool_that_gives_no_answer_is_a_row(command: tuple[str, ...], said: str):
    answer = silent_bugs._answer(silent_bugs.Tool("some tool", command, gallery.OWN, lambda _: set()), 1)
    assert isinstance(answer, Absent)
    assert answer.status == said


def test_what_tools_print_is_read_by_file():
    printed = "a/one.py:3:1 error TSF1003 Incompatible\na/one.py:4:1 warning TSF1006 Maybe\na/two.py:5:2 warning TSF2003 Not tracked\n"
    assert silent_bugs.TSF.found(printed) == {"one"}
    assert silent_bugs.TORCHTYC.found("one.py:3:1: error[trace-error]\ntwo.py:1:1: info[unused-dim]\n") == {"one"}
