"""The check of one file: its problems first, then the shapes of its variables."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dimtyped.cli.check.checking import Checking
from dimtyped.cli.lsp.data import read_text, to_dict
from dimtyped.cli.lsp.problems import problem_of, problems_of
from dimtyped.cli.lsp.variables import functions_of
from dimtyped.cli.shapes import margins_in
from dimtyped.cli.targets.loading import Loader
from dimtyped.cli.targets.settings import Settings, project_settings, settings_of
from dimtyped.cli.targets.sources import Source, is_excluded, sources_of
from dimtyped.cli.targets.usage import UsageError

Tell = Callable[[Mapping[str, Any]], None]
OPTIONS = "initializationOptions"
"""What errors call the settings that an editor gives."""


def analyse(file: Path, folder: Path, options: Mapping[str, Any], tell: Tell) -> None:
    """Checks a file and tells what is found: `problems`, `functions`, and the `files` that it was made of.

    Args:
        file: The file.
        folder: The folder that is the working directory.
        options: Settings that come on top of those of the project.
        tell: Takes each as soon as it is known, and `progress` meanwhile.
    """
    os.chdir(folder)
    try:
        settings = settings_of(options, OPTIONS, project_settings(file.parent))
        [source] = sources_of([str(file)])
    except UsageError as error:
        tell({"problems": [to_dict(problem_of(error, file, "settings"))]})
        return
    if is_excluded(file, settings.exclude):
        tell({"problems": []})
        return
    loader = _Kept()
    _tell_problems(source, settings, loader, tell)
    tell({"progress": f"shapes of {source.shown}"})
    _tell_functions(source, settings, loader, tell)
    loader.forget()
    tell({"files": sorted(map(str, loader.files))})


def _tell_problems(source: Source, settings: Settings, loader: Loader, tell: Tell) -> None:
    checking = Checking(settings, False, lambda text: tell({"progress": text}), loader)
    tell({"problems": [to_dict(each) for each in problems_of(checking.of([source]), source.file)]})


def _tell_functions(source: Source, settings: Settings, loader: Loader, tell: Tell) -> None:
    try:
        margins = margins_in(source, settings, loader, [], [])
    except UsageError:  # it does not import, which is among the problems
        margins = []
    functions = functions_of(read_text(source.file), margins)
    tell({"functions": [to_dict(function) for function in functions]})


class _Kept(Loader):
    """Imports a file once for all that is done with it; the process ends after it."""

    def forget(self) -> None:
        """Keeps the modules, and notes their files."""
        self.files |= {file for _, file in self._users()}
