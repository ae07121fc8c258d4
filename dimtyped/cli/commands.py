"""The table of commands: what each does, its arguments, and the module that runs it, imported only then."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path


class CommandError(Exception):
    """A command cannot run as it was given: one line for the user, and exit status 2."""


@dataclasses.dataclass(frozen=True)
class Command:
    """One command of `python -m dimtyped`.

    Args:
        summary: One line that says what it does.
        module: The module whose `run` takes the parsed arguments and returns the exit status.
        add_arguments: Adds its arguments to its parser. Default: it has none.
        extra: The extra of this package that installs what the module imports. Default: it needs none.
    """

    summary: str
    module: str
    add_arguments: Callable[[argparse.ArgumentParser], None] | None = None
    extra: str = ""

    def run(self, chosen: argparse.Namespace) -> int:
        """Imports the module and runs the command.

        Raises:
            CommandError: the command cannot run with these arguments, or a package of its extra is not installed.
        """
        try:
            module = importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            package = (error.name or "dimtyped").partition(".")[0]
            if not self.extra or package == "dimtyped":
                raise
            install = f"pip install 'dimtyped[{self.extra}]'"
            raise CommandError(f"{package} is not installed; the extra `{self.extra}` has it: {install}") from None
        return module.run(chosen)


def _add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=_positive, default=400, metavar="N", help="batches to train on (default: 400)")
    parser.add_argument("--text", type=Path, metavar="FILE", help="a UTF-8 text (default: Python's language reference)")


def _add_errors_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="the one mistake to show (default: all)")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


COMMANDS = {
    "errors": Command(
        "every kind of mistake that dimtyped reports: the code that makes it, and the error",
        "dimtyped.cli.examples.command",
        _add_errors_arguments,
    ),
    "layers": Command(
        "every typed layer: the axes of its inputs, its output and its parameters, by name",
        "dimtyped.cli.layer_table",
    ),
    "demo": Command(
        "train a typed model on real text, see three mistakes caught, and measure what the checks cost",
        "dimtyped.cli.demo.command",
        _add_demo_arguments,
        extra="demo",
    ),
}
