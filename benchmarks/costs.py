"""Writes README's section "What it costs" from results files: no figure in it comes from anywhere else."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import peers
from benchmarks.measure import CPU, EVENTS
from benchmarks.questions import check, failing, first_call, imports, kernels, layers, memory, off, traces
from benchmarks.record import MEASURED, Results, Row, Spread
from benchmarks.show import quantity, spread_text

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- costs:begin -->", "<!-- costs:end -->"
NOT_YET = "not measured yet"
_OURS = "dimtyped"
_ROUNDS_TO_ONE = 1.005


@dataclass(frozen=True)
class Found:
    """What a line's rows say. `holds` is None where nothing was promised."""

    text: str
    holds: bool | None = None


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Args:
        what: What was measured.
        reach: What was to be reached.
        question: The question whose rows it reads.
        read: Reads them; None where they are not there.
        gpu: Whether they are a GPU's. Default: False.
        why: What to say where it is missed.
    """

    what: str
    reach: str
    question: str
    read: Callable[[Results], Found | None]
    gpu: bool = False
    why: str = ""


# Reading rows ---------------------------------------------------------------------------------------------------------


def _over(results: Results, case: str, candidate: str) -> Spread | None:
    """What a check adds."""
    row = results.find("check", case, candidate)
    return row.over if row else None


def _cost(beside: str, times: float = 1) -> Callable[[Results], Found | None]:
    """The cost of a check, at most that of another divided by `times`."""

    def read(results: Results) -> Found | None:
        ours, theirs = (_over(results, check.ONE, label) for label in (_OURS, beside))
        if ours is None or theirs is None:
            return None
        factor = theirs.median / ours.median
        text = f"{spread_text(ours, 'us')} against {spread_text(theirs, 'us')}: {factor:.{0 if factor > 9.5 else 1}f} times less"
        return Found(text, ours.median <= theirs.median / times)

    return read


def _each_further(results: Results) -> Found | None:
    one, eight = (_over(results, case, _OURS) for case in (check.ONE, check.tensors(8)))
    if one is None or eight is None:
        return None
    each = (eight.median - one.median) / 7
    return Found(quantity(each, "us"), each <= 0.2)


def _by_size(results: Results) -> Found | None:
    small, large = (_over(results, case, _OURS) for case in (check.ONE, check.LARGE))
    plain, grown = (_over(results, case, peers.ASSERTS.label) for case in (check.ONE, check.LARGE))
    if small is None or large is None:
        return None
    more = large.median - small.median
    beside = f" (asserts by hand {grown.median - plain.median:+.2f} µs)" if plain and grown else ""
    return Found(f"{more:+.2f} µs{beside}", more < 0.01)


def _ratio(question: str, case: str, most: float | None, candidate: str = _OURS) -> Callable[[Results], Found | None]:
    """A ratio to the untyped, at most `most`."""

    def read(results: Results) -> Found | None:
        row = results.find(question, case, candidate)
        if row is None or row.ratio is None:
            return None
        return Found(_percent(row), None if most is None else row.ratio.median <= most)

    return read


def _percent(row: Row) -> str:
    assert row.ratio is not None
    return f"{(row.ratio.median - 1) * 100:+.1f}% (±{(row.ratio.high - row.ratio.low) * 50:.1f})"


def _ratios(
    question: str, pattern: str, most: float | None, candidate: str = _OURS
) -> Callable[[Results], Found | None]:
    """The lowest and the highest ratio of the cases that match: each at most `most`, or not told from 1 by its quartiles."""

    def read(results: Results) -> Found | None:
        rows = [row for row in _rows(results, question, candidate) if row.ratio and re.search(pattern, row.case)]
        ratios = sorted(row.ratio.median for row in rows if row.ratio)
        if not ratios:
            return None
        held = most and all(row.ratio.median <= most or row.ratio.low <= 1 for row in rows if row.ratio)
        span = f"{ratios[0]:.3f} to {ratios[-1]:.3f} in {len(ratios)} cases" if len(ratios) > 1 else f"{ratios[0]:.3f}"
        return Found(span, held)

    return read


def _rows(results: Results, question: str, candidate: str) -> list[Row]:
    answer = results.answers.get(question)
    return [row for row in answer.rows if row.candidate == candidate and row.clock != EVENTS] if answer else []


def _figure(question: str, case: str, most: float | None, beside: str = "") -> Callable[[Results], Found | None]:
    """A figure that is related to nothing, at most `most`, with a peer's for comparison."""

    def read(results: Results) -> Found | None:
        row, other = results.find(question, case, _OURS), results.find(question, case, beside)
        if row is None or (row.figure is None and row.value is None):
            return None
        text = quantity(_amount(row), row.unit)
        if other is not None and other.status == MEASURED:
            text += f" ({beside} {quantity(_amount(other), other.unit)})"
        return Found(text, None if most is None else _amount(row) <= most)

    return read


def _amount(row: Row) -> float:
    return row.figure.median if row.figure else float(row.value or 0)


def _same_traces(results: Results) -> Found | None:
    """Never more than the untyped model's; fewer operations where torch's own argument checks are traced no more."""
    texts: list[str] = []
    held = True
    for row in _rows(results, "traces", _OURS):
        plain = results.find("traces", row.case, "untyped")
        if plain is None or isinstance(row.value, bool | str | None) or isinstance(plain.value, bool | str | None):
            continue
        held = held and row.value <= plain.value
        texts.append(f"{row.case.replace(':', '')} {row.value} of {plain.value}")
    return Found("; ".join(texts), held) if texts else None


def _identity(results: Results) -> Found | None:
    function = results.find("off", off.FUNCTION, off.OFF)
    layers_off = results.find("off", off.LAYERS, off.OFF)
    if function is None or layers_off is None:
        return None
    same, _, all_of_them = str(layers_off.value).partition(" of ")
    return Found(
        f"`typed(f) is f`: {function.value}; {off.LAYERS}: {layers_off.value}",
        function.value is True and same == all_of_them,
    )


def _facts(pattern: str) -> Callable[[Results], Found | None]:
    """Facts of the question `kernels`: each must hold, or be what the untyped model's is."""

    def read(results: Results) -> Found | None:
        rows = [row for row in _rows(results, "kernels", _OURS) if pattern in row.case]
        if not rows:
            return None
        plain = {row.case: row.value for row in _rows(results, "kernels", "untyped")}
        held = [row for row in rows if row.value is True or row.value == plain.get(row.case)]
        return Found(f"{len(held)} of {len(rows)} cases", len(held) == len(rows))

    return read


# The lines ------------------------------------------------------------------------------------------------------------

_LINEAR, _EMBEDDING, _GRU = (str(case) for case in layers.SMALLEST)
_LINES = (
    Line("one tensor in, one out", "at most asserts by hand", "check", _cost(peers.ASSERTS.label)),
    Line("the same", "1/30 of jaxtyping + beartype", "check", _cost(peers.JAXTYPING.label, times=30)),
    Line("the same", "1/30 of dltype", "check", _cost(peers.DLTYPE.label, times=30)),
    Line("each further tensor", "at most 0.2 µs", "check", _each_further),
    Line(
        "sizes 64, 512, 768 in place of 2, 3, 4",
        "nothing",
        "check",
        _by_size,
        why="Python makes each int above 256 anew when a shape is read, and compares two such by value",
    ),
    Line(f"`{_LINEAR}`", "+8%", "layers", _ratio("layers", _LINEAR, 1.08)),
    Line(f"`{_EMBEDDING}`", "+10%", "layers", _ratio("layers", _EMBEDDING, 1.10)),
    Line(f"`{_GRU}`", "+2%", "layers", _ratio("layers", _GRU, 1.02)),
    Line(layers.TIED, "+8%", "layers", _ratio("layers", layers.TIED, 1.08)),
    Line("training steps, times the untyped", "", "step", _ratios("step", "", None)),
    Line("greedy decode, batch 1, times the untyped", "", "decode", _ratios("decode", "batch 1$", None)),
    Line("compiled: graphs, operations, breaks", "the untyped model's", "traces", _same_traces),
    Line(
        "compiled: time of the models, times the untyped",
        "1.00",
        "compiled",
        _ratios("compiled", "forward|step", _ROUNDS_TO_ONE),
        why="a check becomes guards, which cost some microseconds a compiled call however large the model",
    ),
    Line("operators that a step or a decoding runs", "the untyped model's", "kernels", _facts(kernels.SAME)),
    Line("off", "identity", "off", _identity),
    Line("off: a training step, times the untyped", "1.00", "off", _ratios("off", "step", _ROUNDS_TO_ONE, off.OFF)),
    Line("`import dimtyped` after torch", "at most 80 ms", "imports", _figure("imports", imports.IMPORT, 80)),
    Line(
        "decorating a function",
        "at most 50 µs",
        "first_call",
        _figure("first_call", first_call.DECORATION, 50, peers.JAXTYPING.label),
    ),
    Line(
        "its first call, beyond later ones", "at most 1 ms", "first_call", _figure("first_call", first_call.FIRST, 1000)
    ),
    Line(
        memory.case(10_000),
        "at most 100 MB",
        "memory",
        _figure("memory", memory.case(10_000), 100, peers.JAXTYPING.label),
    ),
    Line(
        "from a wrong call to its text",
        "",
        "failing",
        _figure("failing", failing.FUNCTION, None, peers.JAXTYPING.label),
    ),
    Line(
        "`DIMTYPED=values`, an embedding of 8 by 64 ids",
        "",
        "values",
        _ratio("values", "Embedding(32000, 256) on (8, 64)", None, "dimtyped, values"),
    ),
    Line("GPU: training steps of the seq2seq", "+1%", "step", _ratios("step", "seq2seq", 1.01), gpu=True),
    Line("GPU: greedy decode, batch 1", "+3%", "decode", _ratios("decode", "batch 1$", 1.03), gpu=True),
    Line(
        "GPU: compiled, CUDA graphs too",
        "1.00",
        "compiled",
        _ratios("compiled", "forward|step", _ROUNDS_TO_ONE),
        gpu=True,
    ),
    Line(
        "GPU: captured by hand in a CUDA graph",
        "1.00",
        "cuda_graphs",
        _ratios("cuda_graphs", "", _ROUNDS_TO_ONE),
        gpu=True,
    ),
    Line("GPU: under autocast", "+1%", "autocast", _ratios("autocast", "", 1.01), gpu=True),
    Line("GPU: kernels", "the untyped model's", "kernels", _facts(kernels.SAME), gpu=True),
    Line("GPU: synchronisations", "none added", "kernels", _facts(kernels.SYNCS), gpu=True),
    Line("GPU: peak memory", "the untyped model's", "kernels", _facts(kernels.PEAK), gpu=True),
)


# The section ----------------------------------------------------------------------------------------------------------


def section(cpu: Path, cuda: Path | None = None) -> str:
    """The section's text.

    Args:
        cpu: The results of a run on the CPU.
        cuda: Those of a run on a GPU. Default: none yet.
    """
    on_cpu, on_gpu = Results.load(cpu), Results.load(cuda) if cuda else None
    parts = [
        "## What it costs",
        _heading(on_cpu, cpu, on_gpu, cuda),
        "\n".join(_peer_table(on_cpu)),
        _image(cpu, "check", "The cost of one check beside the peers, on a logarithmic axis"),
        "\n".join(_reach_table(on_cpu, on_gpu)),
        *_missed(on_cpu, on_gpu),
        _image(cpu, "step", "The time of a training step, typed beside untyped, by batch size"),
        "`python -m benchmarks` (extra `[bench]`) measures all this anew, `--quick` in under three minutes;\n"
        "`python -m benchmarks --compare OLD.json NEW.json` says what got slower beyond its spread. The demo ends with what the\n"
        "checks add to its own training step on your machine.",
    ]
    return "\n\n".join(parts)


def _heading(on_cpu: Results, cpu: Path, on_gpu: Results | None, cuda: Path | None) -> str:
    text = f"Each figure is a row of {_link(cpu)}, under the question that stands beside it: {_conditions(on_cpu)}."
    if on_gpu is None or cuda is None:
        gpu = "There was no GPU yet to measure on, and the GPU's lines say so."
    else:
        gpu = f"The GPU's lines are from {_link(cuda)}: {_conditions(on_gpu)}."
    spread = "Medians; after ± stands half the distance between the quartiles."
    return "\n".join(
        textwrap.fill(part, 120, break_long_words=False, break_on_hyphens=False) for part in (f"{text} {spread}", gpu)
    )


def _conditions(results: Results) -> str:
    seen = [answer.conditions for answer in results.answers.values()]
    first = seen[0]
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items() if name != _OURS)
    dates = sorted({conditions["date"][:10] for conditions in seen})
    device = first.get("gpu", first["cpu"])
    threads = "1 thread" if first["threads"] == 1 else f"{first['threads']} threads"
    rest = [f"Python {first['python']}", versions, " to ".join([dates[0], *dates[1:][-1:]])]
    if first.get("clock") == CPU:
        rest.append("CPU time of the process, as others used the machine")
    if results.quick:
        rest.append("a quick run")
    return ", ".join([f"{results.machine} ({device})", threads, *rest])


def _link(path: Path) -> str:
    relative = Path(os.path.relpath(path.resolve(), ROOT)).as_posix()
    return f"[`{relative}`]({relative})"


def _image(cpu: Path, name: str, text: str) -> str:
    relative = Path(os.path.relpath(cpu.resolve(), ROOT)).with_suffix("").as_posix()
    return f"![{text}]({relative}-{name}.png)"


def _peer_table(results: Results) -> Iterator[str]:
    yield "| who checks | one call's check (`check`) | `torch.compile(fullgraph=True)` (`traces`) |"
    yield "| --- | --- | --- |"
    for peer in peers.ALL:
        row, traced = (
            results.find(*where, peer.label) for where in (("check", check.ONE), ("traces", traces.FULLGRAPH))
        )
        if peer.label != "untyped" and row is not None:
            yield f"| {peer.label} | {_peer_cell(row)} | {_fullgraph_cell(traced)} |"


def _peer_cell(row: Row) -> str:
    if row.status != MEASURED or row.over is None:
        return f"{row.status}{f': {row.note}' if row.note else ''}"
    if row.ratio and row.ratio.low <= 1.05:
        return "nothing"
    return f"{quantity(row.over.median, 'us')}{f' ({row.note})' if row.note else ''}"


def _fullgraph_cell(row: Row | None) -> str:
    if row is None:
        return NOT_YET
    if row.status == MEASURED:
        return "runs"
    return row.status


def _reach_table(on_cpu: Results, on_gpu: Results | None) -> Iterator[str]:
    yield "| what | to reach | measured | | question |"
    yield "| --- | --- | --- | --- | --- |"
    for line in _LINES:
        found = _found(line, on_cpu, on_gpu)
        mark = {True: "reached", False: "**missed**", None: ""}[found.holds if found else None]
        yield f"| {line.what} | {line.reach} | {found.text if found else NOT_YET} | {mark} | `{line.question}` |"


def _found(line: Line, on_cpu: Results, on_gpu: Results | None) -> Found | None:
    results = on_gpu if line.gpu else on_cpu
    return line.read(results) if results is not None else None


def _missed(on_cpu: Results, on_gpu: Results | None) -> Iterator[str]:
    missed = [(line, found) for line in _LINES if (found := _found(line, on_cpu, on_gpu)) and found.holds is False]
    if missed:
        reasons = [
            f"- {line.what}: {found.text}, to reach {line.reach}{f'; {line.why}' if line.why else ''}."
            for line, found in missed
        ]
        yield "\n".join(["Missed:", "", *reasons])


def write_readme(cpu: Path, cuda: Path | None = None, readme: Path = README) -> None:
    """Puts the section between its markers, at the end of the file where it has none yet."""
    text = readme.read_text(encoding="utf-8")
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    readme.write_text(f"{before}{BEGIN}\n{section(cpu, cuda)}\n{END}{after}", encoding="utf-8")


def sources_of(text: str) -> list[Path]:
    """The results files that a section names, the CPU's first."""
    named = dict.fromkeys(re.findall(r"\]\((benchmarks/results/[^)]+\.json)\)", text))
    return [ROOT / name for name in named]
