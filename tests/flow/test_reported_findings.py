"""The content of a finding: counted once, with its place, its names and its operands."""

from dimtyped.flow import Flow, Problem
from tests.flow.named import SIZES, Run, run_of


def adds_transposed(run):
    x = run("batch seq embed")
    return x + run("seq batch embed")


def test_a_line_is_reported_once_however_often_it_runs():
    def loop(run):
        for _ in range(5):
            adds_transposed(run)

    (found,) = run_of(loop).flow.findings
    assert found.times == 5
    assert str(found).endswith("(and 4 more times)")


def test_what_follows_from_a_finding_is_left_out():
    def block(run):
        x = run("batch seq embed") + run("seq batch embed")
        return x + run("batch seq embed")

    assert run_of(block).kinds == ["coincidence"]


def test_names_have_their_origins():
    (found,) = run_of(adds_transposed).flow.findings
    assert found.origins == {"batch": "from `batch`", "seq": "from `seq`"}
    assert found.operands == ("float32 (batch=4, seq=4, embed=16)", "float32 (seq=4, batch=4, embed=16)")
    assert found.operator == "add"
    assert found.message == (
        '`x + run("seq batch embed")` in adds_transposed: batch meets seq; both are 4, in this run'
    )


def test_an_expression_over_several_lines_is_read_whole():
    def multi(run):
        return (
            run("batch seq")
            + run("seq batch")
        )  # fmt: skip

    (found,) = run_of(multi).flow.findings
    assert found.source == 'run("batch seq") + run("seq batch")'


def test_attention_over_the_batch_is_reported_at_its_first_line():
    def attend(run):
        x = run("seq batch embed")
        weights = (x @ x.mT).softmax(-1)
        return weights @ x

    (found,) = run_of(attend).flow.findings
    assert found.source == "(x @ x.mT).softmax(-1)"


def test_independent_names_are_the_users():
    run = Run(Flow(strict=True, independent=("seq",)), **SIZES)
    with run.flow:
        run("batch seq").softmax(0)
        run("batch seq").softmax(1)
    assert [found.names for found in run.flow.findings] == [("seq",)]


def test_a_users_own_finding():
    flow = Flow()
    flow.report(Problem("annotation", "annotated seq, batch flows there", ()))
    flow.report(Problem("annotation", "annotated seq, batch flows there", ()))
    assert [found.where for found in flow.findings] == ["test_a_users_own_finding"] * 2


def test_library_frames_are_passed_over(tmp_path, monkeypatch):
    folder = tmp_path / "site-packages" / "layers"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("def double(x, y):\n    return x + y\n")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    import layers

    for skip, where in [((), "double"), (("layers",), "test_library_frames_are_passed_over")]:
        run = Run(Flow(skip=skip), **SIZES)
        with run.flow:
            layers.double(run("batch seq"), run("seq batch"))
        assert [found.where for found in run.flow.findings] == [where]
