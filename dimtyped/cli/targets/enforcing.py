"""Annotations that nothing enforces: those of plain functions, and of modules that are torch's own kind."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType, ModuleType
from typing import Any

import torch

from dimtyped.annotations import Signature, arrays_in, read_signature
from dimtyped.engine import entry_of, typed
from dimtyped.errors import DeclarationError


@contextmanager
def enforced(module: ModuleType) -> Generator[None]:
    """Makes `typed`, inside the block, what a module annotates for tensors: functions, and methods of module classes.

    Otherwise a result that does not fit its annotation would be nobody's business. What is typed already, or decorated by
    another library, stays as it is.
    """
    with ExitStack() as stack:
        for holder, name, function in list(_only_annotated(module)):
            stack.callback(setattr, holder, name, function)
            setattr(holder, name, typed(function))
        yield


def _only_annotated(module: ModuleType) -> Iterator[tuple[Any, str, FunctionType]]:
    """The functions of a module and its classes that are annotated for tensors and not typed, each with where it is."""
    own = [(name, thing) for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
    classes = [thing for _, thing in own if isinstance(thing, type) and issubclass(thing, torch.nn.Module)]
    places = [(module, *pair) for pair in own] + [(cls, *pair) for cls in classes for pair in vars(cls).items()]
    for holder, name, thing in places:
        if isinstance(thing, FunctionType) and _is_only_annotated(thing):
            yield holder, name, thing


def _is_only_annotated(function: FunctionType) -> bool:
    if entry_of(function) is not None or hasattr(function, "__wrapped__"):
        return False
    try:
        return _names_tensors(read_signature(function))
    except DeclarationError:
        return False  # it is said where it is checked


def _names_tensors(signature: Signature) -> bool:
    """True if a parameter or the result is annotated for a tensor."""
    hints = [*(parameter.hint for parameter in signature.parameters), signature.result]
    return any(arrays_in(hint) for hint in hints)
