"""The command `check`: its options, and what it prints."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from dimtyped.cli.check.checking import Checking
from dimtyped.cli.check.github import github_of
from dimtyped.cli.check.progress import shown_progress
from dimtyped.cli.check.results import Results
from dimtyped.cli.check.sarif import sarif_of
from dimtyped.cli.check.text import Style, text_of
from dimtyped.cli.check.watching import again_at_each_save
from dimtyped.cli.targets.choice import chosen_sources
from dimtyped.cli.targets.loading import Loader
from dimtyped.cli.targets.settings import Settings
from dimtyped.cli.targets.sources import Source
from dimtyped.cli.targets.usage import UsageError, merged

FORMATS: dict[str, Callable[[Results, Style], str]] = {
    "text": text_of,
    "json": lambda results, _: json.dumps(results.to_dict(), indent=2),
    "github": lambda results, _: github_of(results),
    "sarif": lambda results, _: json.dumps(sarif_of(results), indent=2),
}
"""The forms of what is printed, by name."""


def run(chosen: argparse.Namespace) -> int:
    """Checks what was named.

    Returns:
        0 without findings, 1 with some, 2 where a file cannot be looked at.

    Raises:
        UsageError: What was named is not there, or an option cannot be.
    """
    command = _Command(chosen)
    if chosen.watch:
        again_at_each_save(command.watched, command.say)
    return command.once(Loader())


class _Command:
    """One call of the command.

    Args:
        chosen: Its options.

    Raises:
        UsageError: They cannot be.
    """

    def __init__(self, chosen: argparse.Namespace):
        self._chosen = chosen
        if chosen.fuzz and importlib.util.find_spec("hypothesis") is None:
            raise UsageError("--fuzz needs hypothesis", "pip install 'dimtyped[testing]'")
        self._files = {source.file for source in self._settings()[1]}

    def once(self, loader: Loader) -> int:
        """Checks, prints, and returns the exit status."""
        chosen, (settings, sources) = self._chosen, self._settings()
        imported = [source.shown for source in sources if source.names or source.outline.has_candidates]
        if imported and not chosen.quiet:
            more = f" and {len(imported) - 1} more" if len(imported) > 1 else ""
            self.say(f"importing {imported[0]}{more}: code at the top level of a file runs")
        with shown_progress() as progress:
            results = Checking(settings, chosen.fuzz, progress, loader).of(sources)
        style = Style(has_colors(), chosen.verbose, chosen.quiet)
        text = FORMATS[chosen.format](results, style)
        if text:
            print(text, flush=True)
        for note in results.shared_notes if chosen.independent else ():
            if note.startswith("independent="):  # a name that nothing has is a word that was mistyped
                self.say(f"--{note.replace('=', '', 1)}")
        _show(merged(results.failed))
        return results.status

    def watched(self) -> set[Path]:
        """Checks anew; the files that it depends on, those of before where an editor has moved one away for a moment."""
        loader = Loader()
        try:
            self.once(loader)
            self._files = {*loader.files, *(source.file for source in self._settings()[1])}
        except UsageError as error:
            _show([error])
        return self._files

    def say(self, text: str) -> None:
        """Shows a line that is no result."""
        print(f"dimtyped check: {text}", file=sys.stderr, flush=True)

    def _settings(self) -> tuple[Settings, list[Source]]:
        return chosen_sources(self._chosen, "check")


def _show(errors: Iterable[UsageError]) -> None:
    for error in errors:
        print(f"dimtyped check: error: {error}", file=sys.stderr, flush=True)


def has_colors() -> bool:
    """True if stdout is a terminal that shows colors, and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
