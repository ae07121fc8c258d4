"""Finds the sizes that a model takes: told where every call of one size fails, and every call of another runs."""

from __future__ import annotations

import dataclasses

from hypothesis import given, reject, settings
from hypothesis.errors import Unsatisfiable

from dimtyped.errors import DeclarationError
from dimtyped.testing.properties.deterministic import LOOKING, run
from dimtyped.testing.properties.domain import ONLY_COUNTED, is_unmeant
from dimtyped.testing.properties.failure import FuzzError
from dimtyped.testing.properties.subject import Subject
from dimtyped.testing.strategies.calls import Call, drawn_calls

_TRIED = range(1, 7)
_CALLS = 4
_LAYOUT = (
    "\n\n  The layout in memory is what fails: with contiguous tensors the same call runs."
    "\n  Use `reshape` in place of `view`, or make the tensor `contiguous()`."
)


def needed(subject: Subject, failure: FuzzError) -> tuple[str, list[int]] | None:
    """A name, and the sizes of it that the model takes: every call of another one fails. None where no name is such."""
    error = failure.error
    if error is None or isinstance(error, AssertionError) or getattr(error, "argument", "") == "return":
        return None
    for name in failure.sizes:
        if name in (*ONLY_COUNTED, *subject.options.sizes):
            continue
        failing = {size: _failing(subject, name, size) for size in _TRIED}
        taken = [size for size, rate in failing.items() if rate == 0]
        refused = [size for size, rate in failing.items() if rate == 1]
        is_clear = len(taken) + len(refused) == len([rate for rate in failing.values() if rate is not None])
        if taken and failure.sizes[name] in refused and is_clear:
            return name, taken
    return None


def told(failure: FuzzError, subject: Subject) -> str:
    """The advice for a model that is right to raise, which the failure's first line then says too; empty if there is none."""
    if subject.options.layouts and _is_of_layout(failure):
        return _LAYOUT
    found = needed(subject, failure)
    if found is None:
        return ""
    name, sizes = found
    start = f"{subject.name} fails for "
    text = str(failure)
    if text.startswith(start):
        failure.args = (f"{subject.name} needs {name} of {_listed(sizes)}, and fails for {text.removeprefix(start)}",)
    return (
        f"\n\n  Every call that was tried with another {name} fails, every one with these runs."
        f"\n  If it is meant for these alone, say so: sizes={{{name!r}: {_choice(sizes)}}}."
    )


def _is_of_layout(failure: FuzzError) -> bool:
    """True if a call raises, and runs with contiguous copies of its tensors."""
    if failure.call is None or isinstance(failure.error, AssertionError):
        return False
    try:
        run(failure.call, double=False)
    except Exception:  # noqa: BLE001  # a user's own code, which has failed before
        return False
    return True


def _failing(subject: Subject, name: str, size: int) -> float | None:
    """The share of calls of one size that fail; None where no call has that size."""
    found: list[bool] = []
    narrowed = subject.with_options(dataclasses.replace(subject.options, sizes={**subject.options.sizes, name: size}))

    @settings(max_examples=_CALLS, **LOOKING)
    @given(drawn_calls(narrowed.plain))
    def look(call: Call) -> None:
        try:
            run(call, double=False)
        except Exception as error:  # noqa: BLE001  # a user's own code; what it raises is counted
            if is_unmeant(call, error):
                reject()
            found.append(True)
        else:
            found.append(False)

    try:
        look()
    except (Unsatisfiable, DeclarationError):
        return None
    return sum(found) / len(found)


def _listed(sizes: list[int]) -> str:
    *first, last = map(str, sizes)
    return f"{', '.join(first)} or {last}" if first else last


def _choice(sizes: list[int]) -> str:
    if len(sizes) == 1:
        return str(sizes[0])
    is_run = sizes == list(range(sizes[0], sizes[-1] + 1))
    return f"range({sizes[0]}, {sizes[-1] + 1})" if is_run else str(tuple(sizes))
