"""Every known kind of mistake, with the code that makes it and its error: `python -m dimtyped errors`."""

from dimtyped.cli.examples.example import PRELUDE, Example
from dimtyped.cli.examples.examples import FAMILIES
from dimtyped.cli.examples.pages import everything, examples, find, shown

__all__ = ["FAMILIES", "PRELUDE", "Example", "everything", "examples", "find", "shown"]
