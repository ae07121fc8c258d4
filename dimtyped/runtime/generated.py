"""The names by which generated code, and the package's own, is found on the stack."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

GENERATED = "<dimtyped "
"""The beginning of the file names of generated code."""
PREFIX = "_dt_"
"""The beginning of the names that generated code uses, so that none is a user's."""
CHECKED_NAME = f"{PREFIX}checked"
"""The global name by which the code of a wrapper finds what is known of its function."""
ARGUMENTS, KEYWORDS = f"{PREFIX}arguments", f"{PREFIX}keywords"
"""The parameters of a wrapper whose function the reference engine checks."""
FIRST_CALL = f"{GENERATED}first call of a {{}}>"
"""The file name of the code that a wrapper has until its first call, by the kind of its function."""
_FIRST_CALL = FIRST_CALL.partition("{")[0]


def is_wrapper(code: types.CodeType) -> bool:
    """Returns True for the code of a check around a function's call, and not of a helper beside it."""
    file = code.co_filename
    return file.startswith(GENERATED) and not file.startswith(_FIRST_CALL) and not code.co_name.startswith(PREFIX)


def checked_in(code: types.CodeType, names: Mapping[str, Any]) -> Any:
    """The checked function of a wrapper with this code and these globals.

    A wrapper that was defined again shares its globals with the former one, and has a name of its own there.
    """
    name = next((name for name in code.co_names if name.startswith(CHECKED_NAME)), CHECKED_NAME)
    return names.get(name)
