"""The command `shapes`: the source of each function that runs, with the shape of each variable beside it."""

from __future__ import annotations

import argparse
import io
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dimtyped.cli.targets.choice import chosen_sources
from dimtyped.cli.targets.loading import Loader
from dimtyped.cli.targets.members import Member, member_named, members_of
from dimtyped.cli.targets.running import results_of, run_member
from dimtyped.cli.targets.settings import Settings
from dimtyped.cli.targets.sources import Source
from dimtyped.cli.targets.usage import UsageError, counted
from dimtyped.flow.shapes import Margin, Shapes, commented, margins_of, shapes_of


def run(chosen: argparse.Namespace) -> int:
    """Prints the functions of each file with the shapes of their variables, or writes these into the files.

    Returns:
        0; 1 where a run ended in an error, so that what comes after it has no shapes.

    Raises:
        UsageError: What was named is not there, or nothing of it can be run.
    """
    settings, sources = chosen_sources(chosen, "shapes")
    found = list[tuple[Source, list[Margin]]]()
    problems, skipped = list[str](), list[str]()
    loader = Loader()
    try:
        for source in sources:
            if source.names or source.outline.has_candidates:
                margins = margins_in(source, settings, loader, problems, skipped)
                found += [(source, margins)] if margins else []
    finally:
        loader.forget()
    if not found:
        raise UsageError("there is no model or typed function that can be run", "; ".join(skipped))
    for source, margins in found:
        _write(source, margins) if chosen.write_comments else _show(source, margins)
    for line in (*problems, *skipped):
        print(f"dimtyped shapes: {line}", file=sys.stderr)
    return 1 if problems else 0


def margins_in(
    source: Source, settings: Settings, loader: Loader, problems: list[str], skipped: list[str]
) -> list[Margin]:
    """The functions of a file that run; each with the shapes of the largest model that uses it.

    Args:
        source: The file.
        settings: Sizes and arguments.
        loader: Imports it.
        problems: Gets a line for each run that ended in an error.
        skipped: Gets a line for each class or function that cannot be run.

    Raises:
        UsageError: It does not import.
    """
    made: dict[int, Margin] = {}
    with loader.loaded(source) as module:
        for name, shapes in _runs(source, module, settings, skipped):
            if shapes.error:
                problems.append(f"{source.shown}:{name} stopped at {shapes.error}")
            for margin in margins_of(shapes, str(source.file)):
                before = made.get(margin.function.first)
                if before is None or len(before.comments) < len(margin.comments):
                    made[margin.function.first] = margin
    return [made[line] for line in sorted(made)]


def _runs(source: Source, module: Any, settings: Settings, skipped: list[str]) -> Iterator[tuple[str, Shapes]]:
    """A run of each class and function, the last of the file first: it uses those before it."""
    if source.names:
        members = [member_named(module, name, settings, source.shown) for name in source.names]
    else:
        members = list(members_of(module, settings))[::-1]

    def shapes(member: Member) -> Shapes:
        return run_member(member, settings, shapes_of, skip=settings.skip)

    return results_of(source, members, shapes, skipped)


def _show(source: Source, margins: Sequence[Margin]) -> None:
    for margin in margins:
        print(f"{source.shown}:{margin.function.first}: {margin.function.name}")
        print("\n".join(margin.lines), end="\n\n")


def _write(source: Source, margins: Sequence[Margin]) -> None:
    path = Path(source.file)
    content = path.read_bytes()
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    before = content.decode(encoding)
    after = commented(before, margins)
    if after != before:
        path.write_bytes(after.encode(encoding))
    changed = sum(old != new for old, new in zip(before.split("\n"), after.split("\n"), strict=True))
    print(f"{source.shown}: {counted(changed, 'comment')} written")
