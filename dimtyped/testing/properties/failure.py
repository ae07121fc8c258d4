"""The text of a failure of `fuzz`: the smallest inputs by name and size, and the line that repeats it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import hypothesis
import torch
from hypothesis import reject, reproduce_failure, settings
from hypothesis.errors import DidNotReproduce, Flaky, UnsatisfiedAssumption

from dimtyped.diagnosis import snapshot
from dimtyped.errors import DeclarationError, DimensionError
from dimtyped.testing.properties.deterministic import QUIET
from dimtyped.testing.properties.domain import is_out_of_domain
from dimtyped.testing.properties.mixing import MixedError
from dimtyped.testing.strategies.broken_calls import Broken
from dimtyped.testing.strategies.calls import Call

_PLACE = "..."
_SHOWN = 12  # numbers of a tensor that are printed
_BLOB = re.compile(r"reproduce_failure\('([^']+)', b'([^']+)'\)")


class FuzzError(AssertionError):
    """A module does with some inputs what it must not.

    `sizes` are those of the smallest inputs found, `error` is what the module, or the check of its result, has raised.
    """

    __module__ = "dimtyped.testing"

    sizes: Mapping[str, int] = {}  # replaced on the instance, never changed
    error: Exception | None = None
    call: Call | None = None


def reraise(call: Call, action: Callable[[], None], broken: Broken | None = None) -> None:
    """Runs a check of a call. Its errors are raised as a FuzzError that shows the inputs.

    A call outside the model's domain is rejected: hypothesis draws another.

    Raises:
        FuzzError: the check fails.
    """
    try:
        action()
    except UnsatisfiedAssumption:
        raise
    except Exception as error:  # noqa: BLE001  # whatever a user's module raises
        failure = None if is_out_of_domain(call, error) else failure_of(call, error, broken)
    else:
        return
    if failure is None:
        reject()
    raise failure  # not while `error` is handled: hypothesis groups failures by their context, which may differ between runs


def failure_of(call: Call, error: Exception, broken: Broken | None = None) -> FuzzError:
    """The error of a call that fails."""
    sizes = {name: size for name, size in call.sizes.items() if name not in call.target.sizes}
    found = ", ".join(f"{name}={size}" for name, size in sizes.items())
    reason = _reason(error, call.target.name)
    failure = FuzzError(
        f"{call.target.name} fails{f' for {found}' if found else ''}: {reason.partition(chr(10))[0]}\n\n"
        + "\n".join(_inputs(call, broken))
        + _rest(reason)
    )
    failure.sizes, failure.error, failure.call = sizes, error, call
    return failure


def search(check: Any, kind: str, repeat: str, max_examples: int) -> FuzzError | None:
    """Runs a property test, or the one example to repeat.

    Returns:
        The smallest failure found, with the example that repeats it as its only note; None if there is none.
    """
    test = settings(max_examples=max_examples, print_blob=True, **QUIET)(check)
    if repeat:
        version, blob = _parsed(repeat)[1:]
        test = reproduce_failure(version, blob.encode())(test)
    try:
        test()
    except FuzzError as failure:
        notes = "\n".join(getattr(failure, "__notes__", ()))
        found = _BLOB.search(notes)
        failure.__notes__ = [f"{kind}:{found[1]}:{found[2]}" if found is not None else repeat]
        return failure
    except DidNotReproduce:
        return None  # what failed then is right now
    except Flaky as error:
        return _inconsistent(error)
    return None


def _inconsistent(error: Flaky) -> FuzzError:
    """The failure of a module that does not fail again with the same inputs."""
    causes = [cause for cause in getattr(error, "exceptions", ()) if isinstance(cause, FuzzError)]
    text = str(causes[0]) if causes else str(error)
    failure = FuzzError(
        f"{text}\n\n  The same call, made again, does not fail so: what it does depends on the calls before it."
    )
    failure.__notes__ = [""]
    if causes:
        failure.sizes, failure.error = causes[0].sizes, causes[0].error
    return failure


def raised(failure: FuzzError, line: str, advice: str = "") -> FuzzError:
    """The failure with its advice and the line that repeats it, raised by what the module has raised."""
    (again,) = failure.__notes__
    failure.__notes__ = []
    repeat = f"\n\n  To repeat it: {line.replace(_PLACE, again)}" if again else ""
    failure.args = (f"{failure}{advice}{repeat}",)
    failure.__cause__ = failure.error
    return failure


def is_alike(failure: FuzzError, other: FuzzError) -> bool:
    """True if two failures are of one kind, at one place."""
    return _kind(failure.error) == _kind(other.error)


def _kind(error: Exception | None) -> tuple[Any, ...]:
    if isinstance(error, DimensionError):
        return type(error), error.where, error.argument
    if isinstance(error, MixedError):
        return type(error), error.axis
    return type(error), re.sub(r"\W*\d+\W*", " ", str(error).partition("\n")[0])


def chosen(checks: Mapping[str, Any], repeat: str) -> dict[str, Any]:
    """The checks to run: all, or the one to repeat.

    Raises:
        DeclarationError: `repeat` is nothing that a failure has printed, or another release of hypothesis made it.
    """
    if not repeat:
        return dict(checks)
    kind, version, _ = _parsed(repeat)
    if version != hypothesis.__version__:
        raise DeclarationError(
            f"repeat={repeat[:20]!r}... was printed by hypothesis {version}, this is {hypothesis.__version__}\n"
            "  Leave repeat= out: fuzz() tries the same calls each time."
        )
    if kind.removesuffix(DISTINCT) not in checks:
        raise DeclarationError(
            f"repeat={repeat[:20]!r}... is of a {kind} call, and none is asked for\n  Give fuzz() the options it had then."
        )
    return {kind: checks[kind.removesuffix(DISTINCT)]}


DISTINCT = "-distinct"
"""The end of a check's kind where no two names have one size."""


def line_of(options: Mapping[str, Any]) -> str:
    """The line that repeats a failure, with a place for what to repeat."""
    given = "".join(f", {name}={value!r}" for name, value in options.items() if value)
    return f'fuzz(model{given}, repeat="{_PLACE}")'


def _parsed(repeat: str) -> tuple[str, str, str]:
    parts = repeat.split(":")
    if len(parts) != 3:
        raise DeclarationError(
            f"repeat={repeat!r} is nothing that a failure of fuzz() has printed: it takes that text, whole"
        )
    return parts[0], parts[1], parts[2]


def _inputs(call: Call, broken: Broken | None) -> Iterator[str]:
    """Each argument by name, as it looks."""
    annotations = {parameter.name: parameter for parameter in call.target.parameters}
    args, kwargs = (broken.args, broken.kwargs) if broken is not None else (call.args, call.kwargs)
    given = {**dict(zip(annotations, args, strict=False)), **kwargs}
    width = max(map(len, given), default=0)
    for name, value in given.items():
        yield f"    {name:<{width}}  {snapshot(value)}{_notable(value)}"


def _notable(value: Any) -> str:
    """The strides of a tensor that is not contiguous, and the values of one with a few ids, lengths or places of a mask."""
    if not isinstance(value, torch.Tensor):
        return ""
    strides = "" if value.is_contiguous() else f", strides {tuple(value.stride())}"
    is_few = value.numel() <= _SHOWN and not (value.is_floating_point() or value.is_complex())
    return f"{strides}  {value.tolist()}" if is_few else strides


def _reason(error: Exception, name: str) -> str:
    """The text of an error, without what the failure says itself."""
    if isinstance(error, MixedError):
        first, where = str(error).partition("\n")[0], f"\n\n  {error.where}" if error.where else ""
        return f"{first.removeprefix(f'{name}: ')}{where}"
    return str(error) if type(error) is AssertionError else f"{type(error).__name__}: {error}"


def _rest(reason: str) -> str:
    rest = reason.partition("\n")[2].strip("\n")
    return f"\n\n{rest}" if rest else ""
