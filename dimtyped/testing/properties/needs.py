"""Finds the sizes that a model needs, if every call with one size fails and calls with another run."""

from __future__ import annotations

import dataclasses

from hypothesis import given, reject, settings
from hypothesis.errors import Unsatisfiable

from dimtyped.errors import DeclarationError
from dimtyped.testing.properties.deterministic import LOOKING, run
from dimtyped.testing.properties.domain import ONLY_COUNTED, is_out_of_domain
from dimtyped.testing.properties.failure import FuzzError
from dimtyped.testing.properties.subject import Subject
from dimtyped.testing.strategies.calls import Call, drawn_calls

_TRIED = range(1, 7)
_CALLS = 12  # calls of one size: if all fail, the model does not take that size
_LAYOUT = (
    "\n\n  The memory layout causes this: with contiguous tensors the same call runs."
    "\n  Use `reshape` in place of `view`, or make the tensor `contiguous()`."
)


def needed(subject: Subject, failure: FuzzError) -> dict[str, list[int]]:
    """The sizes that the model takes, of each name whose other sizes all fail. Empty if they do not explain this failure."""
    error = failure.error
    if error is None or isinstance(error, AssertionError) or getattr(error, "argument", "") == "return":
        return {}
    found: dict[str, list[int]] = {}
    is_explained = False
    for name in failure.sizes:
        if name not in (*ONLY_COUNTED, *subject.options.sizes):
            runs = {size: _runs_any(subject, name, size) for size in _TRIED}
            taken = [size for size, some in runs.items() if some]
            refused = [size for size, some in runs.items() if some is False]
            if taken and refused:
                found[name] = taken
                is_explained = is_explained or failure.sizes[name] in refused
    return found if is_explained else {}


def advice(failure: FuzzError, subject: Subject) -> str:
    """The advice for a model that is right to raise, or empty. Then the failure's first line names the needed sizes."""
    if subject.options.layouts and _is_of_layout(failure):
        return _LAYOUT
    found = needed(subject, failure)
    if not found:
        return ""
    start = f"{subject.name} fails for "
    text = str(failure)
    if text.startswith(start):
        sizes = " and ".join(f"{name} of {_listed(taken)}" for name, taken in found.items())
        failure.args = (f"{subject.name} needs {sizes}, and fails for {text.removeprefix(start)}",)
    others = " or ".join(found)
    choices = ", ".join(f"{name!r}: {_choice(taken)}" for name, taken in found.items())
    return (
        f"\n\n  Every call with another {others} fails."
        f"\n  If the model is meant for only these sizes, say so: sizes={{{choices}}}."
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


def _runs_any(subject: Subject, name: str, size: int) -> bool | None:
    """True if a call of this size runs, False if several were tried and all failed; None if no call has that size."""
    found: list[bool] = []
    narrowed = subject.with_options(dataclasses.replace(subject.options, sizes={**subject.options.sizes, name: size}))

    @settings(max_examples=_CALLS, **LOOKING)
    @given(drawn_calls(narrowed.plain))
    def look(call: Call) -> None:
        if any(found):
            return
        try:
            run(call, double=False)
        except Exception as error:  # noqa: BLE001  # a user's own code; its failures are counted
            if is_out_of_domain(call, error):
                reject()
            found.append(False)
        else:
            found.append(True)

    try:
        look()
    except (Unsatisfiable, DeclarationError):
        return None
    return any(found)


def _is_open(sizes: list[int]) -> bool:
    """True for all of the tried sizes from one of them on."""
    return sizes[-1] == _TRIED[-1] and len(sizes) == sizes[-1] - sizes[0] + 1 and len(sizes) > 1


def _listed(sizes: list[int]) -> str:
    if _is_open(sizes):
        return f"at least {sizes[0]}"
    *first, last = map(str, sizes)
    return f"{', '.join(first)} or {last}" if first else last


def _choice(sizes: list[int]) -> str:
    if len(sizes) == 1:
        return str(sizes[0])
    if _is_open(sizes):
        return f"range({sizes[0]}, {sizes[0] + len(_TRIED)})"
    is_run = sizes == list(range(sizes[0], sizes[-1] + 1))
    return f"range({sizes[0]}, {sizes[-1] + 1})" if is_run else str(tuple(sizes))
