"""`python -m benchmarks`: asks the questions, prints tables, writes a results file and its plots."""

from __future__ import annotations

import argparse
import importlib
import time
import types
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import dimtyped
from benchmarks import compare, machine, readme, show
from benchmarks.measure import CPU, WALL, Run
from benchmarks.record import RESULTS, Answer, Results

QUESTIONS = (
    "check",
    "parts",
    "layers",
    "step",
    "decode",
    "traces",
    "compiled",
    "autocast",
    "cuda_graphs",
    "kernels",
    "off",
    "first_call",
    "imports",
    "memory",
    "failing",
    "values",
    "flow",
    "command",
    "scale",
    "silent_bugs",
)


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    console = Console()
    if options.compare:
        return _compare(console, *options.compare)
    if options.plots:
        return _plots(console, options.plots)
    if options.readme is not None:
        if len(options.readme) > 2:
            parser.error(f"--readme takes a CPU's file and a GPU's, not {len(options.readme)} files")
        readme.write(*options.readme)
        return 0
    return _measure(console, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="smaller models, fewer repeats: under three minutes on 2 cores"
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where the timed work runs (cpu)")
    parser.add_argument(
        "--only", action="append", choices=QUESTIONS, metavar="NAME", help=f"one of {', '.join(QUESTIONS)}"
    )
    parser.add_argument(
        "--threads", type=int, help="torch's threads (1 on the CPU, which is steadier; torch's own on a GPU)"
    )
    parser.add_argument(
        "--clock", default=WALL, choices=(WALL, CPU), help="cpu: for a machine that others use too (wall)"
    )
    parser.add_argument("--output", type=Path, help="the results file (benchmarks/results/<machine>-<device>.json)")
    parser.add_argument(
        "--compare", nargs=2, type=Path, metavar=("OLD", "NEW"), help="what got slower; exit code 1 if any"
    )
    parser.add_argument("--plots", type=Path, metavar="JSON", help="draws a results file anew")
    parser.add_argument(
        "--readme",
        nargs="*",
        type=Path,
        metavar="JSON",
        help="writes README's section from a CPU and a GPU file; without any, that nothing is measured yet",
    )
    return parser


def _compare(console: Console, old: Path, new: Path) -> int:
    before, after = Results.load(old), Results.load(new)
    changes, compared = compare.compare(before, after)
    if compare.is_elsewhere(before, after):
        sides = [f"{each.machine}, {each.device}{_processors(each)}" for each in (before, after)]
        console.print(f"{sides[0]} against {sides[1]}: only ratios compared")
    for question, drift in compare.speeds(before, after).items():
        console.print(
            f"{question}: the other libraries' calls take {drift:.2g} of their time before. On another processor checks are slower or "
            "faster by another factor than they are, so measure both commits on one"
        )
    if before.quick != after.quick:
        console.print("one of the files is a quick run: what both have in common is little")
    show.show_changes(console, changes, compared)
    if alone := compare.unmatched(before, after):
        counts = ", ".join(f"{count} of {question}" for question, count in alone.items())
        console.print(f"only in {old}, so not compared: {counts}")
    return int(any(change.is_worse for change in changes))


def _processors(results: Results) -> str:
    found = dict.fromkeys(answer.conditions.get("cpu", "") for answer in results.answers.values())
    return "".join(f", {cpu}" for cpu in found if cpu)


def _plots(console: Console, path: Path) -> int:
    if not machine.installed("matplotlib"):
        console.print("no plots: matplotlib is not installed (extra `bench`)")
        return 0
    plots = importlib.import_module("benchmarks.plots")
    for drawn in plots.draw_all(Results.load(path), path.with_suffix("")):
        console.print(f"drew {drawn}")
    return 0


def _measure(console: Console, options: argparse.Namespace) -> int:
    if options.device == "cuda" and not torch.cuda.is_available():
        console.print("--device cuda: torch finds no CUDA device here")
        return 2
    dimtyped.configure("on")
    if dimtyped.runtime.config.mode() != "on":
        console.print("JAXTYPING_DISABLE is set, so nothing would be checked: unset it")
        return 2
    device = torch.device(options.device)
    if options.threads or device.type == "cpu":
        torch.set_num_threads(options.threads or 1)
    path = options.output or _path(device, quick=options.quick)
    results = _kept(path, device, options)
    failed = _ask_all(console, options, device, results, path)
    for name, answer in results.answers.items():
        if name in (options.only or QUESTIONS) and name not in failed:
            show.show_answer(console, name, _first_line(_question(name)), answer)
    console.print(f"wrote {path}")
    for name in failed:
        console.print(f"[red]{name} failed[/red]: see above; the file holds no new answer to it")
    return _plots(console, path) or int(bool(failed))


def _path(device: torch.device, *, quick: bool) -> Path:
    return RESULTS / f"{machine.label(device)}-{device.type}{'-quick' if quick else ''}.json"


def _kept(path: Path, device: torch.device, options: argparse.Namespace) -> Results:
    """With `--only`, what the file holds of the other questions; each keeps the conditions it was measured under."""
    empty = Results(machine.label(device), device.type, options.quick)
    if not options.only or not path.exists():
        return empty
    found = Results.load(path)
    return found if (found.machine, found.device, found.quick) == (empty.machine, empty.device, empty.quick) else empty


def _ask_all(
    console: Console, options: argparse.Namespace, device: torch.device, results: Results, path: Path
) -> list[str]:
    """Asks each question and saves its answer at once. Returns those that failed."""
    names = [name for name in options.only or QUESTIONS if device.type in devices(name)]
    failed: list[str] = []
    columns = (TextColumn("{task.fields[name]:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("[dim]{task.description}"), console=console, transient=True) as progress:
        task = progress.add_task("", total=len(names), name="")
        for name in names:
            progress.update(task, name=name, description="")
            if not console.is_terminal:  # where no bar can move
                console.print(f"{name} ...")
            run = Run(device, options.quick, options.clock, name, lambda text: progress.update(task, description=text))
            try:
                results.answers[name] = _ask(run)
            except Exception:  # noqa: BLE001  # the other questions' answers are not to be lost
                console.print_exception()
                failed.append(name)
            results.answers = {name: results.answers[name] for name in QUESTIONS if name in results.answers}
            results.save(path)
            progress.advance(task)
    return failed


def _ask(run: Run) -> Answer:
    conditions = machine.conditions(run.device)
    began = time.perf_counter()
    rows = list(_question(run.question).ask(run))
    return Answer({**conditions, "clock": run.clock, "seconds": round(time.perf_counter() - began, 1)}, rows)


def _question(name: str) -> types.ModuleType:
    return importlib.import_module(f"benchmarks.questions.{name}")


def devices(question: str) -> tuple[str, ...]:
    """The devices that the question runs on."""
    return getattr(_question(question), "DEVICES", ("cpu", "cuda"))


def _first_line(question: types.ModuleType) -> str:
    return (question.__doc__ or "").splitlines()[0]


if __name__ == "__main__":
    raise SystemExit(main())
