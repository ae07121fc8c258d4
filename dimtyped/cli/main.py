"""The command line: `python -m dimtyped COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dimtyped.cli.commands import COMMANDS, CommandError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; without one, lists the commands.

    Args:
        arguments: The words after `python -m dimtyped`. Default: those given to Python.

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
        print(f"python -m dimtyped {chosen.command}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dimtyped", description="Dimension names for PyTorch.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.summary, description=command.summary)
        if command.add_arguments is not None:
            command.add_arguments(added)
    return parser
