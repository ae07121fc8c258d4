"""The command line: `dimtyped COMMAND`; `python -m dimtyped COMMAND` is the same."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from dimtyped.cli.commands import COMMANDS, CommandError

_COLLECTIONS = (50_000, 20, 100)
"""Thresholds of the garbage collector. With Python's own, a third of a second of each command is spent on what torch's
imports made, none of which is garbage."""


def program() -> int:
    """Runs a command as the whole of a process, so the garbage collector may be set for it.

    Returns:
        The exit status.
    """
    gc.set_threshold(*_COLLECTIONS)
    try:
        return main()
    finally:
        gc.freeze()  # what is left ends with the process: Python need not search it for garbage first


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; without one, lists the commands.

    Args:
        arguments: The words after `dimtyped`. Default: those given to Python.

    Returns:
        The exit status.
    """
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.command is None:
        parser.print_help()
        return 0
    try:
        return COMMANDS[chosen.command].run(chosen)
    except CommandError as error:
        print(f"dimtyped {chosen.command}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # what reads the output has ended: `dimtyped errors | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it flushes at exit
        return 141


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with status 2."""
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="dimtyped", description="Dimension names for PyTorch.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.summary, description=command.summary)
        if command.add_arguments is not None:
            command.add_arguments(added)
    return parser
