"""Conditions on a call, as objects that write their own Python source for the compiled check.

`of_call` and `of_owner` make them; `&`, `|` and `~` combine them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

_OR, _AND, _NOT, _LEAF = range(4)


class _Attribute(NamedTuple):
    """A place in the text that reads an attribute of the function's owner."""

    path: str


class _Constant(NamedTuple):
    """A place in the text for an object."""

    value: object


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition on the parameters of a function, and on attributes of the first one, its owner."""

    _parts: tuple[str | _Attribute | _Constant, ...]
    _level: int = _LEAF

    def source(self, read: Callable[[str], str] = "self.{}".format, constant: Callable[[object], str] = repr) -> str:
        """The condition in Python.

        `read` gives the source that reads an attribute of the owner, `constant` the source of an object.
        """
        texts = (
            read(part.path)
            if isinstance(part, _Attribute)
            else constant(part.value)
            if isinstance(part, _Constant)
            else part
            for part in self._parts
        )
        return "".join(texts)

    @property
    def paths(self) -> Collection[str]:
        """The attributes of the owner that it reads, each as a path."""
        return [part.path for part in self._parts if isinstance(part, _Attribute)]

    def __and__(self, other: Predicate) -> Predicate:
        return Predicate((*self._inside(_AND), " and ", *other._inside(_AND)), _AND)

    def __or__(self, other: Predicate) -> Predicate:
        return Predicate((*self._inside(_OR), " or ", *other._inside(_OR)), _OR)

    def __invert__(self) -> Predicate:
        return Predicate(("not ", *self._inside(_NOT)), _NOT)

    def _inside(self, level: int) -> tuple[str | _Attribute | _Constant, ...]:
        """The parts as an operand, in brackets if the operator around binds closer."""
        return ("(", *self._parts, ")") if self._level < level else self._parts


def of_call(condition: str, *constants: object) -> Predicate:
    """A condition in Python on the function's parameters, without `and` and `or`.

    Each `{}` in it stands for one of the constants: `of_call("target.dtype == {}", torch.int64)`.
    """
    first, *others = condition.split("{}")
    pairs = zip(map(_Constant, constants), others, strict=True)
    return Predicate((first, *(part for pair in pairs for part in pair if part)))


def of_owner(path: str, condition: str = "{}") -> Predicate:
    """A condition on an attribute of the owner: `of_owner("mode", "{} == 'sum'")`. Default: the attribute is true."""
    before, after = condition.split("{}")
    return Predicate(tuple(part for part in (before, _Attribute(path), after) if part))


ALWAYS = of_call("True")
"""The condition that is true for every call."""
