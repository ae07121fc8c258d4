"""Classes made while a program runs: a module's own class with something added, as torch's parametrize makes them.

A module of such a class copies and pickles: what is written down is how to make the class again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

_made: dict[tuple[Any, ...], type[torch.nn.Module]] = {}


def variant(maker: Callable[..., type], base: type, mixin: type, *key: Any, members: Mapping[str, Any]) -> type:
    """The class `base` with `mixin` before it; `maker(base, *key)` makes the same one again, in another process too."""
    known = (maker, base, *key)
    if known not in _made:
        body = {**members, "_dim_made_by": known, "__reduce_ex__": _reduce, "__module__": base.__module__}
        made: Any = type(base.__name__, (mixin, base), body)
        made.__qualname__ = base.__qualname__
        _made[known] = made
    return _made[known]


def made_of(cls: Any) -> Any:
    """The class without what was added to it here."""
    while "_dim_made_by" in vars(cls):
        cls = vars(cls)["_dim_made_by"][1]
    return cls


@contextmanager
def seen_as(module: torch.nn.Module, cls: type[torch.nn.Module] | None) -> Generator[None]:
    """While something looks at a plain layer as the typed one that stands for it; None leaves it as it is."""
    plain = module.__class__
    module.__class__ = cls or plain
    try:
        yield
    finally:
        module.__class__ = plain


def _reduce(module: Any, protocol: Any) -> tuple[Any, ...]:  # noqa: ARG001  # Python gives it
    return _instance, module._dim_made_by, module.__getstate__()


def _instance(maker: Callable[..., type], *arguments: Any) -> torch.nn.Module:
    cls: type[torch.nn.Module] = maker(*arguments)
    return cls.__new__(cls)
