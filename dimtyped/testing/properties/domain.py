"""Calls that fit the annotations but lie outside a model's domain, such as an image smaller than the kernel."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

from hypothesis import find, settings
from hypothesis.errors import NoSuchExample, Unsatisfiable

from dimtyped.errors import DeclarationError, DimensionError
from dimtyped.nn.contract import space_names
from dimtyped.testing.properties.deterministic import QUIET, run
from dimtyped.testing.properties.subject import Subject
from dimtyped.testing.strategies.calls import Call, drawn_calls, refusal_of

_TRIED = 5
_UNNAMED = '  Put it in a module whose forward annotates its input: x: Float[Tensor, "batch 1 28 28"].'
ONLY_COUNTED = ("batch",)
"""Names of axes along which no model has a minimum or maximum size."""
_SPACES = {name for axes in (1, 2, 3) for name in space_names(axes)}
_TORCH_SAYS = re.compile(
    r"Output size is too small|Kernel size can't be greater than actual input size"
    r"|Padding size should be less than the corresponding input dimension"
)
_UNSORTED = "must be sorted in decreasing order"


def is_out_of_domain(call: Call, error: Exception) -> bool:
    """True for an image that is too small, and for unsorted lengths if a model requires sorted ones."""
    return is_too_small(call, error) or (isinstance(error, RuntimeError) and _UNSORTED in str(error))


def is_too_small(call: Call, error: Exception) -> bool:
    """True if a kernel or a window is larger than the image that a call's free sizes make, or does not divide it.

    Never if all sizes but the batch are declared or given, because then the model is wrong.
    """
    if not call.sizes.keys() - {*call.target.sizes, *call.target.given, *ONLY_COUNTED}:
        return False
    if isinstance(error, DimensionError):
        limits = ("at least ", "a multiple of ")
        return error.dim in _SPACES and isinstance(error.expected, str) and error.expected.startswith(limits)
    return isinstance(error, RuntimeError) and bool(_TORCH_SAYS.search(str(error)))


@contextmanager
def explained_where_none_fits(subject: Subject) -> Generator[None]:
    """Explains why no call was found that a model takes, of which hypothesis only says that there was none.

    Raises:
        DeclarationError: with the smallest call that was rejected, and its error.
    """
    try:
        yield
    except Unsatisfiable:
        raise _none_fits(subject) from None


def _none_fits(subject: Subject) -> DeclarationError:
    tried = drawn_calls(subject.plain, takes=False)
    try:
        call = find(tried, lambda call: _refusal(call) is not None, settings=settings(max_examples=_TRIED, **QUIET))
    except (NoSuchExample, Unsatisfiable):
        return DeclarationError(
            f"{subject.name}: no call was found that fits the annotations together\n"
            "  Give sizes of names: sizes={'seq': 8}."
        )
    reason = str(_refusal(call)).partition("\n")[0]
    free = {name: 32 for name in call.sizes if name not in {*call.target.sizes, *ONLY_COUNTED}}
    return DeclarationError(
        f"{subject.name}: no call was found that it takes; the smallest one fails: {reason}\n"
        + (f"  Give the sizes that it is meant for, such as sizes={free}." if free else _UNNAMED)
    )


def _refusal(call: Call) -> Exception | None:
    """The error of a call that a layer rejects, or that is outside the model's domain."""
    refused = refusal_of(call)
    if refused is not None:
        return refused
    try:
        run(call, double=False)
    except Exception as error:  # noqa: BLE001  # a user's own code; its error is examined, not swallowed
        return error if is_out_of_domain(call, error) else None
    return None
