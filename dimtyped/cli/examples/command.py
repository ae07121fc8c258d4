"""Runs `python -m dimtyped errors`."""

from __future__ import annotations

import argparse

from dimtyped.cli.commands import CommandError
from dimtyped.cli.examples.pages import everything, find, shown
from dimtyped.runtime import configure, mode


def run(chosen: argparse.Namespace) -> int:
    """Prints every example of a mistake, or the one asked for.

    Raises:
        CommandError: there is no example of this name, or every check is switched off.
    """
    configure("on")
    if mode() == "off":
        raise CommandError("JAXTYPING_DISABLE switches every check off, so no mistake is found")
    if chosen.name is None:
        print(*everything(), sep="\n")
        return 0
    try:
        example = find(chosen.name)
    except KeyError as error:
        raise CommandError(error.args[0]) from None
    print(shown(example), end="")
    return 0
