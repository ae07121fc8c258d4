"""`--watch`: checks again at each save."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

_PAUSE = 0.3  # seconds between two looks at the files


def again_at_each_save(once: Callable[[], Iterable[Path]], say: Callable[[str], None]) -> NoReturn:
    """Runs until the user interrupts it.

    Args:
        once: Checks, and returns the files that it depends on.
        say: Shows a line.
    """
    while True:
        before = _times(once())
        say(f"watching {len(before)} file{'s' if len(before) != 1 else ''}; Ctrl-C ends it")
        while _times(before) == before:
            time.sleep(_PAUSE)


def _times(files: Iterable[Path]) -> dict[Path, int]:
    """When each file was written last; 0 where it is gone, as it is for a moment while some editors save."""
    return {file: file.stat().st_mtime_ns if file.exists() else 0 for file in files}
