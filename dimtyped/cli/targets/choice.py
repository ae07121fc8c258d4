"""What a command line names, with the settings of the project and of the user."""

from __future__ import annotations

import argparse
from pathlib import Path

from dimtyped.cli.targets.settings import Settings, project_settings
from dimtyped.cli.targets.sources import Source, sources_of
from dimtyped.cli.targets.usage import UsageError


def chosen_sources(chosen: argparse.Namespace, command: str) -> tuple[Settings, list[Source]]:
    """The settings, and the files to look at.

    Args:
        chosen: The options that commands which look at models share.
        command: The command, for the advice.

    Raises:
        UsageError: There is no such file, or an option cannot be.
    """
    independent = getattr(chosen, "independent", [])
    settings = project_settings(Path.cwd()).with_options(chosen.size, chosen.arg, independent)
    targets = chosen.targets or settings.targets
    if not targets:
        raise UsageError("nothing to look at", f"name a file, a module or a folder: dimtyped {command} model.py")
    return settings, sources_of(targets, (*settings.exclude, *chosen.exclude))
