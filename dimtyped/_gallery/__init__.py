"""Every known kind of mistake, the code that makes it, and what dimtyped says: `python -m dimtyped errors`."""

from dimtyped._gallery._example import PRELUDE, Example
from dimtyped._gallery._examples import FAMILIES
from dimtyped._gallery._pages import appendix, everything, examples, find, shown, table, updated, write

__all__ = [
    "FAMILIES",
    "PRELUDE",
    "Example",
    "appendix",
    "everything",
    "examples",
    "find",
    "shown",
    "table",
    "updated",
    "write",
]
