"""The command line: `python -m dimtyped COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; without one, lists the commands.

    Args:
        arguments: The words after `python -m dimtyped`. Default: those given to Python.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m dimtyped", description="Dimension names for PyTorch.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, (summary, add_arguments) in COMMANDS.items():
        add_arguments(commands.add_parser(name, help=summary, description=summary))
    chosen = parser.parse_args(arguments)
    if not hasattr(chosen, "run"):
        parser.print_help()
        return 0
    try:
        return chosen.run(chosen)
    except KeyboardInterrupt:
        return 130


def add_demo(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `demo`."""
    parser.add_argument("--steps", type=_positive, default=400, metavar="N", help="batches to train on (default: 400)")
    parser.add_argument("--text", type=Path, metavar="FILE", help="a UTF-8 text (default: Python's language reference)")
    parser.set_defaults(run=run_demo)


def run_demo(chosen: argparse.Namespace) -> int:
    """Runs the demo; 2 where its extra is missing or its text cannot be used."""
    try:
        from dimtyped.cli.demo.show import demo  # noqa: PLC0415  # needs rich, which only this command has use for
        from dimtyped.cli.demo.text import TextError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "rich":
            raise
        return _fail("demo", "rich is not installed; the demo's extra has it: pip install 'dimtyped[demo]'")
    try:
        demo(chosen.text, chosen.steps)
    except TextError as error:
        return _fail("demo", f"--text: {error}")
    return 0


def add_errors(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `errors`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="the one mistake to show (default: all)")
    parser.set_defaults(run=run_errors)


def run_errors(chosen: argparse.Namespace) -> int:
    """Shows the gallery of mistakes, or one of them."""
    from dimtyped.cli import examples  # noqa: PLC0415  # what an import of this file need not load
    from dimtyped.runtime import configure, mode  # noqa: PLC0415  # what an import of this file need not load

    configure("on")
    if mode() == "off":
        return _fail("errors", "JAXTYPING_DISABLE switches every check off, so no mistake is found")
    if chosen.name is None:
        print(*examples.everything(), sep="\n")
    else:
        try:
            example = examples.find(chosen.name)
        except KeyError as error:
            return _fail("errors", error.args[0])
        print(examples.shown(example), end="")
    return 0


def add_layers(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `layers`."""
    parser.set_defaults(run=run_layers)


def run_layers(_: argparse.Namespace) -> int:
    """Shows what each layer takes and gives, and its parameters."""
    from dimtyped.cli.layer_table import shown  # noqa: PLC0415  # what an import of this file need not load

    print(*shown(), sep="\n")
    return 0


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return int(text)


def _fail(command: str, reason: str) -> int:
    print(f"python -m dimtyped {command}: error: {reason}", file=sys.stderr)
    return 2


COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "errors": ("every known kind of mistake: the code that makes it, and what dimtyped says", add_errors),
    "layers": (
        "every typed layer: what it takes and gives, and its parameters, by the names of their axes",
        add_layers,
    ),
    "demo": ("train a typed model on real text, see three mistakes caught, and what the checks cost", add_demo),
}
"""Each command's name, what it does, and what adds its arguments and its `run`."""
