"""One target checked as the command does, for the pytest plugin."""

from __future__ import annotations

from pathlib import Path

from dimtyped.cli.check.checking import Checking
from dimtyped.cli.check.results import Results
from dimtyped.cli.targets.loading import Loader
from dimtyped.cli.targets.settings import project_settings
from dimtyped.cli.targets.sources import sources_of


def check_target(target: str, folder: Path) -> Results:
    """What came of a target, made with the project's settings.

    Args:
        target: `package.module:factory`, or another target of the command.
        folder: Where pyproject.toml is looked for, from there upwards.

    Raises:
        UsageError: There is no such target, or it cannot be checked.
    """
    settings = project_settings(folder)
    results = Checking(settings, False, lambda _: None, Loader()).of(sources_of([target]))
    if results.failed:
        raise results.failed[0]
    return results
