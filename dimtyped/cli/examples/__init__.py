"""Every known kind of mistake, the code that makes it, and what dimtyped says: `python -m dimtyped errors`."""

from dimtyped.cli.examples.example import PRELUDE, Example
from dimtyped.cli.examples.examples import FAMILIES
from dimtyped.cli.examples.pages import everything, examples, find, shown

__all__ = ["FAMILIES", "PRELUDE", "Example", "everything", "examples", "find", "shown"]
