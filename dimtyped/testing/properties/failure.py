"""What a failure of `fuzz` says: the smallest inputs by name and size, and the line that repeats it."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import hypothesis
import torch
from hypothesis import reject, reproduce_failure, settings
from hypothesis.errors import DidNotReproduce

from dimtyped.diagnosis import snapshot
from dimtyped.errors import DeclarationError
from dimtyped.testing.properties.deterministic import QUIET
from dimtyped.testing.properties.domain import ONLY_COUNTED, is_too_small
from dimtyped.testing.properties.mixing import MixedError
from dimtyped.testing.strategies.broken_calls import Broken
from dimtyped.testing.strategies.calls import Call

_PLACE = "..."
_SHOWN = 12  # numbers of a tensor that are printed
_BLOB = re.compile(r"reproduce_failure\('([^']+)', b'([^']+)'\)")


class FuzzError(AssertionError):
    """A module does with some inputs what it must not. `sizes` are those of the smallest inputs found."""

    sizes: Mapping[str, int] = {}  # replaced on the instance, never changed


@contextmanager
def telling(call: Call, broken: Broken | None = None) -> Generator[None]:
    """Gives whatever a call raises our text, with the inputs in it. Gives up on a call that the model is not meant for."""
    try:
        yield
    except Exception as error:  # whatever a user's module raises
        if is_too_small(call, error):
            reject()
        sizes = {name: size for name, size in call.sizes.items() if name not in call.target.sizes}
        found = ", ".join(f"{name}={size}" for name, size in sizes.items())
        reason = _reason(error, call.target.name)
        failure = FuzzError(
            f"{call.target.name} fails{f' for {found}' if found else ''}: {_first_line(reason)}\n\n"
            + "\n".join(_inputs(call, broken))
            + _rest(reason)
            + ("" if broken else _other_sizes(error, sizes))
        )
        failure.sizes = sizes
        raise failure from error


def search(check: Any, kind: str, line: str, repeat: str, max_examples: int) -> None:
    """Runs a property test, or the one example to repeat; its failure gets the line that repeats it.

    Raises:
        FuzzError: the smallest failure found.
    """
    test = settings(max_examples=max_examples, print_blob=True, **QUIET)(check)
    if repeat:
        version, blob = _parsed(repeat)[1:]
        test = reproduce_failure(version, blob.encode())(test)
    try:
        test()
    except FuzzError as failure:
        notes = "\n".join(getattr(failure, "__notes__", ()))
        failure.__notes__ = []
        found = _BLOB.search(notes)
        again = f"{kind}:{found[1]}:{found[2]}" if found is not None else repeat
        failure.args = (f"{failure}\n\n  To repeat it: {line.replace(_PLACE, again)}" if again else str(failure),)
        raise
    except DidNotReproduce:
        return  # what failed then is right now


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
    if kind not in checks:
        raise DeclarationError(
            f"repeat={repeat[:20]!r}... is of a {kind} call, and none is asked for\n  Give fuzz() the options it had then."
        )
    return {kind: checks[kind]}


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
    """What else matters of a tensor: how it lies in memory, and a few ids, lengths or places of a mask."""
    if not isinstance(value, torch.Tensor):
        return ""
    strides = "" if value.is_contiguous() else f", strides {tuple(value.stride())}"
    is_few = value.numel() <= _SHOWN and not (value.is_floating_point() or value.is_complex())
    return f"{strides}  {value.tolist()}" if is_few else strides


def _other_sizes(error: Exception, sizes: Mapping[str, int]) -> str:
    """What to write where a model is right to raise: for a longer sequence than it has places, a smaller image."""
    is_finding = isinstance(error, AssertionError) or getattr(error, "argument", "") == "return"
    free = ", ".join(f"{name!r}: ..." for name in sizes if name not in ONLY_COUNTED)
    if is_finding or not free:
        return ""
    return f"\n\n  If it is not meant for these sizes, give those that it is meant for: sizes={{{free}}}."


def _reason(error: Exception, name: str) -> str:
    """What was raised, without what the failure says itself."""
    if isinstance(error, MixedError):
        first, where = str(error).partition("\n")[0], f"\n\n  {error.where}" if error.where else ""
        return f"{first.removeprefix(f'{name}: ')}{where}"
    return str(error) if type(error) is AssertionError else f"{type(error).__name__}: {error}"


def _first_line(reason: str) -> str:
    return reason.partition("\n")[0]


def _rest(reason: str) -> str:
    rest = reason.partition("\n")[2].strip("\n")
    return f"\n\n{rest}" if rest else ""
