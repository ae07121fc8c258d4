"""README's and the pages' figures come from the committed results."""

import re
import subprocess
from pathlib import Path

import pytest

from benchmarks import peers, readme
from benchmarks.__main__ import QUESTIONS, devices, main
from benchmarks.record import RESULTS, Answer, Results, Row, Spread
from tests.benchmarks.made_results import ROOT

pytestmark = pytest.mark.any_engine

TO_MEASURE: tuple[str, ...] = ()
"""Questions that are newer than the last full run."""


class TestReadme:
    def section(self) -> str:
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        return text.partition(readme.BEGIN)[2].partition(readme.END)[0].strip()

    def test_its_figures_come_from_the_committed_results(self):
        sources = readme.sources_of(self.section())
        assert self.section() == readme.summary(*sources).strip()
        assert [path for path in sources if path not in committed_results()] == []

    def test_its_files_are_there(self):
        named = re.findall(r"\]\((benchmarks/results/[^)]+)\)", self.section())
        assert [name for name in named if not (ROOT / name).is_file()] == []

    def test_results_that_are_committed_are_shown(self):
        assert {path.name for path in committed_results()} == {path.name for path in readme.sources_of(self.section())}

    def test_each_line_that_is_missed_says_why(self):
        text = readme.section(*readme.sources_of(self.section()))
        missed = [line for line in text.splitlines() if line.startswith("- ") and ", to reach " in line]
        assert [line for line in missed if "; " not in line.partition(", to reach ")[2]] == []

    def test_the_table_has_eight_rows_and_the_plot_bars_in_proportion(self):
        table, _, plot = self.section().partition("```text")
        assert len([line for line in table.splitlines() if line.startswith("|")]) == 8 + len(["heading", "rule"])
        bars = [line.rsplit(" ", 2)[0].rstrip() for line in plot.splitlines() if "█" in line]
        figures = [float(line.split()[-2]) for line in plot.splitlines() if "█" in line]
        lengths = [line.count("█") for line in bars]
        assert max(lengths) == 50
        assert all(
            abs(length - 50 * figure / max(figures)) <= 1 for length, figure in zip(lengths, figures, strict=True)
        )

    def test_without_results_every_cell_says_so(self):
        assert readme.summary().count("not measured yet") == 8
        lines = [line for line in readme.section().splitlines() if line.startswith("| ")]
        cells = [line for line in lines if "not measured yet" in line]
        assert len(cells) == len(lines) - 4  # each of the two tables has a heading of two lines
        assert "reached" not in readme.section()
        assert "](benchmarks/results/" not in readme.section()

    def test_what_no_gpu_measured_says_so(self, tmp_path: Path):
        lines = [line for line in readme.section(self.slow(tmp_path)).splitlines() if line.startswith("| GPU:")]
        assert len(lines) == 8
        assert all("| not measured yet |" in line for line in lines)

    def test_what_was_missed_says_so(self, tmp_path: Path):
        text = readme.section(self.slow(tmp_path))
        assert "| `import dimtyped` after torch | at most 80 ms | 200 ms | **missed** | `imports` |" in text
        assert (
            "- `import dimtyped` after torch: 200 ms, to reach at most 80 ms; the goal is from a machine on which"
            in text.replace("\n", " ")
        )

    def slow(self, folder: Path) -> Path:
        row = Row("imports", "import after torch", "dimtyped", unit="ms", figure=Spread(200, 190, 210, 9))
        return self.results(folder / "some-cpu.json", "cpu", row)

    def results(self, path: Path, device: str, *rows: Row) -> Path:
        conditions = {"date": "2026-01-01", "cpu": "a CPU", "python": "3.11", "versions": {}, "threads": 1}
        questions = dict.fromkeys(row.question for row in rows)
        answers = {name: Answer(conditions, [row for row in rows if row.question == name]) for name in questions}
        Results("some", device, answers=answers).save(path)
        return path

    @pytest.mark.parametrize(
        ("ratio", "again", "mark"), [(1.004, 1.0, "reached"), (1.02, 1.0, "**missed**"), (1.02, 1.03, "reached")]
    )
    def test_a_ratio_is_judged_beside_a_second_untyped_model(
        self, ratio: float, again: float, mark: str, tmp_path: Path
    ):
        rows = [
            Row("off", "gpt training step, batch 1", candidate, ratio=Spread(median, median - 0.002, median + 0.002, 9))
            for candidate, median in ((peers.OFF.label, ratio), ("untyped, again", again))
        ]
        text = readme.section(self.results(tmp_path / "some-cpu.json", "cpu", *rows))
        said = f"{ratio:.3f} in 1 case (a second untyped one {again:.3f})"
        assert f"| off: a training step, times the untyped | 1.00 | {said} | {mark} | `off` |" in text

    def test_the_lines_of_a_gpu_come_from_its_own_file(self, tmp_path: Path):
        steps = [
            Row("step", f"seq2seq, batch {batch}", "dimtyped", clock=clock, ratio=Spread(median, median, median, 9))
            for batch, median in ((1, 1.008), (16, 1.002))
            for clock, median in (("wall", median), ("cuda events", 2.0))
        ]
        gpu = self.results(tmp_path / "some-cuda.json", "cuda", *steps)
        text = readme.section(self.slow(tmp_path), gpu)
        assert "| GPU: training steps of the seq2seq | +1% | 1.002 to 1.008 in 2 cases | reached | `step` |" in text
        assert "The GPU's lines are from" in text
        assert "some-cuda-step.png" in text

    def test_what_cannot_run_says_so(self, tmp_path: Path):
        broken = [
            Row("layers", "Linear(128, 256) on (1, 128)", "dimtyped", status="cannot run", note="TypeError: no"),
            Row("step", "gpt, batch 1", "dimtyped", status="cannot run", note="TypeError: no"),
            Row("check", "one tensor in, one out", "dltype", status="not installed"),
        ]
        text = readme.section(self.results(tmp_path / "some-cpu.json", "cpu", *broken))
        said = "dimtyped: cannot run, TypeError: no | **missed**"
        assert f"| `Linear(128, 256) on (1, 128)` | +8% | {said} | `layers` |" in text
        assert f"| training steps, times the untyped |  | {said} | `step` |" in text
        assert "| the same | 1/30 of dltype | dltype: not installed |  | `check` |" in text
        assert "| dltype | not installed | not measured yet |" in text

    def test_what_the_untyped_model_cannot_run_either_is_no_miss(self, tmp_path: Path):
        rows = [
            Row("step", f"seq2seq, batch {batch}", candidate, status="cannot run", note="OutOfMemoryError: no")
            for batch in (128, 512)
            for candidate in ("untyped", "dimtyped")
        ]
        rows.append(Row("step", "seq2seq, batch 1", "dimtyped", ratio=Spread(1.002, 1.002, 1.002, 9)))
        text = readme.section(None, self.results(tmp_path / "some-cuda.json", "cuda", *rows))
        assert "| GPU: training steps of the seq2seq | +1% | 1.002 in 1 case | reached | `step` |" in text

    def test_a_file_of_another_device(self, tmp_path: Path):
        with pytest.raises(ValueError, match="holds results of 'cpu', wanted are those of 'cuda'"):
            readme.section(None, self.slow(tmp_path))

    def test_writing_replaces_only_what_is_between_the_markers(self, tmp_path: Path):
        page = tmp_path / "README.md"
        page.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n")
        readme.write(readme=page)
        assert page.read_text() == f"before\n{readme.BEGIN}\n\n{readme.summary()}\n\n{readme.END}\nafter\n"

    def test_each_file_in_the_repository_is_a_full_run(self):
        for path in committed_results():
            results = Results.load(path)
            assert not results.quick
            assert f"{results.machine}-{results.device}.json" == path.name
            asked = [name for name in QUESTIONS if results.device in devices(name) and name not in TO_MEASURE]
            assert list(results.answers) == asked


class TestCompared:
    """`--compare` over all that is committed."""

    @pytest.mark.parametrize("path", sorted(RESULTS.glob("*-cpu.json")), ids=lambda path: path.stem)
    def test_a_file_beside_itself_has_no_changes(self, path: Path, capsys: pytest.CaptureFixture[str]):
        assert main(["--compare", str(path), str(path)]) == 0
        assert "0 worse beyond their spread, 0 better" in capsys.readouterr().out

    @pytest.mark.parametrize("path", sorted(RESULTS.glob("*-cpu.json")), ids=lambda path: path.stem)
    def test_each_question_that_got_slower_is_named(
        self, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        results, timed = Results.load(path), set[str]()
        for row in results.rows():
            if row.candidate.startswith("dimtyped") and row.figure is not None:
                row.figure, row.over = thrice(row.figure), row.over and plus(row.over, row.figure.median)
                timed.add(row.question)
        results.save(tmp_path / "slower.json")
        assert main(["--compare", str(path), str(tmp_path / "slower.json")]) == 1
        text = capsys.readouterr().out
        assert {name for name in timed if f"slower  {name}: " not in text} == set()


def thrice(spread: Spread) -> Spread:
    return Spread(3 * spread.median, 3 * spread.low, 3 * spread.high, spread.repeats)


def plus(spread: Spread, more: float) -> Spread:
    return Spread(spread.median + 2 * more, spread.low + 2 * more, spread.high + 2 * more, spread.repeats)


def committed_results() -> list[Path]:
    """The results files that git tracks; where there is no git, those that are there."""
    done = subprocess.run(["git", "ls-files", str(RESULTS)], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        return sorted(path for path in RESULTS.glob("*.json") if "-quick" not in path.name)
    return sorted(ROOT / name for name in done.stdout.split() if name.endswith(".json"))
