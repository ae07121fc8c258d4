"""The command `annotate`: runs what is named, and shows as a diff, or writes, the annotations of what it called."""

from __future__ import annotations

import argparse
import difflib
import io
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path

from dimtyped.cli.annotate.editing import UnreadableError, annotated
from dimtyped.cli.annotate.inputs import inputs_of
from dimtyped.cli.annotate.running import Running
from dimtyped.cli.check.command import has_colors
from dimtyped.cli.targets.choice import chosen_sources
from dimtyped.cli.targets.loading import Loader
from dimtyped.cli.targets.members import members_of
from dimtyped.cli.targets.settings import Settings
from dimtyped.cli.targets.sources import Source, shown_path
from dimtyped.cli.targets.usage import UsageError, counted
from dimtyped.flow import error_text
from dimtyped.flow.annotating import Observer, Proposal

_COLORS = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m"}
_NOTHING_RUNS = (
    "nothing of it can be run as it is",
    "name a model and its inputs: model.py:GPT --input 'tokens=int64[4,16]', or a function that runs it: train.py:main",
)


def run(chosen: argparse.Namespace) -> int:
    """Prints annotations for the functions that runs call, as a diff, or writes them into the files.

    Returns:
        0; 1 where a run ended in an error.

    Raises:
        UsageError: What was named is not there, or cannot be run as it was given, or a file cannot be parsed.
    """
    settings, sources = chosen_sources(chosen, "annotate")
    if chosen.input and not any(source.names for source in sources):
        raise UsageError("--input is for one model", "name it: dimtyped annotate model.py:GPT --input ...")
    roots = [*(source.root for source in sources), Path.cwd()]
    observer = Observer(lambda file: _is_in(file, roots), settings.skip)
    problems, skipped = list[str](), list[str]()
    ran, loader = 0, Loader()
    try:
        for source in sources:
            if source.names or source.outline.has_candidates:
                ran += _run_file(source, settings, chosen.input, loader, observer, problems, skipped)
    finally:
        loader.forget()
    if not ran and not problems:
        problem, hint = _NOTHING_RUNS
        raise UsageError(problem, "; ".join([*skipped, hint]))
    _finish(observer.proposals, [*problems, *skipped], is_writing=chosen.write)
    return 1 if problems else 0


def _is_in(file: str, folders: Sequence[Path]) -> bool:
    """True of a file in one of these folders, and in no installed package."""
    path = Path(file)
    is_installed = not {"site-packages", "dist-packages"}.isdisjoint(path.parts)
    return not (file.startswith("<") or is_installed) and any(path.is_relative_to(folder) for folder in folders)


def _run_file(
    source: Source,
    settings: Settings,
    inputs: Sequence[str],
    loader: Loader,
    observer: Observer,
    problems: list[str],
    skipped: list[str],
) -> int:
    """Runs what a file has, or what was asked for of it; the number of runs that completed."""
    ran = 0
    with loader.loaded(source) as module:
        running = Running(source, module, settings, inputs_of(inputs, vars(module)), observer)
        for name in source.names:
            ran += _completed(running.run_named(name), source, name, problems)
        for member in () if source.names else members_of(module, settings):
            try:
                ran += _completed(running.run_annotated(member), source, member.name, problems)
            except UsageError as error:
                skipped.append(f"skipped {source.shown}:{member.name}: {error}")
    return ran


def _completed(error: Exception | None, source: Source, name: str, problems: list[str]) -> bool:
    if error is not None:
        problems.append(f"{source.shown}:{name} stopped at {error_text(error)}")
    return error is None


# What is shown ----------------------------------------------------------------------------------------------------------


def _finish(proposals: Sequence[Proposal], notes: Sequence[str], *, is_writing: bool) -> None:
    """Shows or writes the annotations, and says what has none, and why."""
    by_file: dict[str, list[Proposal]] = {}
    for proposal in proposals:
        by_file.setdefault(proposal.file, []).append(proposal)
    changed = functions = 0
    for file, found in by_file.items():
        before = Path(file).read_bytes()
        after = _edited(file, before, found)
        written = sum(bool(proposal.patterns) for proposal in found)
        if after != before:
            changed, functions = changed + 1, functions + written
            if is_writing:
                Path(file).write_bytes(after)
                print(f"{shown_path(file)}: {counted(written, 'function')} annotated")
            else:
                _show_diff(file, _text(before), _text(after))
    for line in (*notes, *(f"{shown_path(p.file)}:{p.line}: {p.name}: {note}" for p in proposals for note in p.notes)):
        _say(line)
    if not changed:
        _say("nothing to annotate")
    elif not is_writing:
        _say(f"annotations for {counted(functions, 'function')} in {counted(changed, 'file')}; --write writes them")


def _edited(file: str, before: bytes, proposals: Sequence[Proposal]) -> bytes:
    try:
        return annotated(before, proposals)
    except UnreadableError as error:
        raise UsageError(f"{shown_path(file)} cannot be parsed, and stays as it is: {error}") from error


def _text(source: bytes) -> str:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    return source.decode(encoding)


def _show_diff(file: str, before: str, after: str) -> None:
    name = shown_path(file)
    old, new = (io.StringIO(text, newline="").readlines() for text in (before, after))
    lines = difflib.unified_diff(old, new, f"a/{name}", f"b/{name}")
    sys.stdout.writelines(_colored(lines) if has_colors() else lines)
    sys.stdout.flush()


def _colored(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        color = "" if line.startswith(("---", "+++")) else _COLORS.get(line[:1], "")
        yield f"{color}{line.rstrip(chr(10))}\x1b[0m\n" if color else line


def _say(line: str) -> None:
    print(f"dimtyped annotate: {line}", file=sys.stderr)
