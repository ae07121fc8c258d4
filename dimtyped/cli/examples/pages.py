"""The examples as text, for the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from dimtyped.cli.examples.example import PRELUDE, Example
from dimtyped.cli.examples.examples import FAMILIES


def examples() -> dict[str, Example]:
    """Every example by its name."""
    return {example.name: example for family in FAMILIES.values() for example in family}


def find(name: str) -> Example:
    """The example of this name.

    Raises:
        KeyError: there is none; its text suggests similar names.
    """
    known = examples()
    if name not in known:
        near = " or ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.4))
        raise KeyError(f"there is no example {name!r}" + (f"; did you mean {near}?" if near else ""))
    return known[name]


def shown(example: Example) -> str:
    """An example as the command line prints it."""
    return f"{example.title} ({example.name})\n\n{_indented(example.code)}\n{example.text()}\n"


def everything() -> Iterator[str]:
    """Every example as the command line prints it, after the code that they share."""
    yield f"Every example begins with\n\n{_indented(PRELUDE)}"
    for family, members in FAMILIES.items():
        yield f"{family}\n{'=' * len(family)}\n"
        yield from (shown(example) for example in members)


def _indented(code: str) -> str:
    return "".join(f"    {line}\n" if line else "\n" for line in code.splitlines())
