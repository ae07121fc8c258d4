"""What an editor gives as initializationOptions: how files are checked, and settings that come on top of a project's."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dimtyped.cli.lsp.analysis import OPTIONS
from dimtyped.cli.targets.settings import settings_of
from dimtyped.cli.targets.usage import UsageError

_SETTINGS = ("sizes", "arguments", "independent", "skip", "exclude")


@dataclass(frozen=True)
class Options:
    """The options of a server.

    Args:
        python: The interpreter that checks files, where it is not the server's own.
        timeout: Seconds that a check may take.
        check_on_open: Files are checked when they are opened, not only when they are saved.
        settings: What `[tool.dimtyped]` may have too.
    """

    python: str = sys.executable
    timeout: float = 60.0
    check_on_open: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


def options_of(given: Any) -> Options:
    """The options that an editor gives.

    Args:
        given: `{"timeout": 60, "sizes": {"embed": 64}}`; None for none.

    Raises:
        UsageError: One is not as it must be.
    """
    if given is None:
        return Options()
    if not isinstance(given, Mapping):
        raise UsageError(f"{OPTIONS} is {given!r:.60}", 'write an object: {"timeout": 60}')
    known = ("python", "timeout", "checkOnOpen", *_SETTINGS)
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            raise UsageError(
                f"{OPTIONS} has no `{key}`", f"did you mean `{near[0]}`?" if near else f"it has {', '.join(known)}"
            )
    settings = {key: value for key, value in given.items() if key in _SETTINGS}
    settings_of(settings, OPTIONS)  # raises now what would be wrong at each check
    python, timeout = given.get("python", sys.executable), given.get("timeout", Options.timeout)
    on_open = given.get("checkOnOpen", True)
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    _require(isinstance(python, str), "python", python, '"python": "/path/to/python"')
    _require(is_number and timeout > 0, "timeout", timeout, '"timeout": 60, in seconds')
    _require(isinstance(on_open, bool), "checkOnOpen", on_open, '"checkOnOpen": false')
    return Options(python, float(timeout), on_open, settings)


def _require(holds: bool, key: str, value: object, example: str) -> None:
    if not holds:
        raise UsageError(f"{OPTIONS}: {key} is {value!r}", f"write {example}")
