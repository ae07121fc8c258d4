"""Checks of functions that are defined again, as a closure in a training step is: they are compiled once.

A definition is described by all that its compiled check is made from: the code object, the annotations, the defaults.
Two definitions with the same description have the same check. The description holds no function, so a closure's
variables live no longer than the closure.
"""

from __future__ import annotations

import builtins
import types
import typing
from collections.abc import Hashable, Iterator
from typing import Any

from jaxtyping import AbstractArray

from dimtyped.annotations import words_in
from dimtyped.engine.compiler import Compiled
from dimtyped.engine.declaration import Declaration
from dimtyped.engine.rules import Rules

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_BUILTINS = vars(builtins)
_MOST = 1024

_compiled: dict[Hashable, Compiled] = {}


def find_compiled(definition: Hashable | None) -> Compiled | None:
    """The check of an earlier, equal definition; None if there was none, or if the definition has no description."""
    found = _compiled.get(definition)
    return None if found is None else found.copy()


def keep_compiled(definition: Hashable | None, compiled: Compiled) -> None:
    """Keeps the check for later definitions; the oldest one goes if there are too many."""
    if definition is None:
        return
    while len(_compiled) >= _MOST:
        del _compiled[next(iter(_compiled))]
    _compiled[definition] = compiled


def forget_compiled(definition: Hashable | None) -> None:
    """Drops a kept check, so that an equal definition compiles its own and warns again."""
    _compiled.pop(definition, None)


def definition_of(declaration: Declaration, scope_key: str | None) -> Hashable | None:
    """The description of a user's function for modules that declare `scope_key`.

    Returns:
        None where a check cannot be shared: the function of a layer, one that a decorator below has marked, one whose
        string annotations use local variables, a default that is no plain value.
    """
    function: Any = declaration.function
    rules = declaration.rules
    if type(function) is not types.FunctionType or function.__dict__ or declaration.names:
        return None
    if type(rules) is not Rules or rules.__dict__:
        return None
    try:
        annotations = function.__annotations__
    except NameError:  # from Python 3.14 on they are evaluated here, and may name what comes later
        return None
    try:
        return (
            function.__code__,
            function.__qualname__,
            scope_key,
            declaration.is_method,
            declaration.only_if_tensors,
            bool(declaration.code_objects),
            tuple(declaration.fixed.items()),
            tuple(map(_plain, function.__defaults__ or ())),
            tuple([(name, _plain(value)) for name, value in (function.__kwdefaults__ or {}).items()]),
            tuple([(name, _described(value, function)) for name, value in annotations.items()]),
        )
    except _NotSharedError:
        return None


class _NotSharedError(Exception):
    """The definition cannot be described."""


def _plain(value: Any) -> Hashable:
    if type(value) not in _PLAIN:
        raise _NotSharedError
    return type(value), repr(value)  # 1, 1.0 and True are equal; so are 0.0 and -0.0


def _described(annotation: Any, function: types.FunctionType) -> Hashable:
    """An annotation as a value; jaxtyping makes a class of its own each time that one is written."""
    if isinstance(annotation, str):
        return annotation, tuple(_meanings(annotation, function))
    if isinstance(annotation, type) and issubclass(annotation, AbstractArray):
        array: Any = annotation
        return array.dtype, array.array_type, array.dim_str
    arguments = typing.get_args(annotation)
    if arguments and typing.get_origin(annotation) is not typing.Literal:
        parts = tuple(_described(part, function) for part in arguments)
        return type(annotation), typing.get_origin(annotation), parts
    if isinstance(annotation, type) or annotation is None or annotation is Ellipsis or annotation is Any:
        return annotation
    raise _NotSharedError


def _meanings(text: str, function: types.FunctionType) -> Iterator[Hashable]:
    """The objects that the names in a string annotation have now; another alias of that name is another annotation."""
    known, free = function.__globals__, function.__code__.co_freevars
    for word in words_in(text):
        if word in free:
            raise _NotSharedError
        meaning = known[word] if word in known else _BUILTINS.get(word)
        if isinstance(meaning, types.ModuleType):
            yield meaning
        else:
            yield _plain(meaning) if type(meaning) in _PLAIN else _described(meaning, function)
