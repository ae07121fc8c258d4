"""Runs a model once, on fake tensors, and keeps the shape of each variable."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dimtyped.errors import DeclarationError
from dimtyped.flow.attempts import Attempts, error_text, sizes_text
from dimtyped.flow.copies import fake_mode
from dimtyped.flow.inputs import bind
from dimtyped.flow.runs import Options, Runner
from dimtyped.flow.shapes.recorder import Key, ShapeRecorder, Variable
from dimtyped.flow.shapes.statements import FunctionSource
from dimtyped.flow.sizes import OTHERS
from dimtyped.flow.targets import Factory, Target, is_annotated, makes_module, target_of
from dimtyped.flow.tracer import TracedFlow

_K = TypeVar("_K")
_WORDS = re.compile(r"[\w%/*+.]+|[^\w%/*+.]+")


@dataclass
class Shapes:
    """The shapes of one run.

    Attributes:
        functions: The functions that ran, by file and first line.
        texts: The shapes of each statement that gives a value, by file and first line.
        variables: The shapes of each variable and parameter alone.
        error: The error that ended the run; empty if it completed.
        notes: Remarks for the reader.
    """

    functions: Mapping[Key, FunctionSource]
    texts: Mapping[Key, Sequence[str]]
    variables: Mapping[Variable, Sequence[str]]
    error: str = ""
    notes: list[str] = field(default_factory=list[str])


def shapes_of(
    target: Any,
    /,
    *args: Any,
    sizes: Mapping[str, int] | None = None,
    arguments: Mapping[str, Any] | None = None,
    skip: Sequence[str] = (),
    **kwargs: Any,
) -> Shapes:
    """The shape of each variable that a run of the target assigns, in names. A run that fails says it up to there.

    Args:
        target: A module, a typed function, or what makes a module, as for `check`.
        *args: Its inputs. Default: made from the annotations.
        sizes: Sizes of names. Default: small ones that differ.
        arguments: What a class or factory takes besides its `DimSize` parameters. Default: none.
        skip: Packages whose lines are not the user's.
        **kwargs: More inputs, by name.

    Raises:
        DeclarationError: The target cannot be run as it was given.
        Exception: What making it raises.
    """
    given = dict(sizes or {})
    if not makes_module(target, arguments):
        return _recorded(target_of(target), args, kwargs, given, skip)
    known = inspect.signature(target).parameters
    factory = Factory(target, {name: size for name, size in given.items() if name in known}, arguments or {})
    best: Shapes | None = None
    for made, made_with in factory.targets():
        left = {name: size for name, size in given.items() if name not in made_with}
        found = _recorded(made, args, kwargs, left, skip)
        found.notes.insert(0, f"made with {sizes_text(made_with)}")
        if not found.error:
            return found
        best = found if best is None or len(found.texts) > len(best.texts) else best
    assert best is not None  # a factory has a target, or raises
    return best


def _recorded(
    target: Target, args: tuple[Any, ...], kwargs: Mapping[str, Any], sizes: Mapping[str, int], skip: Sequence[str]
) -> Shapes:
    given = bind(target.function, args if target.owner is None else (target.owner, *args), kwargs, target.where)
    if target.owner is not None:
        given.pop(next(iter(given)))
    takes_nothing = target.signature is not None and not target.maker.parameters
    if not given and not takes_nothing and not is_annotated(target):
        raise DeclarationError(
            f"{target.where}: no annotation says which tensors it takes, and no inputs were given\n"
            '  Annotate them: x: Float[Tensor, "batch seq"].'
        )
    runner = Runner(target, given, Options(skip=tuple(skip), keeps_mixed=True), fake_mode())
    attempts = Attempts(runner, sizes)
    first, ladder = attempts.first()
    recorders: list[ShapeRecorder] = []

    def around(flow: TracedFlow, _: Any) -> ShapeRecorder:
        recorders.append(ShapeRecorder(flow, skip))
        return recorders[-1]

    runner.around = around
    run = runner.run(first.sizes)
    best = max(recorders, key=lambda each: len(each.shapes))
    recorders.clear()
    other = attempts.run(OTHERS[ladder]) if run.error is None and attempts.free else None
    second = recorders[-1] if other is not None and other.error is None else best
    texts, variables = _common(best.shapes, second.shapes), _common(best.variables, second.variables)
    return Shapes(best.functions, texts, variables, error_text(run.error) if run.error else "", list(attempts.notes))


def _common(first: Mapping[_K, Sequence[str]], second: Mapping[_K, Sequence[str]]) -> dict[_K, list[str]]:
    return {key: _in_both(found, second.get(key, found)) for key, found in first.items()}


def _in_both(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """The texts of a run, with `_` for each size without a name that another run has otherwise."""
    if len(first) != len(second):
        return list(first)
    return list(dict.fromkeys(_without_chance(*pair) for pair in zip(first, second, strict=True)))


def _without_chance(first: str, second: str) -> str:
    words = [_WORDS.findall(text) for text in (first, second)]
    if len(words[0]) != len(words[1]):
        return first
    return "".join("_" if one != two and one.isdecimal() else one for one, two in zip(*words, strict=True))
