"""The classes and functions of a user's module that can be looked at, and why the others cannot."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import inspect
import linecache
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

import torch

from dimtyped.annotations import ArrayHint, Kind, Signature, arrays_in, read_signature
from dimtyped.cli.targets.settings import Settings
from dimtyped.cli.targets.usage import UsageError
from dimtyped.engine import entry_of
from dimtyped.errors import DeclarationError
from dimtyped.flow import hints_of
from dimtyped.names import is_dim_size

NOT_ANNOTATED = 'its forward has no annotated tensor, such as x: Float[Tensor, "batch seq"]'
"""Why most classes of a code base are skipped."""

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class Member:
    """A class, function or model of a file.

    Args:
        name: Its name in the file.
        thing: It.
        line: Where it is defined.
        skipped: Why it cannot be looked at; empty if it can.
        names: Its parameters and the names in its annotations, which a size may be given for.
        arguments: What a class or factory is made with besides sizes; None for what is not made.
    """

    name: str
    thing: Any
    line: int
    skipped: str = ""
    names: frozenset[str] = frozenset()
    arguments: Mapping[str, Any] | None = field(default=None, compare=False)

    @property
    def is_class(self) -> bool:
        """True of a class."""
        return isinstance(self.thing, type)


def members_of(module: ModuleType, settings: Settings) -> Iterator[Member]:
    """The module classes and annotated functions that a module defines, in order."""
    seen: set[int] = set()
    for name, thing in list(vars(module).items()):
        inner = inspect.unwrap(thing) if isinstance(thing, FunctionType) else thing
        if id(inner) in seen or getattr(thing, "__module__", None) != module.__name__:
            continue
        seen.add(id(inner))
        if isinstance(thing, type) and issubclass(thing, torch.nn.Module):
            yield _of_class(name, thing, settings, vars(module))
        elif isinstance(thing, FunctionType):
            yield from _of_function(name, thing)


def member_named(
    module: ModuleType, name: str, settings: Settings, shown: str, *, needs_annotations: bool = True
) -> Member:
    """What the user asked for by name: a class, a function, a model, or a function that makes one.

    Args:
        module: The user's module.
        name: The name in it.
        settings: What classes are made with.
        shown: The file, as shown.
        needs_annotations: If True, a class whose forward has no annotated tensor is skipped.

    Raises:
        UsageError: There is none.
    """
    thing: Any = module
    for part in name.split("."):
        if not hasattr(thing, part):
            known = [each for each in vars(thing) if not each.startswith("_")] if hasattr(thing, "__dict__") else []
            near = difflib.get_close_matches(part, known, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"it has {_listed(module)}"
            raise UsageError(f"{shown} has no `{name}`", hint)
        thing = getattr(thing, part)
    if isinstance(thing, type) and issubclass(thing, torch.nn.Module):
        return _of_class(name, thing, settings, vars(module), needs_annotations=needs_annotations)
    if isinstance(thing, torch.nn.Module):
        return Member(name, thing, 0, names=_names_in(_signature(type(thing).forward)))
    if isinstance(thing, type) or not callable(thing):
        raise UsageError(
            f"{shown}:{name} is {_kind(thing)}",
            "name a module class, a typed function, a model, or a function that makes one",
        )
    return next(_of_function(name, thing), None) or _of_factory(name, thing, settings, vars(module))


def _kind(thing: object) -> str:
    if isinstance(thing, type):
        return "a class that is not a torch.nn.Module"
    return "a Python module" if isinstance(thing, ModuleType) else f"{thing!r:.60} of type {type(thing).__name__}"


def _listed(module: ModuleType) -> str:
    own = [
        name
        for name, thing in vars(module).items()
        if isinstance(thing, (type, FunctionType)) and thing.__module__ == module.__name__
    ]
    return ", ".join(own[:8]) + (", ..." if len(own) > 8 else "") or "no class and no function"


# Kinds of members -----------------------------------------------------------------------------------------------------


def _of_class(
    name: str,
    cls: type[torch.nn.Module],
    settings: Settings,
    namespace: Mapping[str, Any],
    *,
    needs_annotations: bool = True,
) -> Member:
    line = _line_of(cls)
    if inspect.isabstract(cls):
        return Member(name, cls, line, "it is abstract", _parameters_of(cls))
    try:
        signature = _signature(cls.forward)
    except DeclarationError as error:
        return Member(name, cls, line, _first_line(error), _parameters_of(cls))
    if needs_annotations and not _arrays(signature):
        return Member(name, cls, line, NOT_ANNOTATED, _parameters_of(cls))
    return _made(name, cls, settings, namespace, _names_in(signature))


def _of_factory(name: str, make: Any, settings: Settings, namespace: Mapping[str, Any]) -> Member:
    return _made(name, make, settings, namespace, frozenset())


def _of_function(name: str, function: Any) -> Iterator[Member]:
    """The function, if its annotations name a tensor's axes."""
    line = _line_of(function)
    try:
        signature = _signature(function)
    except DeclarationError as error:
        if entry_of(function) is not None:
            yield Member(name, function, line, _first_line(error))
        return
    if not _arrays(signature):
        return
    inner = inspect.unwrap(function)
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    skipped = "its body runs only when it is awaited or iterated" if any(kind(inner) for kind in kinds) else ""
    yield Member(name, function, line, skipped, _names_in(signature))


def _made(name: str, make: Any, settings: Settings, namespace: Mapping[str, Any], names: frozenset[str]) -> Member:
    """What is made first, with its arguments; skipped if one of them is missing."""
    parameters, hints = inspect.signature(make).parameters, hints_of(make)
    given = settings.arguments_of(name, namespace)
    arguments = {key: value for key, value in given.items() if key in parameters}
    sizes = settings.sizes_of(name)
    missing: list[str] = []
    for key, parameter in parameters.items():
        if key in arguments or key in sizes or parameter.kind in _VARIADIC or is_dim_size(hints.get(key)):
            continue
        if parameter.default is not inspect.Parameter.empty:
            continue
        if _has_only_defaults(hints.get(key)):
            arguments[key] = hints[key]()
        else:
            missing.append(key)
    skipped = ""
    if missing:
        words = " and ".join(f"`{key}`" for key in missing)
        options = " ".join(f"--arg {key}=..." for key in missing)
        verdict = "are not DimSizes" if len(missing) > 1 else "is not a DimSize"
        skipped = f"it needs {words}, which {verdict}: give {options}"
    return Member(name, make, _line_of(make), skipped, names | set(parameters), arguments)


def _has_only_defaults(hint: Any) -> bool:
    """True of a dataclass that can be made without arguments: the configuration of a model."""
    return (
        isinstance(hint, type)
        and dataclasses.is_dataclass(hint)
        and all(
            each.default is not dataclasses.MISSING or each.default_factory is not dataclasses.MISSING
            for each in dataclasses.fields(hint)
            if each.init
        )
    )


# Reading --------------------------------------------------------------------------------------------------------------


def _signature(function: Any) -> Signature | None:
    """The annotations of a user's function; None for one of torch's and for that of a typed layer."""
    entry = entry_of(function)
    if entry is not None:
        return entry.signature if entry.declaration.is_users else None
    if str(getattr(function, "__module__", "")).partition(".")[0] in ("torch", "dimtyped"):
        return None
    return read_signature(function)


def _arrays(signature: Signature | None) -> list[ArrayHint]:
    return [] if signature is None else [array for p in signature.parameters for array in arrays_in(p.hint)]


def _names_in(signature: Signature | None) -> frozenset[str]:
    return frozenset(axis.name for array in _arrays(signature) for axis in array.axes if axis.kind is Kind.NAME)


def _parameters_of(make: Any) -> frozenset[str]:
    return frozenset(inspect.signature(make).parameters)


def _line_of(thing: Any) -> int:
    """The line at which a class or function begins, 0 if it has no source; `inspect` reads a whole file for each class."""
    inner = inspect.unwrap(thing)
    if not isinstance(inner, type):
        return inner.__code__.co_firstlineno if isinstance(inner, FunctionType) else 0
    file = getattr(sys.modules.get(inner.__module__), "__file__", None) or ""
    return _lines_of_classes("".join(linecache.getlines(file))).get(inner.__qualname__, 0)


@functools.lru_cache(maxsize=1)
def _lines_of_classes(source: str) -> dict[str, int]:
    """The first line of each class of a source, by its qualified name."""
    return dict(_classes_in(ast.parse(source).body, ""))


def _classes_in(body: Iterable[ast.stmt], prefix: str) -> Iterator[tuple[str, int]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield f"{prefix}{node.name}", min(each.lineno for each in (node, *node.decorator_list))
            yield from _classes_in(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _classes_in(node.body, f"{prefix}{node.name}.<locals>.")
        else:
            yield from _classes_in([each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt)], prefix)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
