"""README's table of costs and the page of the documentation, from results files: no figure comes from anywhere else."""

from __future__ import annotations

import itertools
import os
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import costs, peers
from benchmarks.measure import CPU
from benchmarks.questions import check, traces
from benchmarks.record import MEASURED, Results, Row
from benchmarks.show import quantity, spread_text

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- costs:begin -->", "<!-- costs:end -->"
NOT_YET = "not measured yet"
_WIDTH = 120
_BAR = 50
_EIGHTHS = " ▏▎▍▌▋▊▉"
_NOTHING_MEASURED = """No full run's results are in the repository yet; until then every cell says so."""
_HOW = """`python -m benchmarks` (extra `[bench]`) measures all this anew, with `--device cuda` on a GPU, with `--quick` in under
three minutes; `python -m benchmarks --compare OLD.json NEW.json` says what got slower beyond its spread. `pytest -m gpu` shows
that checks add no kernel, no synchronization and no byte on a GPU; it skips where there is none, and fails there with
`DIMTYPED_REQUIRE_GPU=1`. The demo ends with what the checks add to its own training step on your machine."""


@dataclass(frozen=True)
class Source:
    """A results file and what it holds; without a file, nothing."""

    path: Path | None
    results: Results

    @classmethod
    def of(cls, path: Path | None, device: str) -> Source:
        """The file's.

        Raises:
            ValueError: it holds another device's results.
        """
        results = Results.load(path) if path else Results("", device)
        if results.device != device:
            raise ValueError(f"{path} holds results of {results.device!r}, wanted are those of {device!r}")
        return cls(path, results)

    @property
    def relative(self) -> Path:
        """The file as README names it."""
        assert self.path is not None
        return Path(os.path.relpath(self.path.resolve(), ROOT))

    @property
    def link(self) -> str:
        """The file as a link from README, and from a page at the top of the documentation, which has a copy of it."""
        return f"[`{self.relative.as_posix()}`]({self.relative.as_posix()})"

    def image(self, name: str, text: str, question: str = "") -> Iterator[str]:
        """The plot that was drawn from the file, where there is one, and where it has this question's answer."""
        if self.path and (not question or question in self.results.answers):
            yield f"![{text}]({self.relative.with_suffix('').as_posix()}-{name}.png)"


# README ---------------------------------------------------------------------------------------------------------------

# README's rows, and the line of `costs.LINES` that each one takes its figure from.
SUMMARY = {
    "the check of a call, one tensor in and one out": "one tensor in, one out",
    "each further tensor": "each further tensor",
    "a layer's smallest call, over torch's": "each layer's smallest calls, times torch's",
    "a training step, over the untyped model's": "training steps, times the untyped",
    "greedy decoding at batch 1, over the untyped model's": "greedy decode, batch 1, times the untyped",
    "compiled calls, over the untyped model's": "compiled: time of the models, times the untyped",
    "switched off": "off",
    "`import dimtyped` after `import torch`": "`import dimtyped` after torch",
}
PLOTTED = (peers.ASSERTS, peers.DIMTYPED, peers.JAXTYPING, peers.DLTYPE, peers.CHECK_SHAPES)


def summary(cpu: Path | None = None, cuda: Path | None = None) -> str:
    """README's section: one table, one plot made of text, and where they come from.

    The plot is text because a package index shows no image of a repository.

    Args:
        cpu: The results of a run on the CPU. Default: none yet.
        cuda: Those of a run on a GPU. Default: none yet.

    Raises:
        ValueError: a file is not a results file, or is of another device.
    """
    on_cpu, on_gpu = Source.of(cpu, "cpu"), Source.of(cuda, "cuda")
    lines = {line.what: line for line in costs.LINES}
    found = {label: lines[what].read(on_cpu.results) for label, what in SUMMARY.items()}
    rows = [f"| {label} | {each.text if each else NOT_YET} |" for label, each in found.items()]
    parts = ["\n".join(["| | |", "| --- | --- |", *rows]), *_plot(on_cpu.results)]
    parts += ["From " + " and ".join(source.link for source in (on_cpu, on_gpu) if source.path)] if cpu or cuda else []
    return "\n\n".join(parts)


def _plot(results: Results) -> Iterator[str]:
    rows = {peer.label: results.find("check", check.ONE, peer.label) for peer in PLOTTED}
    added = {label: row.over.median for label, row in rows.items() if row is not None and row.over is not None}
    if added:
        width, most = max(map(len, added)), max(added.values())
        bars = [f"{label:<{width}}  {_bar(each / most)} {quantity(each, 'us')}" for label, each in added.items()]
        yield "\n".join(["```text", "the check of one call, microseconds", *bars, "```"])


def _bar(share: float) -> str:
    whole, eighths = divmod(round(share * _BAR * 8), 8)
    return "█" * whole + _EIGHTHS[eighths].strip()


# The page of the documentation ----------------------------------------------------------------------------------------


def section(cpu: Path | None = None, cuda: Path | None = None) -> str:
    """The page's text, without its title.

    Args:
        cpu: The results of a run on the CPU. Default: none yet.
        cuda: Those of a run on a GPU. Default: none yet.

    Raises:
        ValueError: a file is not a results file, or is of another device.
    """
    on_cpu, on_gpu = Source.of(cpu, "cpu"), Source.of(cuda, "cuda")
    parts = [
        *_heading(on_cpu, on_gpu),
        "\n".join(_peer_table(on_cpu.results)),
        *on_cpu.image("check", "The cost of one check beside the peers, on a logarithmic axis"),
        "\n".join(_reach_table(on_cpu.results, on_gpu.results)),
        *_missed(on_cpu.results, on_gpu.results),
        *on_cpu.image("step", "The time of a training step on the CPU, typed beside untyped, by batch size"),
        *on_gpu.image("step", "The time of a training step on a GPU, typed beside untyped, by batch size"),
        *on_cpu.image("scale", "The time by the number of modules, on two logarithmic axes", "scale"),
        *_details(on_cpu.results),
        _HOW,
    ]
    return "\n\n".join(parts)


def _heading(on_cpu: Source, on_gpu: Source) -> Iterator[str]:
    if on_cpu.path is None:
        yield _NOTHING_MEASURED
        return
    text = (
        f"Each figure is a row of {on_cpu.link}, under the question that stands beside it: {_conditions(on_cpu.results)}. "
        "Medians; after ± stands how far a median is uncertain (95 %). "
    )
    if on_gpu.path is None:
        text += "There was no GPU yet to measure on, and the GPU's lines say so."
    else:
        text += f"The GPU's lines are from {on_gpu.link}: {_conditions(on_gpu.results)}."
    yield textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _conditions(results: Results) -> str:
    seen = [answer.conditions for answer in results.answers.values()]
    first = seen[0]
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items() if name != costs.OURS)
    dates = sorted({conditions["date"][:10] for conditions in seen})
    device = f"{first['gpu']}, CUDA {first['cuda']}" if "gpu" in first else first["cpu"]
    threads = "1 thread" if first["threads"] == 1 else f"{first['threads']} threads"
    rest = [f"Python {first['python']}", versions, " to ".join([dates[0], *dates[1:][-1:]])]
    if first.get("clock") == CPU:
        rest.append("CPU time of the process, as others used the machine")
    if results.quick:
        rest.append("a quick run")
    return ", ".join([f"{results.machine} ({device})", threads, *rest])


# The tables -----------------------------------------------------------------------------------------------------------


def _peer_table(results: Results) -> Iterator[str]:
    yield "| who checks | one call's check (`check`) | `torch.compile(fullgraph=True)` (`traces`) |"
    yield "| --- | --- | --- |"
    for peer in peers.ALL:
        if peer.label != "untyped":
            cost = _peer_cell(results.find("check", check.ONE, peer.label))
            yield f"| {peer.label} | {cost} | {_fullgraph_cell(results.find('traces', traces.FULLGRAPH, peer.label))} |"


def _peer_cell(row: Row | None) -> str:
    if row is None:
        return NOT_YET
    if row.status != MEASURED or row.over is None:
        return f"{row.status}{f': {row.note}' if row.note else ''}"
    if row.ratio and row.ratio.low <= 1.05:
        return "nothing"
    return f"{quantity(row.over.median, 'us')}{f' ({row.note})' if row.note else ''}"


def _fullgraph_cell(row: Row | None) -> str:
    if row is None:
        return NOT_YET
    return "runs" if row.status == MEASURED else row.status


def _reach_table(on_cpu: Results, on_gpu: Results) -> Iterator[str]:
    yield "| what | to reach | measured | | question |"
    yield "| --- | --- | --- | --- | --- |"
    for line in costs.LINES:
        found = line.read(on_gpu if line.gpu else on_cpu)
        mark = {True: "reached", False: "**missed**", None: ""}[found.holds if found else None]
        yield f"| {line.what} | {line.reach} | {found.text if found else NOT_YET} | {mark} | `{line.question}` |"


def _missed(on_cpu: Results, on_gpu: Results) -> Iterator[str]:
    reasons = [
        f"- {line.what}: {found.text}, to reach {line.reach}{_reason(line, on_gpu if line.gpu else on_cpu)}."
        for line in costs.LINES
        if (found := line.read(on_gpu if line.gpu else on_cpu)) and found.holds is False
    ]
    if reasons:
        yield "\n".join(["Missed:", "", *reasons])


def _reason(line: costs.Line, results: Results) -> str:
    why = line.why if isinstance(line.why, str) else line.why(results)
    return f"; {why}" if why else ""


def _details(results: Results) -> Iterator[str]:
    """The rows that the lines above sum up: each layer's call, and the check of each kind of signature."""
    layers = ["| layer (`layers`) | torch's | typed | |", "| --- | --- | --- | --- |"]
    layers += [
        f"| `{case}` | {spread_text(theirs.figure, theirs.unit)} | {spread_text(ours.figure, ours.unit)} | {costs.percent(ours)} |"
        for case, (theirs, ours) in _side_by_side(results, "layers", "untyped", costs.OURS)
    ]
    signatures = [
        f"| what is checked (`check`) | {costs.OURS} | {peers.JAXTYPING.label} |",
        "| --- | --- | --- |",
    ]
    signatures += [
        f"| {case} | {spread_text(ours.over, ours.unit)} | {spread_text(theirs.over, theirs.unit)} |"
        for case, (ours, theirs) in _side_by_side(results, "check", costs.OURS, peers.JAXTYPING.label)
    ]
    for heading, table in (("Every layer's whole call", layers), ("Every kind of signature", signatures)):
        if len(table) > 2:
            yield "\n".join([f"## {heading}", "", *table])


def _side_by_side(results: Results, question: str, *candidates: str) -> Iterator[tuple[str, tuple[Row, ...]]]:
    """The cases that all of these candidates were timed in."""
    answer = results.answers.get(question)
    for case, _ in itertools.groupby(answer.rows if answer else (), key=lambda row: row.case):
        rows = [results.find(question, case, candidate) for candidate in candidates]
        timed = tuple(row for row in rows if row and row.figure)
        if len(timed) == len(candidates):
            yield case, timed


# The file -------------------------------------------------------------------------------------------------------------


def write(cpu: Path | None = None, cuda: Path | None = None, readme: Path = README) -> None:
    """Puts the section between its markers, at the end of the file where it has none yet."""
    text = readme.read_text(encoding="utf-8")
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    readme.write_text(f"{before}{BEGIN}\n\n{summary(cpu, cuda)}\n\n{END}{after}", encoding="utf-8")


def sources_of(text: str) -> list[Path]:
    """The results files that a section names, the CPU's first."""
    named = dict.fromkeys(re.findall(r"\]\((benchmarks/results/[^)]+\.json)\)", text))
    return [ROOT / name for name in named]
