"""The error for what a user named and a command cannot look at."""

from collections.abc import Sequence

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


class ImportFailedError(UsageError):
    """A file does not import.

    Args:
        file: The file, as shown.
        reason: What importing it raised.
        hint: What to do.
        details: The user's part of the traceback.
        others: How many other files fail in the same way.
    """

    def __init__(self, file: str, reason: str, hint: str, details: tuple[str, ...], others: int = 0):
        verb = f"and {others} more do" if others else "does"
        super().__init__(f"{file} {verb} not import: {reason}", hint, details)
        self.file = file
        self.reason = reason

    @property
    def cause(self) -> tuple[object, ...]:
        """What files that fail in the same way share."""
        return (self.reason, self.details)


def merged(errors: Sequence[UsageError]) -> list[UsageError]:
    """Errors with those of files that fail in the same way as one."""
    groups: dict[object, list[UsageError]] = {}
    for error in errors:
        groups.setdefault(error.cause if isinstance(error, ImportFailedError) else id(error), []).append(error)
    return [_one_of(group) for group in groups.values()]


def _one_of(group: list[UsageError]) -> UsageError:
    first = group[0]
    if not isinstance(first, ImportFailedError):
        return first
    return ImportFailedError(first.file, first.reason, first.hint, first.details, len(group) - 1)


def one_line(error: BaseException) -> str:
    """The type of an exception and the first line of its text."""
    text = error.msg if isinstance(error, SyntaxError) else str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def counted(count: int, word: str) -> str:
    """`no findings`, `1 finding`, `2 classes`."""
    plural = "es" if word.endswith("s") else "s"
    return f"{count or 'no'} {word}{'' if count == 1 else plural}"
