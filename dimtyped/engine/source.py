"""Python source, written line by line, and the objects that it uses."""

from __future__ import annotations

import builtins
import itertools
import types
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from dimtyped.runtime import PREFIX

TENSOR = f"{PREFIX}Tensor"
"""The name of the class of tensors in the source of each check: TorchDynamo guards each name of a class."""


class SourceWriter:
    """Writes the body of one function.

    Args:
        taken: The parameters' names. If one hides a builtin, such as `len`, the source uses the builtin under another name.
    """

    def __init__(self, taken: Collection[str] = ()) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self.literals: dict[str, Any] = {}
        self._taken = taken
        self._depth = 1
        self._counter = itertools.count()
        self.isinstance, self.len, self.tuple = (self.python(name) for name in ("isinstance", "len", "tuple"))

    def write(self, *lines: str) -> None:
        """Adds lines at the current depth."""
        self.lines.extend(f"{'    ' * self._depth}{line}" for line in lines)

    @contextmanager
    def block(self, head: str) -> Generator[None]:
        """Writes `head`; the lines in the `with` block stand one level deeper. An annotation may need none: `Any | Tensor`."""
        self.write(head)
        self._depth += 1
        before = len(self.lines)
        try:
            yield
            if len(self.lines) == before:
                self.write("pass")
        finally:
            self._depth -= 1

    def constant(self, value: Any, kind: str) -> str:
        """The name under which the source finds this object."""
        if value is torch.Tensor:
            return TENSOR
        for name, known in self.constants.items():
            if known is value:
                return name
        name = f"{PREFIX}{kind}{len(self.constants)}"
        self.constants[name] = value
        return name

    def literal(self, value: Any, kind: str) -> str:
        """The text of a string in whose place the code will have this object; see `with_literals`.

        TorchDynamo guards a global variable, and not a constant of the code. It must be one that TorchDynamo takes for a
        constant, and hashable.
        """
        text = next((text for text, known in self.literals.items() if known is value), "")
        if not text:
            text = f"{PREFIX}{kind}{len(self.literals)}"
            self.literals[text] = value
        return repr(text)

    def python(self, name: str) -> str:
        """The name under which the source finds a builtin function or class."""
        return self.constant(getattr(builtins, name), "python") if name in self._taken else name

    def fresh(self, kind: str) -> str:
        """A variable that nothing else uses."""
        return f"{PREFIX}{kind}{next(self._counter)}"

    @contextmanager
    def apart(self) -> Generator[list[str]]:
        """Yields a list that collects the lines written meanwhile, without the indentation of the body."""
        before, self.lines = self.lines, []
        apart: list[str] = []
        try:
            yield apart
        finally:
            apart += [line.removeprefix("    ") for line in self.lines]
            self.lines = before


def with_literals(code: types.CodeType, literals: Mapping[str, Any]) -> types.CodeType:
    """The code, and all code in it, with objects in place of the strings that stand for them."""
    if not literals:
        return code
    constants = tuple(
        with_literals(each, literals)
        if isinstance(each, types.CodeType)
        else literals.get(each, each)
        if isinstance(each, str)
        else each
        for each in code.co_consts
    )
    return code.replace(co_consts=constants)
