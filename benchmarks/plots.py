"""Draws what a results file holds: the cost of a check beside the peers', a training step's time by batch, costs by size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.questions import check, scale
from benchmarks.record import Results, Row
from benchmarks.show import quantity

_OURS, _OTHERS, _INK = "#0b7a75", "#b8bfc6", "#30363d"
_COLOURS = {"dimtyped": _OURS, "dimtyped, reference": "#8fc4bf"}
_MODELS = {"seq2seq": "GRU seq2seq, attention, tied output", "gpt": "small GPT"}
_STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _OTHERS,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
# Inches; at 150 dots an inch a README shows it at its full width, sharp on any screen.
_WIDTH = 8.4


def draw_all(results: Results, stem: Path) -> list[Path]:
    """Draws each plot that the results have figures for, as `<stem>-check.png` and the like."""
    drawn: list[Path] = []
    with mpl.rc_context(_STYLE):
        for name, draw in (("check", _peers), ("step", _steps), ("scale", _growth)):
            figure = draw(results)
            if figure is not None:
                drawn.append(stem.with_name(f"{stem.name}-{name}.png"))
                figure.savefig(drawn[-1], dpi=150, metadata={"Software": None})
    return drawn


def _peers(results: Results) -> Figure | None:
    rows = _timed(results, "check")
    rows = sorted(
        (row for row in rows if row.case == check.ONE and row.over), key=lambda row: row.over.median, reverse=True
    )
    rows = [row for row in rows if row.over.median > 0.01 and row.candidate != "dimtyped, off"]
    if not rows:
        return None
    figure = Figure(figsize=(_WIDTH, 0.42 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    costs = [row.over.median for row in rows]
    colors = [_COLOURS.get(row.candidate, _OTHERS) for row in rows]
    axes.barh([row.candidate for row in rows], costs, color=colors, height=0.66)
    for place, cost in enumerate(costs):
        axes.annotate(quantity(cost, "us"), (cost, place), (6, 0), textcoords="offset points", va="center")
    axes.set_xscale("log")
    axes.set_xlim(_decade_below(min(costs)), max(costs) * 3)
    _plain_ticks(axes.xaxis)
    axes.set_xlabel("cost of checking one call, µs (log scale)")
    axes.set_title("One tensor in, one out, three names: less is better", loc="left", fontsize=12)
    axes.tick_params(axis="y", length=0)
    return figure


def _steps(results: Results) -> Figure | None:
    rows = _timed(results, "step")
    models = list(dict.fromkeys(row.case.partition(",")[0] for row in rows))
    if not models:
        return None
    figure = Figure(figsize=(_WIDTH, 3.4), layout="constrained")
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    for panel, model in zip(panels, models, strict=True):
        _draw_steps(panel, model, [row for row in rows if row.case.startswith(f"{model},")])
    panels[0].set_ylabel("ms a step, median and quartiles\n(log scale)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False)
    figure.suptitle("A training step, typed and untyped, and their ratio", x=0.01, ha="left", fontsize=12)
    return figure


def _draw_steps(axes: Any, model: str, rows: list[Row]) -> None:
    untyped = [row for row in rows if row.candidate == "untyped"]
    typed = [row for row in rows if row.candidate == "dimtyped"]
    for shift, label, color, group in ((-0.2, "untyped", _OTHERS, untyped), (0.2, "dimtyped", _OURS, typed)):
        places = [place + shift for place in range(len(group))]
        heights = [row.figure.median / 1e3 for row in group]
        errors = [
            [(row.figure.median - row.figure.low) / 1e3 for row in group],
            [(row.figure.high - row.figure.median) / 1e3 for row in group],
        ]
        axes.bar(places, heights, 0.38, color=color, label=label, yerr=errors, error_kw={"ecolor": _INK, "lw": 1})
    for place, row in enumerate(typed):
        if row.ratio:
            top = max(row.figure.high, untyped[place].figure.high) / 1e3
            axes.annotate(
                f"{row.ratio.median:.2f}\N{MULTIPLICATION SIGN}",
                (place, top),
                (0, 5),
                textcoords="offset points",
                ha="center",
            )
    axes.set_yscale("log")
    axes.set_ylim(
        _decade_below(min(row.figure.low for row in rows) / 1e3), max(row.figure.high for row in rows) / 1e3 * 1.8
    )
    _plain_ticks(axes.yaxis)
    axes.set_xticks(range(len(typed)), [row.case.rpartition(" ")[2] for row in typed])
    axes.set_xlabel("batch size")
    axes.set_title(_MODELS.get(model, model), fontsize=11)
    axes.tick_params(axis="x", length=0)


def _growth(results: Results) -> Figure | None:
    """Each curve of the question `scale` on two logarithmic axes, where a straight line at 45 degrees is linear."""
    curves = {curve: _points(results, curve) for curve in scale.CURVES}
    if not any(curves.values()):
        return None
    figure = Figure(figsize=(_WIDTH, 5.2), layout="constrained")
    axes = figure.subplots()
    colors = mpl.colormaps["viridis"].resampled(len(curves) + 1)
    for index, (curve, points) in enumerate(curves.items()):
        slope = results.find("scale", curve.exponent, "dimtyped")
        if points and slope is not None:
            label = f"{curve.what} ({slope.value:.2f})"
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3.5, color=colors(index), label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("modules, layers or steps (log scale)")
    axes.set_ylabel("ms (log scale)")
    axes.set_title("Cost by size; in brackets the exponent, 1 is linear", loc="left", fontsize=12)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def _points(results: Results, curve: scale.Curve) -> list[tuple[int, float]]:
    rows = {size: results.find("scale", curve.case(size), "dimtyped") for size in curve.sizes}
    return [(size, row.figure.median / 1e3) for size, row in rows.items() if row is not None and row.figure]


def _plain_ticks(axis: Any) -> None:
    """`1, 2, 5, 10` in place of powers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _decade_below(value: float) -> float:
    return 10 ** math.floor(math.log10(value))


def _timed(results: Results, question: str) -> list[Row]:
    """The rows with a time; of several clocks the first."""
    rows = [row for row in results.rows() if row.question == question and row.figure]
    clock = rows[0].clock if rows else ""
    return [row for row in rows if row.clock == clock]
