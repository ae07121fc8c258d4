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
    """One command of `dimtyped`.

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


def _add_check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _CHECK_EPILOG
    _add_target_arguments(parser)
    add = parser.add_argument
    add("--independent", action="append", default=[], metavar="NAMES", help="axes along which nothing mixes (batch)")
    add("--fuzz", action="store_true", help="search also for what only values show; needs dimtyped[testing]")
    add("--watch", action="store_true", help="check again at each save, until Ctrl-C")
    add("--format", choices=("text", "json", "github", "sarif"), default="text", help="what is printed (text)")
    detail = parser.add_mutually_exclusive_group()
    detail.add_argument("-q", "--quiet", action="store_true", help="print the findings alone")
    detail.add_argument("-v", "--verbose", action="store_true", help="print a line for each class and function too")


def _add_summary_arguments(parser: argparse.ArgumentParser) -> None:
    _add_target_arguments(parser)
    add = parser.add_argument
    add("--depth", type=_positive, metavar="N", help="how deep it goes (all of it)")
    add(
        "--graph",
        type=Path,
        metavar="FILE",
        help="draw the model: out.svg, .png, .pdf with graphviz; .dot, .mmd as text",
    )
    add("--format", choices=("text", "markdown", "html", "json"), default="text", help="what is printed (text)")


def _add_shapes_arguments(parser: argparse.ArgumentParser) -> None:
    _add_target_arguments(parser)
    parser.add_argument("--write-comments", action="store_true", help="write the shapes into the files, as comments")


def _add_lsp_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stdio", action="store_true", help="talk through stdin and stdout, as it always does")


def _add_annotate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _ANNOTATE_EPILOG
    _add_target_arguments(parser)
    add = parser.add_argument
    add("--input", action="append", default=[], metavar="NAME=VALUE", help="an input: tokens=int64[4,16], or Python")
    add("--write", action="store_true", help="write the annotations into the files")


def _add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of a command that looks at models: what, and what it is made with."""
    add = parser.add_argument
    add("targets", nargs="*", metavar="TARGET", help="what to look at (the targets in pyproject.toml)")
    add("--size", action="append", default=[], metavar="NAME=N", help="a size: hidden=64, Decoder.hidden=64")
    add("--arg", action="append", default=[], metavar="NAME=VALUE", help="an argument of a class, in Python: heads=4")
    add("--exclude", action="append", default=[], metavar="PATTERN", help="paths that a folder is searched without")


_CHECK_EPILOG = """\
A target is model.py, model.py:Decoder, package.module, package.module:factory or a folder. Its file is imported as
Python would run it: what stands at the top of it runs. [tool.dimtyped] in pyproject.toml has a project's settings.
Exit status: 0 without findings, 1 with some, 2 where something cannot be checked as it was asked.
"""

_ANNOTATE_EPILOG = """\
A target is a model, model.py:GPT, with inputs whose forward has no annotations yet; or a function that runs
something and needs no arguments, train.py:main. One that returns a model and its inputs makes these.
"""

COMMANDS = {
    "check": Command(
        "follow dimension names through the models of a file, before their first batch: what is wrong, by line",
        "dimtyped.cli.check.command",
        _add_check_arguments,
    ),
    "summary": Command(
        "each module of a model: what goes in and comes out, in names and sizes, its parameters and multiply-adds",
        "dimtyped.cli.summary",
        _add_summary_arguments,
    ),
    "shapes": Command(
        "the source of each method of a model, with the shape of each variable at its right margin",
        "dimtyped.cli.shapes",
        _add_shapes_arguments,
    ),
    "lsp": Command(
        "a language server for editors: findings and their fixes, and the shape of each variable, at each save",
        "dimtyped.cli.lsp.command",
        _add_lsp_arguments,
        extra="lsp",
    ),
    "annotate": Command(
        "propose jaxtyping annotations for each function that a run of a model calls, as a diff",
        "dimtyped.cli.annotate.command",
        _add_annotate_arguments,
        extra="annotate",
    ),
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
