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
    """A module fails with some inputs.

    `sizes` are those of the smallest inputs found, `error` is the error of the module, or of the check of its result.
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
    except Exception as error:  # noqa: BLE001  # any exception of a user's module
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
        return None  # the call that failed before passes now
    except Flaky as error:
        return _inconsistent(error)
    return None


def _inconsistent(error: Flaky) -> FuzzError:
    """The failure of a module that does not fail again with the same inputs."""
    causes = [cause for cause in getattr(error, "exceptions", ()) if isinstance(cause, FuzzError)]
    text = str(causes[0]) if causes else str(error)
    failure = FuzzError(
        f"{text}\n\n  The same call does not fail the same way when repeated: it depends on earlier calls."
    )
    failure.__notes__ = [""]
    if causes:
        failure.sizes, failure.error = causes[0].sizes, causes[0].error
    return failure


def raised(failure: FuzzError, line: str, advice: str = "") -> FuzzError:
    """The failure with its advice and the line that repeats it, caused by the module's own error."""
    (again,) = failure.__notes__
    failure.__notes__ = []
    repeat = f"\n\n  To repeat it: {line.replace(_PLACE, again)}" if again else ""
    failure.args = (f"{failure}{advice}{repeat}",)
    failure.__cause__ = failure.error
    return failure


def is_alike(failure: FuzzError, other: FuzzError) -> bool:
    """True if two failures have the same kind and place."""
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
        DeclarationError: no failure printed `repeat`, or another release of hypothesis did.
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
            f"repeat={repeat[:20]!r}... is of a {kind} call, which these options do not make\n"
            "  Give fuzz() the options of the failed run."
        )
    return {kind: checks[kind.removesuffix(DISTINCT)]}


DISTINCT = "-distinct"
"""The suffix of a check's kind if no two names have the same size."""


def line_of(options: Mapping[str, Any]) -> str:
    """The line that repeats a failure, with a place for what to repeat."""
    given = "".join(f", {name}={value!r}" for name, value in options.items() if value)
    return f'fuzz(model{given}, repeat="{_PLACE}")'


def _parsed(repeat: str) -> tuple[str, str, str]:
    parts = repeat.split(":")
    if len(parts) != 3:
        raise DeclarationError(f"repeat={repeat!r} was not printed by a failure of fuzz(): give the whole text")
    return parts[0], parts[1], parts[2]


def _inputs(call: Call, broken: Broken | None) -> Iterator[str]:
    """Each argument by name, with its description."""
    annotations = {parameter.name: parameter for parameter in call.target.parameters}
    args, kwargs = (broken.args, broken.kwargs) if broken is not None else (call.args, call.kwargs)
    given = {**dict(zip(annotations, args, strict=False)), **kwargs}
    width = max(map(len, given), default=0)
    for name, value in given.items():
        yield f"    {name:<{width}}  {snapshot(value)}{_notable(value)}"


def _notable(value: Any) -> str:
    """The strides of a non-contiguous tensor, and the values of a small one with ids, lengths or a mask."""
    if not isinstance(value, torch.Tensor):
        return ""
    strides = "" if value.is_contiguous() else f", strides {tuple(value.stride())}"
    is_few = value.numel() <= _SHOWN and not (value.is_floating_point() or value.is_complex())
    return f"{strides}  {value.tolist()}" if is_few else strides


def _reason(error: Exception, name: str) -> str:
    """The text of an error, without the parts that the failure already shows."""
    if isinstance(error, MixedError):
        first, where = str(error).partition("\n")[0], f"\n\n  {error.where}" if error.where else ""
        return f"{first.removeprefix(f'{name}: ')}{where}"
    return str(error) if type(error) is AssertionError else f"{type(error).__name__}: {error}"


def _rest(reason: str) -> str:
    rest = reason.partition("\n")[2].strip("\n")
    return f"\n\n{rest}" if rest else ""
