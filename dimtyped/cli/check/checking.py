"""Checks what users' files have: imports each, finds its classes and functions, follows them one by one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from dimtyped.cli.check.results import Checked, Results
from dimtyped.cli.targets.loading import Loader, users_lines
from dimtyped.cli.targets.members import NOT_ANNOTATED, Member, member_named, members_of
from dimtyped.cli.targets.settings import Settings
from dimtyped.cli.targets.sources import Source
from dimtyped.cli.targets.usage import ImportFailedError, UsageError, one_line
from dimtyped.errors import DeclarationError
from dimtyped.flow import Report, check

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Checking:
    """Checks files.

    Args:
        settings: Sizes and arguments.
        fuzz: Search also for what only values show.
        progress: Shows what is looked at now.
        loader: Imports the files.
    """

    settings: Settings
    fuzz: bool
    progress: Progress
    loader: Loader

    def of(self, sources: Iterable[Source]) -> Results:
        """What came of all files.

        Raises:
            UsageError: Something asked for by name is not there, or a size or an argument is for nothing.
        """
        began, results, sources = time.perf_counter(), Results(), list(sources)
        try:
            self._reject_unknown(sources)
            for source in sources:
                self._add(source, results)
        finally:
            self.loader.forget()
        results.seconds = time.perf_counter() - began
        return results

    def _reject_unknown(self, sources: Sequence[Source]) -> None:
        """Raises for a size or an argument that was typed in and is for nothing, if all files import."""
        if not self.settings.has_typed_in or any(_is_left_out(source) for source in sources):
            return
        members: list[Member] = []
        for source in sources:
            try:
                with self._members(source) as found:
                    members += found
            except ImportFailedError:
                return  # it is said later
        names = [name for member in members for name in member.names]
        self.settings.reject_unknown([member.name for member in members], names)

    @contextmanager
    def _members(self, source: Source) -> Generator[list[Member]]:
        """The classes and functions of a file that are looked at, while it is imported."""
        self.progress(f"importing {source.shown}")
        with self.loader.loaded(source) as module:
            if source.names:
                yield [member_named(module, name, self.settings, source.shown) for name in source.names]
            else:
                yield list(members_of(module, self.settings))

    def _add(self, source: Source, results: Results) -> None:
        if _is_left_out(source):
            results.checked += _unannotated(source)
            return
        try:
            with self._members(source) as members:
                for member in members:
                    self.progress(f"checking {source.shown}:{member.name}")
                    results.checked.append(self._asked_for(source, self._checked(source, member)))
        except UsageError as error:
            results.failed.append(error)

    def _asked_for(self, source: Source, checked: Checked) -> Checked:
        if checked.skipped and source.names:
            raise UsageError(f"{source.shown}:{checked.name} cannot be checked: {checked.skipped}")
        return checked

    def _checked(self, source: Source, member: Member) -> Checked:
        is_class = member.is_class or member.arguments is not None or hasattr(member.thing, "forward")
        made = Checked(source.shown, member.name, member.line, is_class)
        if member.skipped:
            return replace(made, skipped=member.skipped)
        try:
            report = self._report(member)
        except DeclarationError as error:
            return replace(made, skipped=_reason(error))
        except SystemExit as error:
            return replace(made, skipped=f"it calls sys.exit({error.code!r})")
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            return replace(made, skipped=_raised(error), raised=error)
        for finding in report.findings:
            finding.fix = _on_command_line(finding.fix)
            if not finding.file:  # no line of the user's is known
                finding.file, finding.line = str(source.file), max(member.line, 1)
        return replace(made, report=report)

    def _report(self, member: Member) -> Report:
        options: dict[str, Any] = {
            "independent": self.settings.independent,
            "skip": self.settings.skip,
            "fuzz": self.fuzz,
            "sizes": {name: size for name, size in self.settings.sizes_of(member.name).items() if name in member.names},
        }
        if member.arguments is not None:
            options["arguments"] = member.arguments
        return check(member.thing, **options)


def _is_left_out(source: Source) -> bool:
    """True of a file that need not be imported."""
    return not source.outline.has_candidates and not source.names


def _unannotated(source: Source) -> list[Checked]:
    """What a file has that was not imported: nothing in it is annotated."""
    reason = NOT_ANNOTATED
    return [
        Checked(source.shown, name, line, is_class=True, skipped=reason) for name, line in source.outline.unannotated
    ]


def _on_command_line(fix: str) -> str:
    """A fix that names an argument of `dimtyped.check`, with the option in its place."""
    one_size = re.sub(r"check\(\.\.\., sizes=\{'(\w+)': (\d+)\}\)", r"--size \1=\2", fix)
    return one_size.replace("check(..., sizes={...})", "--size NAME=N")


def _reason(error: DeclarationError) -> str:
    """The error's first line; of what could not be made also why."""
    first, *rest = str(error).splitlines()
    more = [line.strip() for line in rest if line.startswith("  with ")]
    advice = "give --size or --arg" if more else ""
    return "; ".join(part for part in (first, *more[:1], advice) if part)


def _raised(error: Exception) -> str:
    at = users_lines(error)[-1:]
    return f"it raised {one_line(error)}{f' at {at[0]}' if at else ''}"
