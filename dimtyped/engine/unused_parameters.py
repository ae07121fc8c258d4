"""`DimSize` parameters that nothing uses: neither their constructor, nor an annotation of the module or of one above it.

The modules above are known at the first call, so the warning comes there.
"""

from __future__ import annotations

import dis
import functools
import inspect
import re
import types
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from dimtyped.engine.checked_function import MARK, CheckedFunction
from dimtyped.names import UNUSED, all_holders_of, held_scope, settle
from dimtyped.runtime import members_of, warn_caller

_READS_ALL = {"locals", "vars", "eval", "exec", "currentframe", "_getframe", "stack", "save_hyperparameters"}
_WORD = re.compile(r"[^\W\d]\w*")
_ALL = "*"
_LIBRARIES = ("torch.", "dimtyped.", "builtins.", "typing.")


def unmentioned(init: Any, parameters: Iterable[str]) -> list[str]:
    """The parameters that a constructor's code never reads; none where it may read them all at once, as `locals()` does."""
    inner: Any = inspect.unwrap(init)
    code: types.CodeType | None = getattr(inner, "__code__", None)
    if code is None or set(code.co_names) & _READS_ALL:
        return []
    read: set[Any] = set()
    for instruction in dis.get_instructions(code):
        if not instruction.opname.startswith("STORE"):
            read.update(instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,))
    return [name for name in parameters if name not in read]


def note_unused(module: torch.nn.Module, parameters: Iterable[str]) -> None:
    """Notes the parameters that the module's own annotations do not use either; its first call tells them."""
    declared, words = held_scope(module).names, _words(type(module))
    unused = [name for name in parameters if name in declared and name not in words and _ALL not in words]
    if unused:
        module.__dict__[UNUSED] = [*module.__dict__.get(UNUSED, ()), *unused]
        settle(module, held_scope(module).claims)


def warn_of_unused(root: torch.nn.Module) -> None:
    """Warns of the parameters of a module, and of those in it, that no annotation above uses."""
    for module in members_of(root):
        names: list[str] = module.__dict__.pop(UNUSED, [])
        used = (
            set[str]().union(*map(_words, {type(above) for above in all_holders_of(module)})) if names else set[str]()
        )
        sizes = held_scope(module).names
        for name in (name for name in names if name in sizes and name not in used and _ALL not in used):
            warn_caller(
                f"{type(module).__name__}: the DimSize parameter `{name}`, here {sizes[name]}, is used neither in __init__ nor in an "
                "annotation. Pass it to the layer that it is for, or remove it."
            )


def _words(cls: type) -> set[str]:
    """Every word in the annotations of a class's methods; `*` where a body may check any name, as `assert_dims` does."""
    return set[str]().union(*(_words_in_library(b) if _is_of_library(b) else _words_in(b) for b in cls.__mro__))


def _is_of_library(cls: type) -> bool:
    return f"{cls.__module__}.".startswith(_LIBRARIES)


def _words_in(cls: type) -> set[str]:
    return {word for member in list(vars(cls).values()) for word in _words_of(member)}


_words_in_library = functools.cache(_words_in)  # torch.nn.Module alone has ninety methods, which every module inherits


def _words_of(member: Any) -> Iterator[str]:
    for part in (member, *(getattr(member, name, None) for name in ("__func__", "fget", "func"))):
        entry: CheckedFunction | None = getattr(part, MARK, None)
        function: Any = entry.declaration.function if entry is not None else part
        if not isinstance(function, types.FunctionType):
            continue
        if "assert_dims" in function.__code__.co_names:
            yield _ALL
        for hint in getattr(inspect.unwrap(function), "__annotations__", {}).values():
            yield from _WORD.findall(hint if isinstance(hint, str) else repr(hint))
