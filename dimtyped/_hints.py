"""Type hints as data: a small tree that both engines and the diagnosis walk.

What the tree cannot express (`PyTree`, arrays that are not torch's, a `Callable` of tensors) raises
`Inexpressible`, and the signature goes to the reference engine whole.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from dimtyped._axes import ArrayHint, Axis, Kind, annotation_text, is_array_annotation, read_array

_LISTS = (list, collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Collection)
_LAZY = (
    collections.abc.Iterator,
    collections.abc.Iterable,
    collections.abc.Generator,
    collections.abc.AsyncIterator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncGenerator,
)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


class Inexpressible(Exception):
    """This annotation is for the reference engine."""


@dataclass(frozen=True, slots=True)
class AnythingHint:
    """No annotation, `Any` or `object`: nothing to check."""

    annotation: Any


@dataclass(frozen=True, slots=True)
class ClassHint:
    """A plain class: an `isinstance` test, as beartype's."""

    annotation: Any
    cls: type | tuple[type, ...]


@dataclass(frozen=True, slots=True)
class BeartypeHint:
    """A hint without a tensor in it that beartype decides."""

    annotation: Any


@dataclass(frozen=True, slots=True)
class UnionHint:
    """The first option that fits decides."""

    annotation: Any
    options: tuple[Hint, ...]


@dataclass(frozen=True, slots=True)
class TupleHint:
    """`tuple[A, B]`: so many items, each its own hint."""

    annotation: Any
    items: tuple[Hint, ...]


@dataclass(frozen=True, slots=True)
class ItemsHint:
    """`list[A]`, `tuple[A, ...]`, `Sequence[A]`: every item is checked."""

    annotation: Any
    cls: type
    item: Hint


@dataclass(frozen=True, slots=True)
class MappingHint:
    """`dict[K, A]`: every key and value is checked."""

    annotation: Any
    cls: type
    key: Hint
    value: Hint


@dataclass(frozen=True, slots=True)
class RecordHint:
    """A NamedTuple or dataclass with tensors among its annotated fields."""

    annotation: Any
    cls: type
    fields: tuple[tuple[str, Hint], ...]


Hint: TypeAlias = (
    AnythingHint | ArrayHint | ClassHint | BeartypeHint | UnionHint | TupleHint | ItemsHint | MappingHint | RecordHint
)


def read_hint(annotation: Any) -> Hint:
    """The tree of one annotation, already resolved (no strings in it).

    Raises:
        Inexpressible: where only the reference engine can decide.
    """
    if annotation in (Any, object):
        return AnythingHint(annotation)
    if annotation is None:
        return ClassHint(annotation, type(None))
    if is_array_annotation(annotation):
        return _read_tensor(annotation)
    if not mentions_tensors(annotation):
        return _read_plain(annotation)
    return _read_composite(annotation)


def mentions_tensors(annotation: Any) -> bool:
    """Whether a jaxtyping annotation stands anywhere in this hint."""
    return _mentions(annotation, ())


def children(hint: Hint) -> tuple[Hint, ...]:
    """The hints directly inside a hint."""
    match hint:
        case UnionHint(options=inner) | TupleHint(items=inner):
            return inner
        case ItemsHint(item=item):
            return (item,)
        case MappingHint(key=key, value=value):
            return (key, value)
        case RecordHint(fields=fields):
            return tuple(inner for _, inner in fields)
        case _:
            return ()


def arrays_in(hint: Hint) -> tuple[ArrayHint, ...]:
    """Every tensor annotation in a hint, in the order of checking."""
    if isinstance(hint, ArrayHint):
        return (hint,)
    return tuple(array for child in children(hint) for array in arrays_in(child))


def record_fields(cls: Any) -> dict[str, Any]:
    """The annotated fields of a NamedTuple or dataclass, resolved; empty for every other class."""
    if not isinstance(cls, type):
        return {}
    is_named_tuple = issubclass(cls, tuple) and hasattr(cls, "_fields")
    if not (is_named_tuple or dataclasses.is_dataclass(cls)):
        return {}
    names = cls._fields if is_named_tuple else [field.name for field in dataclasses.fields(cls)]
    hints = typing.get_type_hints(cls, include_extras=True)
    return {name: hints[name] for name in names if name in hints}


def _mentions(annotation: Any, seen: tuple[Any, ...]) -> bool:
    if is_array_annotation(annotation):
        return True
    if _is_pytree(annotation):
        return True
    if any(annotation is other for other in seen):
        return False
    seen = (*seen, annotation)
    inner = (*typing.get_args(annotation), *record_fields(annotation).values())
    return any(_mentions(argument, seen) for argument in _flattened(inner))


def _flattened(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """`Callable[[A], B]` holds its parameters as a list."""
    return tuple(inner for argument in arguments for inner in (argument if isinstance(argument, list) else (argument,)))


def _is_pytree(annotation: Any) -> bool:
    return isinstance(annotation, type) and type(annotation).__name__ == "_MetaPyTree"


def _read_tensor(annotation: Any) -> ArrayHint:
    hint = read_array(annotation)
    if not (isinstance(hint.array_type, type) and issubclass(hint.array_type, torch.Tensor)):
        raise Inexpressible(f"{hint} is not an annotation of a torch tensor")
    if any(axis.by_path for axis in hint.axes):
        raise Inexpressible(f"{hint} depends on a place in a PyTree")
    return hint


def _read_plain(annotation: Any) -> Hint:
    """A hint without tensors in it: plain classes ourselves, the rest is beartype's."""
    if annotation is float or annotation is int:
        symbolic = torch.SymInt if annotation is int else torch.SymFloat
        return ClassHint(annotation, (annotation, symbolic))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return UnionHint(annotation, tuple(_read_plain(option) for option in typing.get_args(annotation)))
    if isinstance(annotation, type) and not _needs_beartype(annotation):
        return ClassHint(annotation, annotation)
    return BeartypeHint(annotation)


def _needs_beartype(cls: type) -> bool:
    return (
        typing.get_origin(cls) is not None
        or getattr(cls, "_is_protocol", False)
        or typing.is_typeddict(cls)
        or hasattr(cls, "__supertype__")
    )


def _read_composite(annotation: Any) -> Hint:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        if any(type(extra).__module__.startswith("beartype") for extra in arguments[1:]):
            raise Inexpressible(f"{annotation} carries a validator of beartype")
        return read_hint(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return UnionHint(annotation, tuple(read_hint(option) for option in arguments))
    if origin is tuple:
        return _read_tuple(annotation, arguments)
    if origin in _LISTS and len(arguments) == 1:
        return ItemsHint(annotation, origin, read_hint(arguments[0]))
    if origin in _MAPPINGS and len(arguments) == 2:
        return MappingHint(annotation, origin, read_hint(arguments[0]), read_hint(arguments[1]))
    if origin in _LAZY:
        return ClassHint(annotation, origin)
    fields = record_fields(annotation)
    if fields:
        return RecordHint(annotation, annotation, tuple((name, read_hint(hint)) for name, hint in fields.items()))
    raise Inexpressible(f"{annotation_text(annotation)} is left to the reference engine")


def _read_tuple(annotation: Any, arguments: tuple[Any, ...]) -> Hint:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return ItemsHint(annotation, tuple, read_hint(arguments[0]))
    return TupleHint(annotation, tuple(read_hint(argument) for argument in arguments))


__all__ = [
    "AnythingHint",
    "ArrayHint",
    "Axis",
    "BeartypeHint",
    "ClassHint",
    "Hint",
    "Inexpressible",
    "ItemsHint",
    "Kind",
    "MappingHint",
    "RecordHint",
    "TupleHint",
    "UnionHint",
    "arrays_in",
    "children",
    "mentions_tensors",
    "read_hint",
    "record_fields",
]
