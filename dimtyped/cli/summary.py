"""The command `summary`: each model of the targets as a table in names."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from dimtyped.cli.picture import draw
from dimtyped.cli.targets.choice import chosen_sources
from dimtyped.cli.targets.loading import Loader
from dimtyped.cli.targets.members import Member, member_named, members_of
from dimtyped.cli.targets.running import results_of, run_member
from dimtyped.cli.targets.settings import Settings
from dimtyped.cli.targets.sources import Source
from dimtyped.cli.targets.usage import UsageError
from dimtyped.flow.summaries import Summary, summary

Named = tuple[str, Summary]
FORMATS: dict[str, Callable[[Sequence[Named]], str]] = {
    "text": lambda found: "\n\n".join(f"{name}\n{made}" for name, made in found),
    "markdown": lambda found: "\n\n".join(f"## {name}\n\n{made.to_markdown()}" for name, made in found),
    "html": lambda found: "\n".join(f"<h2>{name}</h2>\n{made.to_html()}" for name, made in found),
    "json": lambda found: json.dumps({name: made.to_dict() for name, made in found}, indent=2),
}
"""The forms of what is printed, by name."""


def run(chosen: argparse.Namespace) -> int:
    """Prints the summary of each model that was named, or draws it.

    Returns:
        0.

    Raises:
        UsageError: What was named is not there, or cannot be run.
    """
    settings, sources = chosen_sources(chosen, "summary")
    found, skipped = list[Named](), list[str]()
    loader = Loader()
    try:
        for source in sources:
            if source.names or source.outline.has_candidates:
                found += _of_file(source, settings, loader, chosen.depth, skipped)
    finally:
        loader.forget()
    if not found:
        raise UsageError("there is no model with an annotated forward that can be made", "; ".join(skipped))
    if chosen.graph is not None:
        _draw(found, chosen.graph)
    else:
        _show(found, chosen.format)
    for line in skipped:
        print(f"dimtyped summary: {line}", file=sys.stderr)
    return 0


def _of_file(
    source: Source, settings: Settings, loader: Loader, depth: int | None, skipped: list[str]
) -> Iterator[Named]:
    with loader.loaded(source) as module:
        if source.names:
            members = [member_named(module, name, settings, source.shown) for name in source.names]
        else:
            members = [member for member in members_of(module, settings) if member.is_class]
        found = results_of(source, members, lambda member: _summary(member, settings, depth), skipped)
        yield from ((f"{source.shown}:{name}", made) for name, made in found)


def _summary(member: Member, settings: Settings, depth: int | None) -> Summary:
    is_model = member.is_class or member.arguments is not None or isinstance(member.thing, torch.nn.Module)
    if not member.skipped and not is_model:
        raise UsageError("it is a function, and no model")
    return run_member(member, settings, summary, depth=depth)


def _draw(found: Sequence[Named], file: Path) -> None:
    if len(found) > 1:
        raise UsageError(
            f"--graph draws one model, and there are {len(found)}", f"name it: dimtyped summary {found[0][0]}"
        )
    written = draw(found[0][1], file)
    why = "" if written == file else f": graphviz is not installed, so {file} could not be drawn"
    print(f"{found[0][0]}: {written}{why}")


def _show(found: Sequence[Named], form: str) -> None:
    if form == "text" and sys.stdout.isatty() and _show_with_rich(found):
        return
    print(FORMATS[form](found))


def _show_with_rich(found: Sequence[Named]) -> bool:
    """Shows the tables with rich; False where it is not installed."""
    try:
        from rich.console import Console  # noqa: PLC0415  # an optional package
    except ModuleNotFoundError:
        return False
    console = Console()
    for name, made in found:
        console.print(name, style="bold", markup=False)
        console.print(made)
    return True
