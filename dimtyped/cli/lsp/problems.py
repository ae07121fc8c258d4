"""What a check found, as problems at lines of the text: findings, what was skipped, and what does not import."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dimtyped.cli.check.results import Checked, Results
from dimtyped.cli.lsp.data import Problem, lines_of, read_text, whole_line
from dimtyped.cli.lsp.edits import edit_of, span_of
from dimtyped.cli.targets.loading import users_calls
from dimtyped.cli.targets.members import NOT_ANNOTATED
from dimtyped.cli.targets.usage import UsageError
from dimtyped.flow import Finding

_QUIET = (NOT_ANNOTATED, "it is abstract")
"""Reasons to skip a class that are no news to who wrote it."""
_ARGUMENTS = re.compile(r"give (--arg \w+=\.\.\.(?: --arg \w+=\.\.\.)*)")
_SIZE = re.compile(r"--size (\w+)=(\w+)")


def problems_of(results: Results, file: Path) -> list[Problem]:
    """The problems of a check of one file, which may be in files that it uses too."""
    found = [_of_finding(finding) for finding in results.findings]
    found += [_of_skipped(each, file) for each in results.skipped if each.skipped not in _QUIET]
    return [*found, *(problem_of(error, file) for error in results.failed)]


def problem_of(error: BaseException, file: Path, kind: str = "import") -> Problem:
    """An error that ended the check of a file, at the line of the file that it passed last."""
    cause = error.__cause__ if isinstance(error, UsageError) and error.__cause__ is not None else error
    lines = lines_of(read_text(file))
    span = whole_line(lines, _last_line(cause, file))
    if isinstance(error, UsageError):
        first = f"{error.problem}; {error.hint}" if error.hint else error.problem
        others = [line for line in error.details[-1:] if not line.startswith(f"{file.name}:")]
        return Problem(str(file), span, kind, _in_editor("\n".join([first, *others])))
    return Problem(str(file), span, kind, f"it raised {type(error).__name__}: {error}")


def _of_finding(finding: Finding) -> Problem:
    text = read_text(Path(finding.file))
    return Problem(
        finding.file, span_of(finding, lines_of(text)), finding.kind, _text(finding), edit=edit_of(finding, text)
    )


def _text(finding: Finding) -> str:
    origins = [f"{name}: {origin}" for name, origin in finding.origins.items() if name and origin]
    fix = [f"fix: {finding.fix}"] if finding.fix else []
    return _in_editor("\n".join([finding.message, *origins, *fix]))


def _of_skipped(checked: Checked, file: Path) -> Problem:
    lines = lines_of(read_text(file))
    line = checked.line - 1
    if checked.raised is not None:
        line = next(iter(_lines(checked.raised, file)), line)
    message = f"{checked.name} is not checked: {checked.skipped}"
    return Problem(str(file), whole_line(lines, line), "skipped", _in_editor(message), is_error=False)


def _last_line(error: BaseException, file: Path) -> int:
    return next(iter(_lines(error, file)), 0)


def _lines(error: BaseException, file: Path) -> Iterator[int]:
    """The lines of a file that an error came through, the deepest first."""
    for call in reversed(users_calls(error)):
        if Path(call.filename).resolve() == file and call.lineno:
            yield call.lineno - 1


def _in_editor(text: str) -> str:
    """A text of the command's, with the settings of a project in the place of its options."""
    text = _ARGUMENTS.sub(lambda found: f"give {_names(found[1])} in [tool.dimtyped.arguments] of pyproject.toml", text)
    text = text.replace(
        "give --size or --arg", "give [tool.dimtyped.sizes] or [tool.dimtyped.arguments] in pyproject.toml"
    )
    return _SIZE.sub(r"\1 = \2 in [tool.dimtyped.sizes] of pyproject.toml", text)


def _names(options: str) -> str:
    return " and ".join(f"`{name}`" for name in re.findall(r"--arg (\w+)", options))
