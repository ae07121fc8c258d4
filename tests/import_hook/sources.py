"""A module as its user wrote it, for the import hook: imported under a new name by each test."""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path
from types import ModuleType
from typing import Any

_numbers = itertools.count()

SOURCE = '''"""A module with all kinds of definitions."""
from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Optional, overload, no_type_check

import torch
from beartype import beartype
from jaxtyping import Float, Int, jaxtyped
from torch import Tensor

if TYPE_CHECKING:
    from elsewhere import Config

Image = Float[Tensor, "height width"]


def add(x: Float[Tensor, "n"], y: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    return x + y


def spread(x: Float[Tensor, "n"]) -> Float[Tensor, "n n"]:
    return x[None]


def scale(x: Float[Tensor, "..."], by: float = 1.0, *, config: Config | None = None) -> Tensor:
    return x * by


def count(x: int) -> str:
    return str(x)


class Layer(torch.nn.Module):
    width: int

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Float[Tensor, "batch {self.width}"]) -> Float[Tensor, "batch {self.width}"]:
        return x

    @classmethod
    def made(cls, like: Float[Tensor, "batch width"]) -> Layer:
        return cls(like.shape[1])

    @staticmethod
    def joined(x: Float[Tensor, "n"], y: Float[Tensor, "m"]) -> Float[Tensor, "n+m"]:
        return torch.cat([x, y])

    @property
    def eye(self) -> Float[Tensor, "n n"]:
        return torch.ones(self.width, 2)


@dataclass
class Pair:
    x: Float[Tensor, "n"]
    y: Float[Tensor, "n"]
    note: str = ""


class Both(NamedTuple):
    x: Float[Tensor, "n"]
    y: Float[Tensor, "n"]


@jaxtyped(typechecker=beartype)
def decorated(x: Float[Tensor, "n"], y: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    return x + y


@functools.lru_cache
def cached(n: int) -> Float[Tensor, "3"]:
    return torch.ones(n)


@contextlib.contextmanager
def held(x: Float[Tensor, "n n"]) -> Iterator[Tensor]:
    yield x


@no_type_check
def free(x: Float[Tensor, "n"], y: Float[Tensor, "n"]):
    return x.sum() + y.sum()


@overload
def either(x: int) -> int: ...
@overload
def either(x: Float[Tensor, "n"]) -> Float[Tensor, "n"]: ...
def either(x):
    return x


def nested(x: Float[Tensor, "n"], y):
    def inner(z: Float[Tensor, "m"], w: Float[Tensor, "m"]) -> Float[Tensor, "m"]:
        return z + w

    return inner(x, y)


if torch.ones(1).item():
    def conditional(x: Float[Tensor, "n"], y: Float[Tensor, "n"]) -> Optional[Tensor]:
        return x + y
else:
    conditional = None


def asks(x: Float[Tensor, "n"], y):
    if not isinstance(y, Float[Tensor, "n"]):
        raise TypeError("asked")
    return x
'''

BODIES = """
from __future__ import annotations
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from elsewhere import Config

Image = Float[Tensor, "height width"]


def attend(q: Float[Tensor, "batch query head"], k: Float[Tensor, "batch key head"]) -> Tensor:
    scores: Float[Tensor, "batch query key"] = q @ k.transpose(1, 2) if q.shape[1] < 9 else (
        k
    )
    return scores


def flat(x):
    scores: Float[Tensor, "batch query key"] = x
    return scores


def unannotated(x, y):
    first: Float[Tensor, "n m"] = x
    second: "Float[Tensor, 'm n']" = y
    return first @ second


def aliased(x):
    size: int = 3
    config: Config = size
    image: Image = x
    return image


def in_a_loop(parts: Any, n: int) -> Tensor:
    width = f"{n} m"
    for part in parts:
        made: Float[Tensor, width] = part
    return made


def stored(self, x: Float[Tensor, "n"]):
    self.kept: Float[Tensor, "n"] = torch.cat([x, x[:1]])


def result(x: Float[Tensor, "n"], y) -> Float[Tensor, "new"]:
    made: Float[Tensor, "new"] = y
    return x


def items(x: Float[Tensor, "n"], others: Any) -> Iterator[Tensor]:
    for other in others:
        part: Float[Tensor, "n"] = other
        yield part


async def later(x: Float[Tensor, "n"], other: Any) -> Tensor:
    part: Float[Tensor, "n"] = other
    return part


def unknown(x):
    part: Float[Missing, "n"] = x
    return part
"""


def write(folder: Path, source: str) -> str:
    """Writes a module of a new name into a folder of `sys.path`; returns the name."""
    name = f"hooked_{next(_numbers)}"
    (folder / f"{name}.py").write_text(source)
    importlib.invalidate_caches()
    return name


def imported(folder: Path, source: str, hook: Any) -> ModuleType:
    """A new module of this source, imported with the hook that `hook(name)` installs."""
    name = write(folder, source)
    with hook(name):
        return importlib.import_module(name)
