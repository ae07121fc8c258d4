"""Descriptions of values, without the values: plain tuples, so that a trace can make them too.

`describe` runs eagerly or inside a trace of TorchDynamo; there sizes may be symbolic, and `len(range(size))` is the
one spelling found that makes a plain int of each in every release.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dimtyped.names import shape_text
from dimtyped.runtime import is_tracing

RAGGED = "ragged"
"""The mark for a nested tensor's ragged axis inside a trace, where its size cannot be compared or printed."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One value as errors describe it. `items` are those of a list, tuple or dict, by key or index."""

    cls: type
    dtype: torch.dtype | None = None
    shape: tuple[int | str, ...] | None = None
    items: tuple[tuple[Any, Snapshot], ...] | None = None
    text: str = ""
    value: Any = None

    @property
    def is_at_hand(self) -> bool:
        """True if `value` is the value itself, False if it was left out."""
        return self.value is not None or self.cls is type(None)

    @property
    def is_tensor(self) -> bool:
        """True if it has a shape."""
        return self.shape is not None

    def __str__(self) -> str:
        if self.is_tensor:
            return f"{str(self.dtype).removeprefix('torch.')} {shape_text(self.shape or ())}"
        if self.items is not None and not self.text:
            inner = ", ".join(str(item) for _, item in self.items[:4])
            return f"{self.cls.__name__} of {len(self.items)}: ({inner}{', ...' if len(self.items) > 4 else ''})"
        return self.text


def array_text(value: Any) -> str:
    """A value in a few words; an array of another library, such as NumPy's, by its dtype and shape too."""
    shape: Any = getattr(value, "shape", None)
    if isinstance(value, torch.Tensor) or not isinstance(shape, tuple):
        return str(snapshot(value))
    return f"{type(value).__name__} of {getattr(value, 'dtype', 'no dtype')} {shape_text(shape)}"  # pyright: ignore[reportUnknownArgumentType]  # any library's


def describe(value: Any) -> tuple[Any, ...]:
    """A value as nested tuples of constants; made eagerly or inside a trace."""
    if isinstance(value, torch.Tensor):
        ragged: int = value._ragged_idx if value.is_nested and is_tracing() else -1  # type: ignore[attr-defined]
        sizes = [RAGGED if index == ragged else _size(size) for index, size in enumerate(value.shape)]
        return ("tensor", type(value), value.dtype, tuple(sizes))
    if isinstance(value, (list, tuple)):
        return ("items", type(value), tuple([describe(item) for item in value]))
    if isinstance(value, dict):
        return ("mapping", type(value), tuple([(_key(key), describe(value[key])) for key in value]))
    if isinstance(value, (bool, str)):
        return ("constant", type(value), value)
    if type(value) is int:
        symbolic = is_tracing()
        return ("constant", int, (len(range(value)) if value >= 0 else -len(range(-value))) if symbolic else value)
    fields: Any = getattr(type(value), "__dataclass_fields__", None) if is_tracing() else None
    if fields is not None:  # `items_of` reads the fields of a value if an annotation has hints for them
        return ("record", type(value), tuple([(name, describe(getattr(value, name, None))) for name in fields]))
    return ("other", type(value))


def from_description(description: tuple[Any, ...], value: Any = None) -> Snapshot:
    """A Snapshot from a description, with the value itself if it is available: only beartype can check some hints."""
    kind, cls = description[0], description[1]
    if kind == "tensor":
        return Snapshot(cls, dtype=description[2], shape=description[3], value=value)
    if kind == "items":
        values = value if isinstance(value, list | tuple) else [None] * len(description[2])
        return Snapshot(
            cls,
            items=tuple(
                (i, from_description(d, v)) for i, (d, v) in enumerate(zip(description[2], values, strict=False))
            ),
            value=value,
        )
    if kind == "mapping":
        values = value if isinstance(value, dict) else dict.fromkeys(key for key, _ in description[2])
        inner = [(key, from_description(d, v)) for (_, d), (key, v) in zip(description[2], values.items(), strict=True)]
        return Snapshot(cls, items=tuple(inner), value=value)
    if kind == "record":
        return Snapshot(
            cls, text=_text(cls, None), items=tuple((name, from_description(field)) for name, field in description[2])
        )
    if kind == "constant":
        value = description[2]
    return Snapshot(cls, text=_text(cls, value), value=value)


def snapshot(value: Any) -> Snapshot:
    """The snapshot of a value. A strided nested tensor has no shape and does not count as a tensor."""
    try:
        return from_description(describe(value), value)
    except RuntimeError:
        return Snapshot(type(value), text=type(value).__name__)


def _size(size: Any) -> int | str:
    """A size as a plain int, or its text if it has no number, such as the ragged axis of a nested tensor."""
    if isinstance(size, torch.SymInt) and (size.node.is_nested_int() or not size.node.has_hint()):
        return str(size)
    return len(range(size))


def _key(key: Any) -> str | int:
    return key if isinstance(key, (str, int)) else str(key)


def items_of(value: Snapshot) -> list[tuple[Any, Snapshot]]:
    """The items of a container or a record, by key, index or field name.

    Collections other than a list, tuple or dict are read only here, if an annotation has a hint for their items.
    """
    inner = value.value
    if value.items is not None:
        return list(value.items)
    if isinstance(inner, Mapping):
        return [(key, snapshot(inner[key])) for key in inner]
    if dataclasses.is_dataclass(inner):
        fields = [field.name for field in dataclasses.fields(inner)]
        return [(name, snapshot(getattr(inner, name))) for name in fields if hasattr(inner, name)]
    return [(index, snapshot(item)) for index, item in enumerate(inner)] if isinstance(inner, Collection) else []


def _text(cls: type, value: Any) -> str:
    if cls is type(None):
        return "None"
    if cls in (int, float, bool, str) and value is not None:
        return f"{value!r:.40}"
    article = "an" if cls.__name__[0].lower() in "aeiou" else "a"
    return f"{article} {cls.__name__}"
