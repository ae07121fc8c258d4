"""The error for what a user named and a command cannot look at."""

from dimtyped.cli.commands import CommandError


class UsageError(CommandError):
    """A command cannot look at what it was given.

    Args:
        problem: What is wrong, with the value.
        hint: What to write instead.
        details: Lines to print below: the user's part of a traceback.
    """

    def __init__(self, problem: str, hint: str = "", details: tuple[str, ...] = ()):
        super().__init__(problem, hint, details)
        self.problem = problem
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        first = f"{self.problem}; {self.hint}" if self.hint else self.problem
        return "\n".join([first, *(f"    {line}" for line in self.details)])


def one_line(error: BaseException) -> str:
    """The type of an exception and the first line of its text."""
    text = error.msg if isinstance(error, SyntaxError) else str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
