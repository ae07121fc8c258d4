"""The names in an expression over sizes, `2*hidden`."""

from __future__ import annotations

import re

_IDENTIFIER = re.compile(r"(?<![\w.])[^\W\d]\w*")


def names_in(expression: str) -> tuple[str, ...]:
    """The identifiers in a symbolic axis, outside its `{...}` parts, in order."""
    return tuple(dict.fromkeys(_IDENTIFIER.findall(re.sub(r"\{.*?\}", " ", expression))))
