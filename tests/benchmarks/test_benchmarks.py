"""The benchmarks run, compare and draw."""

import contextlib
import functools
import gc
import importlib
import json
import math
import os
import platform
import re
import subprocess
import sys
import time
import types
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import dimtyped
from benchmarks import peers
from benchmarks.__main__ import QUESTIONS, devices, main
from benchmarks.machine import label
from benchmarks.measure import Absent, Candidate, Effort, Run, spread
from benchmarks.questions import check, cuda_graphs, decode, kernels, layers
from benchmarks.record import Results, Row, Spread
from benchmarks.workloads import QUICK, Workload
from tests.benchmarks.made_results import ROOT, result, saved, untyped

pytestmark = pytest.mark.any_engine


CPU = torch.device("cpu")


ONCE = Effort(repeats=2, seconds=1e-6)


@pytest.fixture(autouse=True)
def _mode_is_put_back() -> Iterator[None]:
    before = dimtyped.runtime.config.mode()
    yield
    dimtyped.configure(before)


def run_benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("results") / "quick.json"
    arguments = ["--quick", "--only", "check", "--only", "step", "--clock", "cpu", "--output", str(path)]
    done = run_benchmarks(*arguments)
    assert done.returncode == 0, done.stderr
    return path, done.stdout


class TestQuick:
    def test_every_figure_has_its_conditions(self, quick: tuple[Path, str]):
        data = json.loads(quick[0].read_text())
        assert data["quick"] is True
        assert list(data["answers"]) == ["check", "step"]
        conditions = data["answers"]["check"]["conditions"]
        assert conditions["threads"] == 1
        assert conditions["versions"]["torch"] == torch.__version__
        assert {"date", "cpu", "python", "load", "seconds"} <= set(conditions)

    def test_each_candidate_is_there_with_a_spread(self, quick: tuple[Path, str]):
        row = Results.load(quick[0]).find("check", "one tensor in, one out", "dimtyped")
        assert row is not None
        assert row.baseline == "untyped"
        for found in (row.figure, row.over, row.ratio):
            assert found is not None
            assert found.low <= found.median <= found.high
            assert found.repeats == 5

    def test_the_tables_are_printed(self, quick: tuple[Path, str]):
        assert "check: What does one check cost, beside every other way to check?" in quick[1]
        assert "one tensor in, one out" in quick[1]
        assert "jaxtyping + beartype" in quick[1]

    def test_plots_are_made_from_the_file(self, quick: tuple[Path, str], tmp_path: Path):
        pytest.importorskip("matplotlib", reason="plots need matplotlib")
        copy = tmp_path / "some-cpu.json"
        copy.write_bytes(quick[0].read_bytes())
        assert main(["--plots", str(copy)]) == 0
        for name in ("check", "step"):
            drawn = tmp_path / f"some-cpu-{name}.png"
            assert drawn.read_bytes().startswith(b"\x89PNG")
            assert drawn.stat().st_size > 10_000

    def test_another_question_joins_the_file(self, quick: tuple[Path, str]):
        done = run_benchmarks("--quick", "--only", "first_call", "--output", str(quick[0]))
        assert done.returncode == 0, done.stderr
        assert list(Results.load(quick[0]).answers) == ["check", "step", "first_call"]


class TestCompare:
    def compared(self, tmp_path: Path, old: Row | list[Row], new: Row | list[Row], **more: str) -> int:
        old, new = (each if isinstance(each, list) else [each] for each in (old, new))
        return main(["--compare", saved(tmp_path / "old.json", *old), saved(tmp_path / "new.json", *new, **more)])

    def test_slower_beyond_the_spread(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        assert self.compared(tmp_path, result(0.4), result(1.4)) == 1
        text = capsys.readouterr().out
        assert "slower  layers: Linear: dimtyped" in text
        assert "beyond baseline: 0.4 [0.35, 0.45] us, now 1.4 [1.35, 1.45] us" in text
        assert "1 figures compared: 1 worse beyond their spread, 0 better" in text

    def test_faster(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        assert self.compared(tmp_path, result(1.4), result(0.4)) == 0
        assert "faster  layers: Linear: dimtyped" in capsys.readouterr().out

    def test_within_the_spread(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        assert self.compared(tmp_path, result(0.4, spread=0.6), result(1.4, spread=0.6)) == 0
        assert "0 worse beyond their spread, 0 better" in capsys.readouterr().out

    @pytest.mark.parametrize(("old", "new", "code"), [(-0.002, 0.004, 0), (0.40, 0.415, 0), (0.40, 0.43, 1)])
    def test_what_no_two_runs_agree_on_is_not_told(self, old: float, new: float, code: int, tmp_path: Path):
        rows = [
            Row("check", "one", "dimtyped", unit="us", figure=whole, over=Spread(over, over, over, 9))
            for over in (old, new)
            for whole in [Spread(over + 0.02, over + 0.02, over + 0.02, 9)]
        ]
        assert self.compared(tmp_path, *rows) == code

    def test_a_machine_that_is_slower_as_a_whole(self, tmp_path: Path):
        assert self.compared(tmp_path, [untyped(10), result(1)], [untyped(20), result(2)]) == 0
        assert self.compared(tmp_path, [untyped(10), result(1)], [untyped(20), result(4)]) == 1

    def test_another_machine_only_by_ratio(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        assert self.compared(tmp_path, result(0.4), result(1.4), machine="aarch64-8core") == 1
        text = capsys.readouterr().out
        assert "only ratios compared" in text
        assert "times baseline: 1.04 [1.035, 1.045], now 1.14 [1.135, 1.145]" in text

    def test_another_processor_only_by_ratio(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        old = saved(tmp_path / "old.json", result(0.4), cpu="AMD EPYC (family 25, model 1)")
        new = saved(tmp_path / "new.json", result(1.4), cpu="AMD EPYC (family 26, model 2)")
        assert main(["--compare", old, new]) == 1
        text = " ".join(capsys.readouterr().out.split())
        assert (
            "(family 25, model 1) against x86_64-2core, cpu, AMD EPYC (family 26, model 2): only ratios compared"
            in text
        )
        assert "times baseline: 1.04 [1.035, 1.045], now 1.14 [1.135, 1.145]" in text

    @pytest.mark.parametrize(("before", "after", "told"), [(10, 5.7, True), (10, 13, True), (10, 11, False)])
    def test_another_speed_is_told(
        self, before: float, after: float, told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        self.compared(tmp_path, [untyped(before), result(1)], [untyped(after), result(1)])
        text = " ".join(capsys.readouterr().out.split())
        assert (f"layers: the other libraries' calls take {after / before:.2g} of their time before" in text) is told

    def test_what_no_longer_runs(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        broken = Row("layers", "Linear", "dimtyped", clock="", status="cannot run", note="RuntimeError: no")
        assert self.compared(tmp_path, result(0.4), broken) == 1
        assert "status: measured, now cannot run" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("old", "new", "code"),
        [
            (True, False, 1),
            (False, True, 0),
            (324, 338, 1),
            (338, 324, 0),
            ("5 of 5", "4 of 5", 1),
            ("5 of 5", "6 of 6", 0),
        ],
    )
    def test_facts(self, old: Any, new: Any, code: int, tmp_path: Path):
        rows = [Row("traces", "gpt: operations", "dimtyped", clock="", value=value) for value in (old, new)]
        assert self.compared(tmp_path, *rows) == code

    @pytest.mark.parametrize(("new", "code"), [(1.05, 0), (1.5, 1), (0.5, 0)])
    def test_exponents(self, new: float, code: int, tmp_path: Path):
        rows = [Row("scale", "retype", "dimtyped", clock="", unit="exponent", value=each) for each in (1.0, new)]
        assert self.compared(tmp_path, *rows) == code

    @pytest.mark.parametrize(("new", "repeats", "code"), [(110, 1, 0), (130, 1, 1), (110, 9, 1)])
    def test_one_repeat_has_no_spread(self, new: float, repeats: int, code: int, tmp_path: Path):
        rows = [
            Row("scale", "first calls", "dimtyped", unit="us", figure=Spread(each, each, each, repeats))
            for each in (100.0, new)
        ]
        assert self.compared(tmp_path, *rows) == code

    def test_peers_do_not_count(self, tmp_path: Path):
        rows = [Row("check", "one", "dltype", unit="us", figure=Spread(value, value, value, 9)) for value in (1.0, 9.0)]
        assert self.compared(tmp_path, *rows) == 0

    def test_another_file(self, tmp_path: Path):
        (tmp_path / "other.json").write_text("{}")
        with pytest.raises(ValueError, match="is no results file of format 1"):
            main(["--compare", str(tmp_path / "other.json"), str(tmp_path / "other.json")])

    def test_what_only_the_old_file_has_is_told(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        other = Row("failing", "a function", "dimtyped", unit="us", figure=Spread(1, 1, 1, 9))
        assert self.compared(tmp_path, [result(0.4), other], result(0.4)) == 0
        assert "so not compared: 1 of failing" in " ".join(capsys.readouterr().out.split())


class TestPeers:
    @pytest.mark.parametrize("peer", peers.ALL, ids=lambda peer: peer.label)
    def test_a_peer_is_timed_or_says_why_not(self, peer: peers.Peer):
        candidate = peer.candidate(peers.ONE, must_check=peer not in (peers.UNTYPED, peers.OFF))
        if isinstance(candidate, Absent):
            assert candidate.status == "not installed" or candidate.note
        else:
            assert candidate.call(*candidate.arguments) is candidate.arguments[0]

    @pytest.mark.parametrize(
        "peer", [peers.ASSERTS, peers.DIMTYPED, peers.REFERENCE, peers.JAXTYPING], ids=lambda p: p.label
    )
    def test_those_that_we_promise_beside_are_timed(self, peer: peers.Peer):
        assert isinstance(peer.candidate(peers.ONE), Candidate)

    def test_a_missing_peer_is_no_failure(self):
        missing = peers.Peer("nobody's", peers.UNTYPED.source, needs=("a_module_that_nobody_has",))
        assert missing.candidate(peers.ONE) == Absent("nobody's", "not installed")

    def test_a_peer_that_checks_nothing_is_not_timed(self):
        found = peers.UNTYPED.candidate(peers.ONE)
        assert found == Absent("untyped", "cannot run", "accepts a tensor that lacks an axis: it checks nothing here")

    def test_a_candidate_that_fails_is_a_row(self):
        def fail() -> None:
            raise RuntimeError("out of luck\nfor once")

        rows = Run(CPU, question="check").compare("one", [Candidate("untyped", int), Candidate("broken", fail)])
        found = {row.candidate: (row.status, row.note) for row in rows}
        assert found == {"untyped": ("measured", ""), "broken": ("cannot run", "RuntimeError: out of luck")}

    def test_each_is_made_at_each_place_once(self):
        made: list[str] = []

        def maker(label: str) -> Candidate:
            made.append(label)
            return Candidate(label, int)

        makers = {label: functools.partial(maker, label) for label in ("untyped", "dimtyped", "untyped, again")}
        rows = list(Run(CPU, question="step").compare_made("one", makers, effort=Effort(repeats=5, seconds=1e-6)))
        orders = [made[first : first + 3] for first in range(0, 9, 3)]
        assert [set(place) for place in zip(*orders, strict=True)] == [set(makers)] * 3
        assert [row.candidate for row in rows] == list(makers)
        assert [row.figure.repeats for row in rows if row.figure] == [6, 6, 6]

    def test_one_that_fails_once_is_absent(self):
        outcomes = iter([Candidate("dimtyped", int), Absent("dimtyped", "cannot run", "for once")])
        makers = {"untyped": lambda: Candidate("untyped", int), "dimtyped": lambda: next(outcomes)}
        rows = Run(CPU, question="step").compare_made("one", makers, effort=ONCE)
        assert [(row.candidate, row.status, row.note) for row in rows] == [
            ("untyped", "measured", ""),
            ("dimtyped", "cannot run", "for once"),
        ]


QUICK_ENOUGH = (
    "decode",
    "kernels",
    "off",
    "failing",
    "values",
    "autocast",
    "flow",
    "command",
    "scale",
    "silent_bugs",
)


class TestQuestions:
    @pytest.fixture(autouse=True)
    def _least_effort(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("benchmarks.measure.QUICK", Effort(2, 1e-5))
        for question in ("step", "decode", "autocast", "off", "flow"):
            monkeypatch.setattr(f"benchmarks.questions.{question}.effort", lambda run: Effort(2, 1e-5))

    @pytest.mark.parametrize("question", QUICK_ENOUGH)
    def test_each_row_of_ours_is_measured(self, question: str):
        module = importlib.import_module(f"benchmarks.questions.{question}")
        rows = list(module.ask(Run(CPU, quick=True, question=question)))
        ours = [row for row in rows if row.candidate.startswith("dimtyped")]
        assert ours
        assert [row for row in ours if row.status != "measured"] == []
        assert all(row.figure or row.value is not None for row in ours)
        assert [row.case for row in ours if row.value is False] == []

    @pytest.mark.parametrize("case", [case for case in layers.CASES if math.prod(case.shape) < 100_000], ids=str)
    def test_each_layer_is_typed_and_gives_what_torch_gives(self, case: layers.Case):
        made = [getattr(nn, case.layer) for nn in (torch.nn, dimtyped.nn)]
        assert made[0] is not made[1]
        torch.manual_seed(0)
        inputs = case.inputs(CPU)
        results = []
        for make in made:
            torch.manual_seed(1)
            results.append(make(*case.arguments, **case.keywords).eval()(*inputs))
        torch.testing.assert_close(*results, rtol=0, atol=0)

    @pytest.mark.parametrize(
        ("count", "expected"), [(1, "1 name on one tensor"), (2, "2 names on one tensor"), (8, "8 names on one tensor")]
    )
    def test_the_number_of_names_is_a_case(self, count: int, expected: str):
        cases = dict(check._grown(quick=False))
        assert len(cases[expected].sizes) == count


class FakeEvent:
    """Stands in for a CUDA event: notes when it was recorded, on the order that it is given."""

    order: ClassVar[list[str]] = []

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        self.order.append("record")
        self.at = time.perf_counter()

    def elapsed_time(self, end: "FakeEvent") -> float:
        return (end.at - self.at) * 1e3


class OnGpu(Run):
    """A run that takes the GPU's paths."""

    on_gpu = True


class TestGpuPaths:
    """What runs on a GPU, with torch's CUDA functions replaced: that the code is right where there is no GPU to show it."""

    @pytest.fixture(autouse=True)
    def cuda(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        FakeEvent.order = []
        monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: FakeEvent.order.append("synchronize"))
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
        return FakeEvent.order

    def test_both_clocks_time_the_same_calls(self):
        rows = list(OnGpu(CPU, question="x").compare("one", [Candidate("untyped", time.sleep, (1e-3,))], effort=ONCE))
        assert [row.clock for row in rows] == ["wall", "cuda events"]
        wall, events = (row.figure.median for row in rows if row.figure)
        assert 1000 < events <= wall < 100_000

    def test_the_gpu_is_idle_before_the_first_event_and_after_the_last(self, cuda: list[str]):
        list(OnGpu(CPU).compare("one", [Candidate("untyped", cuda.append, ("call",))], effort=ONCE))
        last = [index for index, what in enumerate(cuda) if what == "synchronize"][-2:]
        assert cuda[last[0] : last[0] + 3] == ["synchronize", "record", "call"]
        assert cuda[-3:] == ["call", "record", "synchronize"]

    def test_an_idle_gpu_has_no_ratio(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(FakeEvent, "elapsed_time", lambda self, end: 0.0)
        rows = list(OnGpu(CPU).compare("one", [Candidate("untyped", int), Candidate("dimtyped", int)], effort=ONCE))
        found = {(row.candidate, row.clock): row.ratio for row in rows}
        assert found["dimtyped", "cuda events"] is None
        assert found["dimtyped", "wall"] is not None

    def test_decoding_is_timed_by_both(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("benchmarks.questions.decode.effort", lambda run: ONCE)
        rows = list(decode.ask(OnGpu(CPU, quick=True, question="decode")))
        cases = {(row.case, row.candidate) for row in rows}
        assert len(rows) == 2 * len(cases)
        assert {"seq2seq, batch 1", "gpt, batch 8"} <= {case for case, _ in cases}

    def test_an_added_operator_is_seen(self):
        x = torch.ones(3)
        once, twice = (kernels.kernels_of(work, CPU) for work in (x.neg, lambda: x.neg().neg()))
        assert once == {"aten::neg": 1}
        assert twice == {"aten::neg": 2}

    def test_a_captured_graph_keeps_the_model_that_it_reads(self, monkeypatch: pytest.MonkeyPatch):
        stream = types.SimpleNamespace(wait_stream=lambda other: None)
        graphs: list[str] = []
        graph = types.SimpleNamespace(replay=lambda: graphs.append("replay"))
        monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
        monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)
        monkeypatch.setattr(torch.cuda, "graph", contextlib.nullcontext)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graph)
        model = torch.nn.Linear(2, 2)
        alive = weakref.ref(model.weight)
        replay = cuda_graphs.captured(torch.no_grad()(functools.partial(model, torch.zeros(1, 2))))
        del model
        gc.collect()
        assert alive() is not None
        assert replay().shape == (1, 2)
        assert graphs == ["replay"]

    @pytest.mark.parametrize("fails", [False, True])
    def test_synchronization_is_forbidden_while_the_work_runs(self, fails: bool, monkeypatch: pytest.MonkeyPatch):
        modes: list[Any] = [0]
        monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: modes[-1])
        monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

        def work() -> None:
            modes.append("work")
            if fails:
                raise RuntimeError("called a synchronizing CUDA operation")

        said = kernels.synchronizes(work)
        assert said == ("RuntimeError: called a synchronizing CUDA operation" if fails else "")
        assert modes == [0, "error", "work", 0]

    def test_the_peak_is_what_the_model_adds(self, monkeypatch: pytest.MonkeyPatch):
        stats = {"requested_bytes.all.current": 2_000_000, "requested_bytes.all.peak": 9_000_000}
        reset: list[torch.device] = []
        monkeypatch.setattr(torch.cuda, "memory_stats", lambda device: stats)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset.append)
        assert kernels.peak_of(QUICK[1], "decode", CPU, typed=True) == 7.0
        assert reset == [CPU]

    def test_without_a_gpu_nothing_is_written(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert main(["--device", "cuda", "--output", str(tmp_path / "none.json")]) == 2
        assert list(tmp_path.iterdir()) == []

    def test_each_question_is_asked_once(self):
        files = {path.stem for path in (ROOT / "benchmarks" / "questions").glob("[!_]*.py")}
        assert sorted(QUESTIONS) == sorted(files)

    def test_what_is_asked_on_a_gpu(self):
        asked = [name for name in QUESTIONS if "cuda" in devices(name)]
        assert {"layers", "step", "decode", "compiled", "autocast", "cuda_graphs", "kernels", "values"} <= set(asked)

    @pytest.mark.parametrize(("required", "code", "said"), [("0", 0, "skipped"), ("1", 1, "errors")])
    def test_gpu_tests_skip_or_fail_without_one(self, required: str, code: int, said: str):
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "DIMTYPED_REQUIRE_GPU": required}
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "tests/gpu", "-n0", "-rsE", "-p", "no:cacheprovider"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stdout
        assert re.search(rf"= \d+ {said} in ", done.stdout)
        assert "torch.cuda.is_available() is False" in done.stdout
        assert ("DIMTYPED_REQUIRE_GPU=1, but" in done.stdout) is (required == "1")


class TestMeasuring:
    def test_median_and_quartiles(self):
        assert spread([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(3.0, 2.0, 4.0, 5)
        assert spread([7.0]) == Spread(7.0, 7.0, 7.0, 1)

    def test_candidates_take_turns(self):
        order: list[str] = []
        candidates = [Candidate(name, int, enter=lambda name=name: order.append(name)) for name in "ab"]
        list(Run(CPU).compare("one", candidates, effort=Effort(repeats=2, seconds=1e-6)))
        assert "".join(order[-4:]) == "baab"

    @pytest.mark.parametrize("workload", QUICK, ids=lambda workload: workload.name)
    def test_typed_and_untyped_models_are_the_same_model(self, workload: Workload):
        models = [workload.model(CPU, typed=typed) for typed in (True, False)]
        inputs = workload.inputs(2, CPU)
        assert torch.equal(*(model(*inputs) for model in models))
        assert [name for name, _ in models[0].named_parameters()] == [name for name, _ in models[1].named_parameters()]
        assert torch.equal(*(workload.decode(model, 2, CPU)() for model in models))

    def test_the_label_tells_the_machine_and_not_the_host(self):
        assert re.fullmatch(r"[a-z0-9_]+-\d+core", label(CPU))
        assert platform.node().lower() not in label(CPU)
