"""The demo's output, with rich: training, a sample, three mistakes, and the cost of the checks."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress_bar import ProgressBar
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from dimtyped import dims
from dimtyped.cli.demo import cost, mistakes, training
from dimtyped.cli.demo.model import Seq2Seq
from dimtyped.cli.demo.text import Corpus, read_text, split, without_vowels
from dimtyped.runtime import mode

MILESTONES = 8
SAMPLES = 6
EMBED, HIDDEN = 64, 128


def demo(path: Path | None, steps: int) -> None:
    """Runs the demo.

    Args:
        path: The user's text; None means Python's language reference.
        steps: The number of batches to train on.

    Raises:
        TextError: nothing can be learned from the text.
    """
    corpus = split(read_text(path))
    torch.set_num_threads(1)  # the model is small: a second thread costs more than it gives
    torch.manual_seed(0)  # type: ignore[no-untyped-call]  # torch's own argument has no type
    task = training.Task(corpus)
    model = Seq2Seq(*dims(vocab=task.vocab, embed=EMBED, hidden=HIDDEN))
    screen = Screen()
    screen.introduce(model, corpus, path)
    screen.follow(training.train(model, task, steps), steps)
    screen.show_sample(model, task)
    screen.show_mistakes(model, task)
    screen.show_cost(cost.measure(model, task))


class Screen:
    """The console, without markup, so that the brackets in an error stay."""

    def __init__(self) -> None:
        output: Any = sys.stdout
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="replace")  # a pipe may not accept all of Unicode
        self.console = Console(markup=False, highlight=False, emoji=False)

    def introduce(self, model: Seq2Seq, corpus: Corpus, path: Path | None) -> None:
        """Prints the task and the model."""
        self._heading("A GRU encoder-decoder with attention and a tied output, typed")
        source = "Python's language reference" if path is None else str(path)
        example = corpus.held[0]
        self.console.print(f"reads   a phrase without its vowels, {without_vowels(example)!r}, and writes {example!r}")
        self.console.print(f"text    {source}: {len(corpus.train)} phrases to learn from, {len(corpus.held)} held out")
        if mode() != "on":
            self.console.print(f"mode    DIMTYPED={mode()}", style="yellow")
        self.console.print()
        self.console.print(Padding(Text(str(model.decoder)), (0, 4)))

    def follow(self, losses: Iterator[float], steps: int) -> None:
        """Prints the training: a progress bar if there is a terminal, and a line now and then."""
        self._heading(f"Training: {steps} steps of {training.BATCH} phrases")
        first = last = 0.0
        shown = milestones(steps)
        loss = TextColumn("loss {task.fields[loss]:>5}", markup=False)
        columns = (loss, BarColumn(None), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as progress:
            bar = progress.add_task("", total=steps, loss="")
            for step, last in enumerate(losses, start=1):
                first = first or last
                progress.update(bar, advance=1, loss=f"{last:.3f}")
                if step in shown:
                    self.console.print(_loss_line(step, last, first))
        self.console.print()
        self.console.print(f"loss {first:.2f} -> {last:.2f}", style="bold")

    def show_sample(self, model: Seq2Seq, task: training.Task) -> None:
        """Prints phrases that the model has never seen, as it restores them."""
        held = task.corpus.held[:256]
        written = task.restore(model, held)
        share = training.words_right(held, written)
        self._heading(f"Phrases it has never seen: {share:.0%} of the words restored exactly")
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0))
        for name in ("read", "written", "was"):
            table.add_column(name)
        for phrase, guess in list(zip(held, written, strict=True))[:SAMPLES]:
            table.add_row(without_vowels(phrase), Text(guess, "green" if guess == phrase else ""), phrase)
        self.console.print(table)

    def show_mistakes(self, model: Seq2Seq, task: training.Task) -> None:
        """Prints each mistake as code, with dimtyped's error and torch's."""
        self._heading("Three mistakes, caught by name")
        source, tokens = task.batch(0)
        for number, mistake in enumerate(mistakes.MISTAKES, start=1):
            typed, plain = mistakes.both(mistake, model, source, tokens)
            self.console.print(f"{number}. {mistake.title}", style="bold")
            self.console.print(_code(mistake.code))
            self.console.print(_panel(typed))
            self.console.print(Padding(Text(f"torch.nn alone: {_in_short(plain)}", "dim"), (0, 2, 1, 2)))

    def show_cost(self, measured: cost.Cost) -> None:
        """Prints the measured cost in one line."""
        self._heading("What the checks cost")
        times = f"{measured.checked:.1f} ms with the checks, {measured.unchecked:.1f} ms without"
        self.console.print(f"training step: {times}: {measured.added:+.1%}", style="bold")
        quartiles = f"{measured.low:+.1%} and {measured.high:+.1%}"
        self.console.print(
            f"medians of {cost.PAIRS} pairs of steps; half the pairs lie between {quartiles}", style="dim"
        )

    def _heading(self, text: str) -> None:
        self.console.print()
        self.console.rule(Text(text, "bold cyan"), align="left", style="cyan")


def milestones(steps: int) -> set[int]:
    """The steps to show: the first, the last, and some between."""
    return {1 + round((steps - 1) * part / (MILESTONES - 1)) for part in range(MILESTONES)}


def _loss_line(step: int, loss: float, most: float) -> Table:
    bar = ProgressBar(total=most, completed=min(loss, most), width=40, complete_style="cyan", finished_style="cyan")
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_row(f"step {step:>4}", f"{loss:.2f}", bar)
    return line


def _code(lines: str) -> Syntax:
    return Syntax(lines, "python", line_numbers=True, theme="ansi_dark", background_color="default")


def _panel(outcome: mistakes.Outcome | None) -> Panel:
    if outcome is None:
        return Panel(Text("nothing was raised"), border_style="yellow")
    title = Text(f"line {outcome.line}: {outcome.kind}", "bold red")
    return Panel(_wrapped(outcome.text), title=title, title_align="left", border_style="red")


def _wrapped(text: str) -> Group:
    """The text, with long lines wrapped at their own indentation."""
    lines = [(line.lstrip(), len(line) - len(line.lstrip())) for line in text.splitlines()]
    return Group(*(Padding(Text(line), (0, 0, 0, indent)) for line, indent in lines))


def _in_short(outcome: mistakes.Outcome | None) -> str:
    if outcome is None:
        return "nothing is raised"
    return f"line {outcome.line}, {outcome.kind}: {outcome.text.splitlines()[0]}"
