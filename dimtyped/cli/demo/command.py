"""Runs `python -m dimtyped demo`."""

from __future__ import annotations

import argparse

from dimtyped.cli.commands import CommandError
from dimtyped.cli.demo.show import demo
from dimtyped.cli.demo.text import TextError


def run(chosen: argparse.Namespace) -> int:
    """Runs the demo.

    Raises:
        CommandError: the model cannot be trained on the given text.
    """
    try:
        demo(chosen.text, chosen.steps)
    except TextError as error:
        raise CommandError(f"--text: {error}") from None
    return 0
