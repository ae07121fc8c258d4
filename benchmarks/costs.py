"""The lines of README's table: each reads its rows from results files, and compares them with its target."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks import gallery, peers
from benchmarks.measure import EVENTS
from benchmarks.questions import (
    check,
    failing,
    first_call,
    flow,
    imports,
    kernels,
    layers,
    memory,
    off,
    parts,
    scale,
    silent_bugs,
    traces,
)
from benchmarks.record import MEASURED, Results, Row, Spread
from benchmarks.show import quantity, spread_text
from benchmarks.workloads import CONTROL

OURS = "dimtyped"
_ROUNDS_TO_ONE = 1.005


@dataclass(frozen=True)
class Found:
    """The outcome of a line's rows. `holds` is None where there is not a target."""

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
    why: str | Callable[[Results], str] = ""


# Reading rows ---------------------------------------------------------------------------------------------------------


def _unmeasured(results: Results, row: Row) -> Found:
    """The outcome of a row without a figure. It is a miss if dimtyped cannot run where the untyped code can."""
    untyped = results.find(row.question, row.case, "untyped")
    is_ours = row.candidate.startswith(OURS) and (untyped is None or untyped.status == MEASURED)
    text = f"{row.candidate}: {row.status}{f', {row.note}' if row.note else ''}"
    return Found(text, False if is_ours else None)


def _over(results: Results, case: str, candidate: str) -> Spread | None:
    """The time that a check adds."""
    row = results.find("check", case, candidate)
    return row.over if row else None


def _cost(beside: str, times: float = 1) -> Callable[[Results], Found | None]:
    """The cost of a check, at most that of another divided by `times`."""

    def read(results: Results) -> Found | None:
        for row in (results.find("check", check.ONE, label) for label in (OURS, beside)):
            if row is not None and row.status != MEASURED:
                return _unmeasured(results, row)
        ours, theirs = (_over(results, check.ONE, label) for label in (OURS, beside))
        if ours is None or theirs is None:
            return None
        factor = theirs.median / ours.median
        times_less = f"{factor:.{0 if factor > 9.5 else 1}f} times less"
        text = f"{spread_text(ours, 'us')} ({beside} {spread_text(theirs, 'us')}: {times_less})"
        return Found(text, ours.median <= theirs.median / times)

    return read


def _each_further(results: Results) -> Found | None:
    one, eight = (_over(results, case, OURS) for case in (check.ONE, check.tensors(8)))
    if one is None or eight is None:
        return None
    each = (eight.median - one.median) / 7
    few, many = (_over(results, case, peers.ASSERTS.label) for case in (check.ONE, check.tensors(8)))
    beside = f" (asserts by hand {quantity((many.median - few.median) / 7, 'us')})" if few and many else ""
    return Found(quantity(each, "us") + beside, each <= 0.2)


def _by_size(results: Results) -> Found | None:
    small, large = (_over(results, case, OURS) for case in (check.ONE, check.LARGE))
    plain, grown = (_over(results, case, peers.ASSERTS.label) for case in (check.ONE, check.LARGE))
    if small is None or large is None:
        return None
    more = large.median - small.median
    beside = f" (asserts by hand {grown.median - plain.median:+.2f} µs)" if plain and grown else ""
    return Found(f"{more:+.2f} µs{beside}", more < 0.01)


def _ratio(question: str, case: str, most: float | None, candidate: str = OURS) -> Callable[[Results], Found | None]:
    """A ratio to the untyped, at most `most`."""

    def read(results: Results) -> Found | None:
        row = results.find(question, case, candidate)
        if row is not None and row.status != MEASURED:
            return _unmeasured(results, row)
        if row is None or row.ratio is None:
            return None
        by_hand = results.find(question, case, peers.ASSERTS.label)
        beside = f", asserts by hand {percent(by_hand)}" if by_hand and by_hand.ratio else ""
        return Found(percent(row) + beside, None if most is None else row.ratio.median <= most)

    return read


def percent(row: Row) -> str:
    """A ratio as what it is beyond the baseline: `+2.7% (±1.0)`."""
    assert row.ratio is not None
    return f"{(row.ratio.median - 1) * 100:+.1f}% (±{row.ratio.margin * 100:.1f})"


def _ratios(
    question: str, pattern: str, most: float | None, candidate: str = OURS
) -> Callable[[Results], Found | None]:
    """The lowest and the highest ratio of the cases that match.

    A case holds if it is at most `most`, or if its median does not differ significantly from another untyped model's.
    """

    def read(results: Results) -> Found | None:
        rows = [row for row in _rows(results, question, candidate) if re.search(pattern, row.case)]
        for row in rows:
            if row.status != MEASURED and (found := _unmeasured(results, row)).holds is False:
                return found
        ratios = _ratios_of(results, question, pattern, candidate)
        if not ratios:
            return None
        again = _ratios_of(results, question, pattern, CONTROL)
        held = most and all(
            ratio.median <= most or ratio.median - ratio.margin <= _highest(again.get(case))
            for case, ratio in ratios.items()
        )
        beside = f" (a second untyped one {_span(again)})" if again else ""
        cases = "1 case" if len(ratios) == 1 else f"{len(ratios)} cases"
        return Found(f"{_span(ratios)} in {cases}{beside}", held)

    return read


def _median_ratio(question: str, pattern: str, most: float) -> Callable[[Results], Found | None]:
    """The median over the cases that match."""

    def read(results: Results) -> Found | None:
        ratios = _ratios_of(results, question, pattern, OURS)
        if not ratios:
            return None
        middle = statistics.median(ratio.median for ratio in ratios.values())
        return Found(f"{middle:.3f} of {len(ratios)} cases", middle <= most)

    return read


def _highest(control: Spread | None) -> float:
    return 1 if control is None else control.median + control.margin


def _ratios_of(results: Results, question: str, pattern: str, candidate: str) -> dict[str, Spread]:
    rows = _rows(results, question, candidate)
    return {row.case: row.ratio for row in rows if row.ratio and re.search(pattern, row.case)}


def _span(ratios: Mapping[str, Spread]) -> str:
    medians = sorted(ratio.median for ratio in ratios.values())
    return f"{medians[0]:.3f} to {medians[-1]:.3f}" if len(medians) > 1 else f"{medians[0]:.3f}"


def _rows(results: Results, question: str, candidate: str) -> list[Row]:
    answer = results.answers.get(question)
    return [row for row in answer.rows if row.candidate == candidate and row.clock != EVENTS] if answer else []


def _figure(question: str, case: str, most: float | None, beside: str = "") -> Callable[[Results], Found | None]:
    """A figure that is related to nothing, at most `most`, with a peer's for comparison."""

    def read(results: Results) -> Found | None:
        row, other = results.find(question, case, OURS), results.find(question, case, beside)
        if row is not None and row.status != MEASURED:
            return _unmeasured(results, row)
        if row is None or (row.figure is None and row.value is None):
            return None
        text = quantity(_amount(row), row.unit)
        if other is not None and other.status == MEASURED:
            text += f" ({beside} {quantity(_amount(other), other.unit)})"
        return Found(text, None if most is None else _amount(row) <= most)

    return read


def _parts(*names: str) -> Callable[[Results], str]:
    """The cost of the parts that every check needs, measured by themselves."""

    def read(results: Results) -> str:
        rows = {name: results.find("parts", parts.PARTS, name) for name in names}
        costs = {name: row.over.median for name, row in rows.items() if row and row.over}
        listed = ", ".join(f"{name} {quantity(cost, 'us')}" for name, cost in costs.items())
        return f"read by themselves and from warm caches, {listed} (`parts`)" if listed else ""

    return read


def _import(results: Results) -> Found | None:
    """With what it is where the garbage collector goes through all of torch's objects in the meantime."""
    found = _figure("imports", imports.IMPORT, 80, peers.JAXTYPING.label)(results)
    row = results.find("imports", imports.UNCOLLECTED, OURS)
    if found is None or row is None or row.figure is None:
        return found
    return Found(f"{found.text}; {quantity(row.figure.median, row.unit)} if a garbage collection is due", found.holds)


def _amount(row: Row) -> float:
    return row.figure.median if row.figure else float(row.value or 0)


def _same_traces(results: Results) -> Found | None:
    """Never more than the untyped model's; fewer operations where torch's own argument checks are traced no more."""
    texts: list[str] = []
    held = True
    by_model: dict[str, list[tuple[Row, Row]]] = {}
    for row in _rows(results, "traces", OURS):
        plain = results.find("traces", row.case, "untyped")
        if plain is not None and row.case != traces.FULLGRAPH:
            by_model.setdefault(row.case.partition(":")[0], []).append((row, plain))
    for model, pairs in by_model.items():
        ours, theirs = (", ".join(str(row.value) for row in rows) for rows in zip(*pairs, strict=True))
        texts.append(f"{model} {ours} (untyped {theirs})")
        held = held and all(_amount(row) <= _amount(plain) for row, plain in pairs)
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
        rows = [row for row in _rows(results, "kernels", OURS) if pattern in row.case]
        if not rows:
            return None
        plain = {row.case: row.value for row in _rows(results, "kernels", "untyped")}
        held = [row for row in rows if row.value is True or row.value == plain.get(row.case)]
        return Found(f"{len(held)} of {len(rows)} cases", len(held) == len(rows))

    return read


def _exponent(case: str, largest: str, most: float) -> Callable[[Results], Found | None]:
    """A figure at the largest size, and the exponent up to there: at most `most`, or not above the untyped one's."""

    def read(results: Results) -> Found | None:
        slope, row = results.find("scale", case, OURS), results.find("scale", largest, OURS)
        if slope is None or row is None:
            return None
        plain = results.find("scale", case, "untyped")
        beside = f"; untyped {_amount(plain):.2f}" if plain is not None else ""
        holds = _amount(slope) <= max(most, _amount(plain) if plain is not None else 0)
        text = f"{quantity(_amount(row), row.unit)}, exponent {_amount(slope):.2f}{beside}"
        return Found(text, holds)

    return read


def _each_beyond(curve: scale.Curve, most: float) -> Callable[[Results], Found | None]:
    """What each takes beyond a plain one, where a curve has most of them."""

    def read(results: Results) -> Found | None:
        count = curve.sizes[-1]
        rows = [results.find("scale", curve.case(count), label) for label in (OURS, "untyped")]
        ours, plain = (_amount(row) / count if row else None for row in rows)
        if ours is None or plain is None:
            return None
        return Found(f"{quantity(ours - plain, 'us')} (the plain one {quantity(plain, 'us')})", ours - plain <= most)

    return read


def _curves() -> Iterator[Line]:
    for curve in scale.CURVES:
        largest = curve.case(curve.sizes[-1])
        yield Line(largest, "linear", "scale", _exponent(curve.exponent, largest, curve.most), why=curve.why)
    for signature in scale.SIGNATURES:
        for what in scale.OF_FUNCTIONS:
            largest = scale.of_functions(signature, what, scale.FUNCTIONS[-1])
            case = scale.exponent_of_functions(signature, what)
            yield Line(largest, "linear", "scale", _exponent(case, largest, 1.2), why=scale.OF_COLLECTIONS)


def _silent_bugs(tool: str) -> Callable[[Results], Found | None]:
    """How many a tool finds, how many right twins it objects to, and its time."""
    count = len(gallery.EXAMPLES)

    def read(results: Results) -> Found | None:
        cases = (silent_bugs.missed(count), silent_bugs.false(count), silent_bugs.seconds(count))
        rows = [row for row in (results.find("silent_bugs", case, tool) for case in cases) if row is not None]
        if len(rows) < len(cases):
            return None
        if rows[0].status != MEASURED:
            return _unmeasured(results, rows[0])
        missed, false, took = map(_amount, rows)
        text = f"{count - missed:.0f} found, {false:.0f} right twins with a finding, {quantity(took, rows[2].unit)}"
        return Found(text, false == 0 if tool.startswith(OURS) else None)

    return read


# The lines ------------------------------------------------------------------------------------------------------------

_SMALL = "|".join(re.escape(str(case)) for case in layers.SMALL)
LINES = (
    Line(
        "one tensor in, one out",
        "at most 0.8 of asserts by hand",
        "check",
        _cost(peers.ASSERTS.label, times=1.25),
        why=_parts(parts.TYPE, parts.DTYPE, parts.SHAPE),
    ),
    Line("the same", "1/30 of jaxtyping + beartype", "check", _cost(peers.JAXTYPING.label, times=30)),
    Line("the same", "1/30 of dltype", "check", _cost(peers.DLTYPE.label, times=30)),
    Line(
        "each further tensor",
        "at most 0.2 µs",
        "check",
        _each_further,
        why=_parts(parts.TYPE, parts.DTYPE, parts.SHAPE),
    ),
    Line(
        "sizes 64, 512, 768 in place of 2, 3, 4",
        "nothing",
        "check",
        _by_size,
        why="Python makes each int above 256 anew when a shape is read, and compares two such by value",
    ),
    *(
        Line(
            f"`{case}`",
            f"+{case.reach}%",
            "layers",
            _ratio("layers", str(case), 1 + case.reach / 100),
            why="" if case.checks_after_error else _parts(parts.TYPE, parts.SHAPE, parts.ATTRIBUTE),
        )
        for case in layers.PROMISED
    ),
    Line(
        layers.TIED,
        "+5%",
        "layers",
        _ratio("layers", layers.TIED, 1.05),
        why="it gets its weight from the embedding at each call, and Linear has one of its own",
    ),
    Line(
        "each layer's smallest calls, times torch's",
        "at most 1.05",
        "layers",
        _ratios("layers", _SMALL, 1.05),
        why="a loss of classes reads two attributes of its call, to know whether its check can wait for torch's error",
    ),
    Line(
        "their median",
        "at most 1.01",
        "layers",
        _median_ratio("layers", _SMALL, 1.01),
        why=_parts(parts.TYPE, parts.SHAPE, parts.ATTRIBUTE),
    ),
    Line("training steps, times the untyped", "", "step", _ratios("step", "", None)),
    Line("the same under autocast to bfloat16", "", "autocast", _ratios("autocast", "", None)),
    Line(
        "greedy decode, batch 1, times the untyped",
        "at most 1.03",
        "decode",
        _ratios("decode", "batch 1$", 1.03),
        why="at batch 1 an operator takes a few microseconds, and a check of an annotated method some tenths of one",
    ),
    Line("compiled: graphs, operations, breaks", "at most the untyped model's", "traces", _same_traces),
    Line(
        "compiled: time of the models, times the untyped",
        "1.00",
        "compiled",
        _ratios("compiled", "forward|decode|step", _ROUNDS_TO_ONE),
        why="torch guards the function behind each kind of check, and the names and sizes of each annotated module, on each "
        "compiled call however large the model; the page on how it works counts these guards",
    ),
    Line("operators that a step or a decoding runs", "the untyped model's", "kernels", _facts(kernels.SAME)),
    Line("off", "identity", "off", _identity),
    Line(
        "off: a training step, times the untyped",
        "1.00",
        "off",
        _ratios("off", "step", _ROUNDS_TO_ONE, off.OFF),
        why="switched off, a step runs not one Python call more than torch's; equal models differ by where their memory lies",
    ),
    Line(
        "`import dimtyped` after torch",
        "at most 80 ms",
        "imports",
        _import,
        why="the goal is from a machine on which jaxtyping + beartype take 64 ms",
    ),
    Line(
        "decorating a function",
        "at most 50 µs",
        "first_call",
        _figure("first_call", first_call.DECORATION, 50, peers.JAXTYPING.label),
        why="the goal is from a machine on which asserts by hand take 0.37 µs",
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
        memory.anew(10_000),
        "at most 1 MB",
        "memory",
        _figure("memory", memory.anew(10_000), 1, peers.JAXTYPING.label),
    ),
    Line(
        "a closure defined anew and called, beyond the plain one",
        "at most 30 µs",
        "scale",
        _each_beyond(scale.ANEW, 30),
        why="the goal is from a machine on which asserts by hand check one tensor in 0.49 µs",
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
    Line(
        "`check` of a GPT on meta, times a bare run on fake tensors",
        "at most 10",
        "flow",
        _ratios("flow", "^check", 10),
    ),
    Line(flow.checked(12), "at most 3 s", "flow", _figure("flow", flow.checked(12), 3e6)),
    Line(flow.memory(12), "at most 1 GB", "flow", _figure("flow", flow.memory(12), 1000)),
    Line(
        "a training step within `watch`, times the untyped",
        "at most 30",
        "flow",
        _ratios("flow", "^watch", 30, flow.WATCHED),
    ),
    *_curves(),
    *(
        Line(
            f"{len(gallery.EXAMPLES)} silent bugs and their right twins: {tool.label}",
            "no false alarm" if tool is silent_bugs.OURS else "",
            "silent_bugs",
            _silent_bugs(tool.label),
        )
        for tool in silent_bugs.TOOLS
    ),
    Line("GPU: training steps of the seq2seq", "+1%", "step", _ratios("step", "seq2seq", 1.01), gpu=True),
    Line("GPU: greedy decode, batch 1", "+3%", "decode", _ratios("decode", "batch 1$", 1.03), gpu=True),
    Line(
        "GPU: compiled, CUDA graphs too",
        "1.00",
        "compiled",
        _ratios("compiled", "forward|decode|step", _ROUNDS_TO_ONE),
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
    Line("GPU: synchronizations", "none added", "kernels", _facts(kernels.SYNCS), gpu=True),
    Line("GPU: peak memory", "the untyped model's", "kernels", _facts(kernels.PEAK), gpu=True),
)
