"""What is looked at now, on a terminal: with rich where it is installed, else nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def shown_progress() -> Generator[Callable[[str], None]]:
    """A function to tell what is looked at now; the line is gone at the end."""
    if not sys.stderr.isatty():
        yield _nothing
        return
    try:
        from rich.console import Console  # noqa: PLC0415  # an optional package
    except ModuleNotFoundError:
        yield _nothing
        return
    with Console(stderr=True).status("starting") as status:
        yield lambda text: status.update(text.replace("[", "\\["))


def _nothing(_: str) -> None:
    """Shows nothing."""
