"""What do `check` and `watch` cost, against the run that they follow?

`check` runs a GPT on meta several times on fake tensors, with sizes of its own; `untyped` is one run of the untyped model on fake
tensors. The deeper model shows that the cost grows with the number of operators. `watch` follows a training step on real tensors.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import dimtyped
from benchmarks.measure import Candidate, Effort, Run
from benchmarks.models.loading import model_class, switch_to
from benchmarks.record import Row
from benchmarks.workloads import QUICK, Workload, workloads

DEVICES = ("cpu",)
WATCHED = "dimtyped, within watch"
ONE_RUN = "dimtyped, one run on given inputs"
_MB = 1e6
_SIZES = {"vocab": 50_257, "context": 1024, "embed": 768, "heads": 12}


def ask(run: Run) -> Iterator[Row]:
    for layers in (2,) if run.quick else (12, 24):
        yield from run.compare(checked(layers), list(_checks(layers)), effort=effort(run))
    deepest = 2 if run.quick else 12
    yield run.fact(memory(deepest), "dimtyped", _megabytes(deepest), "MB")
    for workload in QUICK if run.quick else workloads(run):
        yield from run.compare(watched(workload), list(_steps(workload, run)), effort=effort(run))


def checked(layers: int) -> str:
    """The case of a model of so many layers."""
    return f"check of a GPT of {layers} layers, on meta"


def memory(layers: int) -> str:
    """The case of the memory that this takes."""
    return f"memory of a {checked(layers)}"


def watched(workload: Workload) -> str:
    """The case of a model's training step."""
    return f"watch: a training step of the {workload.name}"


def effort(run: Run) -> Effort:
    """Few repeats: each takes long."""
    return Effort(3, 1e-3) if run.quick else Effort(5, 1e-3)


def _checks(layers: int) -> Iterator[Candidate]:
    switch_to("on")
    typed, tokens = _model(layers, typed=True), torch.zeros(4, 64, dtype=torch.long, device="meta")
    yield Candidate("untyped", _fake_run(_model(layers, typed=False)))
    yield Candidate(ONE_RUN, _without_findings(typed), (tokens,))
    yield Candidate("dimtyped", _without_findings(typed))


def _model(layers: int, *, typed: bool) -> torch.nn.Module:
    with torch.device("meta"):
        made: torch.nn.Module = model_class("gpt", typed=typed)(**_SIZES, layers=layers)
    return made


def _fake_run(model: torch.nn.Module) -> Callable[[], Any]:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        model = model.to_empty(device="cpu")
        tokens = torch.zeros(4, 64, dtype=torch.long)

    def forward() -> Any:
        with mode:
            return model(tokens)

    return forward


def _without_findings(model: torch.nn.Module) -> Callable[..., None]:
    def check(*tokens: torch.Tensor) -> None:
        dimtyped.check(model, *tokens).raise_if_any()

    return check


def _steps(workload: Workload, run: Run) -> Iterator[Candidate]:
    batch = workload.batches[-1]
    steps = {
        label: workload.step(workload.model(run.device, typed=label != "untyped"), batch, run.device)
        for label in ("untyped", WATCHED)
    }

    def within_watch() -> None:
        with dimtyped.watch() as report:
            steps[WATCHED]()
        report.raise_if_any()

    yield Candidate("untyped", steps["untyped"])
    yield Candidate(WATCHED, within_watch)


def _megabytes(layers: int) -> float:
    command = [sys.executable, "-m", "benchmarks.questions.flow", str(layers)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _grown_by(layers: int) -> float:
    """How much the process's largest resident memory grows in its first check, with the modules that the check imports."""
    model = _model(layers, typed=True)
    before = _largest()
    dimtyped.check(model)
    return (_largest() - before) * 1024 / _MB


def _largest() -> int:
    """This process's largest resident memory in kB. Linux lets `ru_maxrss` begin with that of the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    print(_grown_by(int(sys.argv[1])))
