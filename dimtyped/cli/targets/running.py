"""Runs what users' files have, for the commands that need a run: `summary` and `shapes`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from dimtyped.cli.targets.members import Member
from dimtyped.cli.targets.settings import Settings
from dimtyped.cli.targets.sources import Source
from dimtyped.cli.targets.usage import UsageError, one_line
from dimtyped.errors import DeclarationError

_R = TypeVar("_R")


def results_of(
    source: Source, members: Iterable[Member], run: Callable[[Member], _R], skipped: list[str]
) -> Iterator[tuple[str, _R]]:
    """The result of each class or function that runs, by its name; a line in `skipped` for each other one.

    Raises:
        UsageError: One that was asked for by name cannot be run.
    """
    for member in members:
        try:
            yield member.name, run(member)
        except UsageError as error:
            if source.names:
                raise UsageError(f"{source.shown}:{member.name}: {error.problem}", error.hint) from error
            skipped.append(f"skipped {source.shown}:{member.name}: {error}")


def run_member(member: Member, settings: Settings, run: Callable[..., _R], **options: Any) -> _R:
    """Calls `run` with a class or function, and the sizes and arguments that the user gave for it.

    Raises:
        UsageError: It cannot be run.
    """
    if member.skipped:
        raise UsageError(member.skipped)
    sizes = {name: size for name, size in settings.sizes_of(member.name).items() if name in member.names}
    made_with = {"arguments": member.arguments} if member.arguments is not None else {}
    try:
        return run(member.thing, sizes=sizes, **options, **made_with)
    except DeclarationError as error:
        raise UsageError(str(error).partition("\n")[0]) from error
    except Exception as error:
        raise UsageError(f"it raised {one_line(error)}", "`dimtyped check` says where") from error
