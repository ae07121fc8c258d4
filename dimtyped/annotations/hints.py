"""Type hints as data: a small tree that both engines and the diagnosis walk.

What the tree cannot express (`PyTree`, arrays that are not torch's, a `Callable` of tensors) raises
`Inexpressible`, and the signature goes to the reference engine whole.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch.nn.utils.rnn import PackedSequence

from dimtyped.annotations.axes import ArrayHint, Axis, Kind, annotation_text, is_array_annotation, read_array
from dimtyped.annotations.beartype_compat import is_known, modern
from dimtyped.annotations.packed import Packed, is_packed
from dimtyped.annotations.torchtyping import is_torchtyping, translated
from dimtyped.errors import DeclarationError, with_fields

_KNOWN_MODULES = ("builtins", "collections", "collections.abc")

_PERHAPS_ITERATED = (collections.abc.Iterable, collections.abc.Container, collections.abc.Reversible)
_OPAQUE = (  # their items show only in use: beartype checks the class alone too
    collections.abc.Iterator,
    collections.abc.AsyncIterable,
    collections.abc.Awaitable,
    collections.abc.Callable,
)


class Inexpressible(Exception):  # noqa: N818  # not an error: the reference engine takes over
    """Raised for an annotation that only the reference engine can check."""


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
    """A hint without tensors, which beartype checks."""

    annotation: Any


@dataclass(frozen=True, slots=True)
class UnionHint:
    """A union: the first option that fits decides."""

    annotation: Any
    options: tuple[Hint, ...]


@dataclass(frozen=True, slots=True)
class TupleHint:
    """`tuple[A, B]`: a fixed number of items, each with its own hint."""

    annotation: Any
    items: tuple[Hint, ...]


@dataclass(frozen=True, slots=True)
class ItemsHint:
    """`list[A]`, `tuple[A, ...]`, `Sequence[A]`: every item is checked.

    For `Iterable[A]` (`if_collection`) only if the value is a collection: reading an iterator's items would use it up.
    """

    annotation: Any
    cls: type
    item: Hint
    if_collection: bool = False


@dataclass(frozen=True, slots=True)
class MappingHint:
    """`dict[K, A]`: every key and value is checked."""

    annotation: Any
    cls: type
    key: Hint
    value: Hint


@dataclass(frozen=True, slots=True)
class RecordHint:
    """A NamedTuple, dataclass or TypedDict with tensors among its annotated fields."""

    annotation: Any
    cls: type
    fields: tuple[tuple[str, Hint], ...]

    @property
    def has_keys(self) -> bool:
        """True for a TypedDict: its values are mappings, and a key that is left out counts as None."""
        return self.cls is collections.abc.Mapping


Hint: TypeAlias = (
    AnythingHint | ArrayHint | ClassHint | BeartypeHint | UnionHint | TupleHint | ItemsHint | MappingHint | RecordHint
)


def read_hint(annotation: Any, within: tuple[type, ...] = ()) -> Hint:
    """The tree of one annotation, already resolved (no strings in it); `within` are the records around it.

    Raises:
        Inexpressible: only the reference engine can decide.
        DeclarationError: a field of a record cannot be resolved.
    """
    annotation = underlying(annotation)
    if annotation in (Any, object):
        return AnythingHint(annotation)
    if annotation is None:
        return ClassHint(annotation, type(None))
    if is_array_annotation(annotation):
        return _read_tensor(annotation)
    if is_packed(annotation):
        inner = _read_tensor(annotation.array)
        return dataclasses.replace(inner, annotation=annotation, array_type=PackedSequence, packed=True)
    if not mentions_tensors(annotation):
        return _read_plain(annotation)
    return _read_composite(annotation, within)


def mentions_tensors(annotation: Any) -> bool:
    """True if this hint contains a jaxtyping annotation anywhere."""
    return _mentions(annotation, ())


def underlying(annotation: Any) -> Any:
    """The type behind a NewType, a `type` alias, an `InitVar` or a bounded TypeVar of tensors; else the annotation."""
    inner = _alias_of(annotation)
    if annotation is Packed:  # any PackedSequence
        return inner
    if inner is annotation or not (isinstance(annotation, dataclasses.InitVar) or mentions_tensors(inner)):
        return annotation
    return underlying(inner)


def _alias_of(annotation: Any) -> Any:
    if annotation is Packed:
        return PackedSequence
    match annotation:
        case typing.NewType(__supertype__=inner) | dataclasses.InitVar(type=inner):
            return inner
        case typing.TypeVar(__bound__=bound, __constraints__=constraints):
            return typing.Union[constraints] if constraints else bound  # noqa: UP007  # of a tuple
        case _ if type(annotation).__name__ == "TypeAliasType":  # `type Batch = ...`, from Python 3.12 on
            return annotation.__value__
        case _ if is_torchtyping(annotation):
            return translated(annotation)
        case _:
            return annotation


def holds_unpacked(arguments: tuple[Any, ...]) -> bool:
    """True if the arguments of a tuple contain `*tuple[A, ...]`."""
    return any(getattr(a, "__unpacked__", False) or typing.get_origin(a) is typing.Unpack for a in arguments)


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
    """The annotated fields of a NamedTuple, dataclass or TypedDict, resolved; empty for every other class."""
    if typing.is_typeddict(cls):
        return _keys_of(cls)
    if not isinstance(cls, type):
        return {}
    is_named_tuple = issubclass(cls, tuple) and hasattr(cls, "_fields")
    if not (is_named_tuple or dataclasses.is_dataclass(cls)):
        return {}
    record: Any = cls
    names = record._fields if is_named_tuple else [field.name for field in dataclasses.fields(record)]
    hints = _class_hints(cls)
    return {name: hints[name] for name in names if name in hints}


def unchecked_classes(annotation: Any) -> Iterator[type]:
    """The plain classes in an annotation with annotated tensors that are not checked; only the class of a value is."""
    is_plain = isinstance(annotation, type) and not record_fields(annotation)
    own = (
        inspect.get_annotations(annotation).values() if is_plain and not issubclass(annotation, torch.nn.Module) else ()
    )
    if any(is_array_annotation(hint) for hint in own):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from unchecked_classes(inner)


def _keys_of(cls: Any) -> dict[str, Any]:
    """The hints of a TypedDict's keys, or None for one that may be left out."""
    found: dict[str, Any] = {}
    for name, hint in _class_hints(cls).items():
        origin = typing.get_origin(hint)
        is_marked = origin in (typing.Required, typing.NotRequired)
        inner = typing.get_args(hint)[0] if is_marked else hint
        is_required = origin is typing.Required or (origin is not typing.NotRequired and name in cls.__required_keys__)
        found[name] = inner if is_required else typing.Optional[inner]  # noqa: UP045  # it may be a string
    return found


def _class_hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:  # noqa: BLE001
        return {
            name: _class_hint(base, name, annotation)
            for base in reversed(cls.__mro__)
            for name, annotation in inspect.get_annotations(base).items()
        }


def _class_hint(cls: type, name: str, annotation: Any) -> Any:
    """The hint of one field if another one cannot be resolved. Hints without tensors are not checked."""
    alone = type(cls.__name__, (), {"__annotations__": {name: annotation}, "__module__": cls.__module__})
    try:
        return typing.get_type_hints(alone, include_extras=True)[name]
    except Exception as error:
        if not re.search(r"Tensor\s*,", str(annotation)):  # as in `Float[Tensor, "batch"]`
            return Any
        raise with_fields(
            DeclarationError(
                f"{cls.__qualname__}.{name}: the annotation {annotation!r} cannot be resolved: {type(error).__name__}: "
                f"{error}\n  Import or define every name that it uses before the first call."
            ),
            where=cls.__qualname__,
            argument=name,
            expected="an annotation that can be resolved",
            actual=str(annotation),
            hint="import or define every name that it uses before the first call",
        ) from error


def _mentions(annotation: Any, seen: tuple[Any, ...]) -> bool:
    if is_array_annotation(annotation) or is_packed(annotation) or _is_pytree(annotation):
        return True
    if any(annotation is other for other in seen):
        return False
    seen = (*seen, annotation)
    inner = _alias_of(annotation)
    if inner is not annotation:
        return _mentions(inner, seen)
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
    """A hint without tensors: plain classes are checked here, the rest by beartype."""
    if annotation is float or annotation is int:
        symbolic = torch.SymInt if annotation is int else torch.SymFloat
        return ClassHint(annotation, (annotation, symbolic))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return UnionHint(annotation, tuple(read_hint(option) for option in typing.get_args(annotation)))
    if isinstance(annotation, type) and not _needs_beartype(annotation):
        return ClassHint(annotation, annotation)
    return BeartypeHint(modern(annotation)) if is_known(annotation) else AnythingHint(annotation)


def _needs_beartype(cls: type) -> bool:
    return (
        typing.get_origin(cls) is not None
        or getattr(cls, "_is_protocol", False)
        or typing.is_typeddict(cls)
        or hasattr(cls, "__supertype__")
    )


def _read_composite(annotation: Any, within: tuple[type, ...]) -> Hint:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        if any(type(extra).__module__.startswith("beartype") for extra in arguments[1:]):
            raise Inexpressible(f"{annotation} has a validator of beartype's")
        return read_hint(arguments[0], within)
    if origin in (typing.Union, types.UnionType):
        return UnionHint(annotation, tuple(read_hint(option, within) for option in arguments))
    if origin is tuple:
        return _read_tuple(annotation, arguments, within)
    match container_kind(origin, len(arguments)):
        case "items":
            if_collection = not issubclass(origin, collections.abc.Collection)
            return ItemsHint(annotation, origin, read_hint(arguments[0], within), if_collection)
        case "mapping":
            key, value = (read_hint(argument, within) for argument in arguments)
            return MappingHint(annotation, origin, key, value)
        case "opaque":
            return ClassHint(annotation, origin)
        case _:
            return _read_record(annotation, within)


def container_kind(origin: Any, arguments: int) -> str:
    """The check for a generic class with this number of arguments: `items`, `mapping`, or `opaque`, the class alone."""
    if not isinstance(origin, type) or origin.__module__ not in _KNOWN_MODULES:
        return ""
    opaque: Any = _OPAQUE
    if issubclass(origin, opaque):
        return "opaque"
    if issubclass(origin, collections.abc.Mapping) and arguments == 2:
        return "mapping"
    is_iterated = issubclass(origin, collections.abc.Collection) or origin in _PERHAPS_ITERATED
    return "items" if is_iterated and arguments == 1 else ""


def _read_record(annotation: Any, within: tuple[type, ...]) -> Hint:
    fields = record_fields(annotation)
    if not fields:
        raise Inexpressible(f"{annotation_text(annotation)} is left to the reference engine")
    if annotation in within:  # a record that contains its own class: the inner one is checked by its class alone
        return ClassHint(annotation, annotation)
    hints = {name: read_hint(hint, (*within, annotation)) for name, hint in fields.items()}
    return RecordHint(
        annotation, collections.abc.Mapping if typing.is_typeddict(annotation) else annotation, tuple(hints.items())
    )


def _read_tuple(annotation: Any, arguments: tuple[Any, ...], within: tuple[type, ...]) -> Hint:
    if holds_unpacked(arguments):
        raise Inexpressible(f"{annotation_text(annotation)} is left to the reference engine")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return ItemsHint(annotation, tuple, read_hint(arguments[0], within))
    return TupleHint(annotation, tuple(read_hint(argument, within) for argument in arguments))


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
