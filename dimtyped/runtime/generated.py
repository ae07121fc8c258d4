"""The names that identify generated code, and this package's own, on the call stack."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from typing import Any

GENERATED = "<dimtyped "
"""The prefix of the file names of generated code."""
PREFIX = "_dt_"
"""The prefix of the names in generated code, which keeps them apart from a user's."""
CHECKED_NAME = f"{PREFIX}checked"
"""The global variable through which a wrapper's code finds the record of its function."""
ARGUMENTS, KEYWORDS = f"{PREFIX}arguments", f"{PREFIX}keywords"
"""The parameters of a wrapper whose function the reference engine checks."""
FIRST_CALL = f"{GENERATED}first call of a {{}}>"
"""The file name of the code that a wrapper has until its first call, by the kind of its function."""
_VERSION = re.compile(r"__v\d+$")
_FIRST_CALL = FIRST_CALL.partition("{")[0]


def version_of(code: types.CodeType) -> str:
    """The suffix of the names that only this code has in its globals; empty if it shares its globals with no other."""
    if CHECKED_NAME in code.co_names:  # a suffix would be at this name too
        return ""
    found = (_VERSION.search(name) for name in code.co_names if name.startswith(PREFIX))
    return next((match.group() for match in found if match), "")


def is_wrapper(code: types.CodeType) -> bool:
    """True for the code of a wrapper that checks a function's calls, not for that of a helper."""
    file = code.co_filename
    return file.startswith(GENERATED) and not file.startswith(_FIRST_CALL) and not code.co_name.startswith(PREFIX)


def checked_in(code: types.CodeType, names: Mapping[str, Any]) -> Any:
    """The checked function of a wrapper with this code and these globals.

    Wrappers that share their globals have names of their own there.
    """
    return names.get(f"{CHECKED_NAME}{version_of(code)}")
