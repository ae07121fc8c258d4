"""A jaxtyping annotation as data: its axes, parsed once, and the dtypes it admits.

The grammar is jaxtyping's own, read from the public `dim_str` of an annotation:
`name`, `4`, `name=4`, `_`, `...`, `*name`, `#name`, `?name` and expressions such as
`2*hidden` or `{self.width}-1`. Nothing here looks at a tensor.
"""

from __future__ import annotations

import enum
import functools
import re
import typing
from dataclasses import dataclass
from typing import Any, TypeGuard

import jaxtyping
import torch

TORCH_DTYPES: dict[str, torch.dtype] = {
    str(value).rpartition(".")[2]: value for value in vars(torch).values() if isinstance(value, torch.dtype)
}
_ANY_DTYPE: Any = typing.cast("Any", jaxtyping.Shaped).dtypes
_MODIFIERS = "#*_?"


class Kind(enum.Enum):
    """The kind of one axis in an annotation."""

    ANY = "any"
    NAME = "name"
    SIZE = "size"
    EXPRESSION = "expression"


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of an annotation; `text` is what the user wrote for it.

    `many` is `*name` or `...`, `broadcast` is `#name` (a size of 1 fits), `by_path` is `?name`.
    `label` is the `rows` of `rows=4`.
    """

    kind: Kind
    text: str
    name: str = ""
    size: int = 0
    many: bool = False
    broadcast: bool = False
    by_path: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True)
class ArrayHint:
    """`Float[Tensor, "batch seq"]` as data. `dtypes` is None where every dtype fits.

    `packed` is `Packed[...]`: a PackedSequence with the shape of what it packs.
    """

    annotation: Any
    array_type: type
    dtypes: frozenset[torch.dtype] | None
    axes: tuple[Axis, ...]
    packed: bool = False

    @property
    def variadic(self) -> int | None:
        """The index of the variadic axis, if there is one."""
        return next((index for index, axis in enumerate(self.axes) if axis.many), None)

    def __str__(self) -> str:
        return annotation_text(self.annotation)


def is_array_annotation(annotation: object) -> TypeGuard[type[jaxtyping.AbstractArray]]:
    """True if this is `Float[Tensor, "..."]` or an annotation of another jaxtyping dtype."""
    return isinstance(annotation, type) and issubclass(annotation, jaxtyping.AbstractArray)


@functools.lru_cache(maxsize=4096)
def read_array(annotation: type[jaxtyping.AbstractArray]) -> ArrayHint:
    """The annotation of one tensor as data."""
    return ArrayHint(
        annotation=annotation,
        array_type=annotation.array_type,
        dtypes=_admitted(typing.cast("Any", annotation.dtypes)),
        axes=parse_axes(annotation.dim_str),
    )


@functools.lru_cache(maxsize=4096)
def parse_axes(text: str) -> tuple[Axis, ...]:
    """The axes of a dimension string that jaxtyping has already accepted."""
    return tuple(_parse_axis(word) for word in text.split())


def annotation_text(annotation: Any) -> str:
    """The annotation as its user wrote it: `Float[Tensor, "batch seq"]`."""
    if is_array_annotation(annotation):
        array = getattr(annotation.array_type, "__name__", str(annotation.array_type))
        return f'{annotation.dtype.__name__}[{array}, "{annotation.dim_str}"]'
    if annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return annotation.__name__
    return _plain_names(annotation)


@functools.cache
def _admitted(wanted: Any) -> frozenset[torch.dtype] | None:
    if wanted is _ANY_DTYPE:
        return None
    return frozenset(dtype for name, dtype in TORCH_DTYPES.items() if any(_fits(name, want) for want in wanted))


def _fits(name: str, want: str | re.Pattern[str]) -> bool:
    return name == want if isinstance(want, str) else bool(want.match(name))


def _parse_axis(word: str) -> Axis:
    if word == "...":
        return Axis(Kind.ANY, word, many=True)
    flags, label, rest = _split_modifiers(word)
    many, broadcast, by_path = "*" in flags, "#" in flags, "?" in flags
    if "_" in flags:
        return Axis(Kind.ANY, word, many=many)
    if not rest or rest.isidentifier():
        return Axis(Kind.NAME, word, name=rest, many=many, broadcast=broadcast, by_path=by_path)
    try:
        return Axis(Kind.SIZE, word, size=int(rest), broadcast=broadcast, label=label)
    except ValueError:
        return Axis(Kind.EXPRESSION, word, name=rest, broadcast=broadcast, label=label)


def _split_modifiers(word: str) -> tuple[str, str, str]:
    """The leading modifiers, the label of `label=rest`, and the rest, in jaxtyping's order of reading."""
    flags, label = "", ""
    while word:
        if word[0] in _MODIFIERS:
            flags, word = flags + word[0], word[1:]
        elif word.count("=") == 1:
            label, word = word.split("=")
        else:
            break
    return flags, label, word


def _plain_names(annotation: Any) -> str:
    text = str(annotation)
    for array in _arrays_in(annotation):
        text = text.replace(f"{array.__module__}.{array.__name__}", annotation_text(array))
    for prefix in ("typing.", "types.", "torch.", "jaxtyping.", "builtins.", "dimtyped."):
        text = text.replace(prefix, "")
    return text


def _arrays_in(annotation: Any) -> list[type[jaxtyping.AbstractArray]]:
    if is_array_annotation(annotation):
        return [annotation]
    return [array for argument in typing.get_args(annotation) for array in _arrays_in(argument)]
