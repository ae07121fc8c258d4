"""Classes made while a program runs: a module's own class with a mixin before it, as torch's parametrize makes them.

A module of such a class can be copied and pickled: the pickle says how to make the class again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

_MADE_BY = "_dim_made_by"
_made: dict[tuple[Any, ...], type[torch.nn.Module]] = {}


def dynamic_class(maker: Callable[..., type], base: type, mixin: type, *key: Any, members: Mapping[str, Any]) -> type:
    """The class `base` with `mixin` before it; `maker(base, *key)` makes the same class in another process."""
    made_by = (maker, base, *key)
    if made_by not in _made:
        body = {**members, _MADE_BY: made_by, "__reduce_ex__": _reduce, "__module__": base.__module__}
        made: Any = type(base.__name__, (mixin, base), body)
        made.__qualname__ = base.__qualname__
        _made[made_by] = made
    return _made[made_by]


def without_mixin(cls: Any, maker: Callable[..., type]) -> Any:
    """The base of a class that `maker` has made; any other class as it is."""
    made_by = vars(cls).get(_MADE_BY, (None,))
    return made_by[1] if made_by[0] is maker else cls


def static_class(cls: Any) -> Any:
    """The class without the mixins that were added to it here."""
    while _MADE_BY in vars(cls):
        cls = vars(cls)[_MADE_BY][1]
    return cls


@contextmanager
def viewed_as(module: torch.nn.Module, cls: type[torch.nn.Module] | None) -> Generator[None]:
    """Gives a module another class within the block, such as a plain layer its typed class. None changes nothing."""
    own = module.__class__
    module.__class__ = cls or own
    try:
        yield
    finally:
        module.__class__ = own


def _reduce(module: Any, protocol: Any) -> tuple[Any, ...]:  # noqa: ARG001  # Python gives it
    return _instance, module._dim_made_by, module.__getstate__()


def _instance(maker: Callable[..., type], *arguments: Any) -> torch.nn.Module:
    cls: type[torch.nn.Module] = maker(*arguments)
    return cls.__new__(cls)
