"""The part of a module that keeps its parameters tied."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from dimtyped.nn.tying.aliases import followers_of, is_followed, is_following, unfollow
from dimtyped.nn.tying.breaking import copied, let_follow, refuse_to_part
from dimtyped.nn.tying.callsite import calling_module
from dimtyped.nn.tying.dynamic_classes import variant
from dimtyped.nn.tying.loading import Loading
from dimtyped.nn.tying.ties import adopt, put, registered, tie_of
from dimtyped.runtime import is_tracing


class TiedParametersMixin(torch.nn.Module):
    """A module whose parameters stay tied. Comes before torch's class among the bases."""

    def register_parameter(self, name: str, param: torch.nn.Parameter | None) -> None:
        """As torch's; keeps or ends the ties that this changes."""
        refuse_to_part(self, name)
        if is_following(self, name):
            unfollow(self, name)
        before = self._parameters.get(name)
        super().register_parameter(name, param)
        after = self._parameters[name]
        registered(self, name, before, param)
        if after is not param:  # a hook on registration has replaced it
            registered(self, name, param, after, framework=True)
        if is_followed(self):
            for follower, its_name in followers_of(self, name):
                follower.register_parameter(its_name, after)

    def __delattr__(self, name: str) -> None:
        tie = None if is_tracing() else tie_of(self, name)
        super().__delattr__(name)
        if tie is not None and calling_module().startswith("torch.nn.utils."):
            let_follow(self, name, tie)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        copied(self)
        adopt(self)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        before = dict(self._parameters)
        with _plain_ties_kept(self):
            result = super()._apply(fn, recurse)
        for name, old in before.items():
            registered(self, name, old, self._parameters.get(name), framework=True)
        return result

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As torch's; a parameter that is tied in the model stays so."""
        with _plain_ties_kept(self):
            return super().load_state_dict(state_dict, strict, assign)

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        loading = Loading(self, state_dict, prefix, error_msgs)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        loading.finish(missing_keys)


_outermost: ContextVar[bool] = ContextVar("_outermost", default=True)


@contextmanager
def _plain_ties_kept(root: torch.nn.Module) -> Generator[None]:
    """While torch may replace parameters below a module: those that plain modules share come out as one again.

    Modules that keep ties see to their own. This looks once, for the module whose method was called.
    """
    groups = _shared_by_plain(root) if _outermost.get() else []
    token = _outermost.set(False)
    try:
        yield
    finally:
        _outermost.reset(token)
        for places in groups:
            source, name = next((place for place in places if isinstance(place[0], TiedParametersMixin)), places[0])
            kept = source._parameters.get(name)
            for module, its_name in places if kept is not None else ():
                put(module, its_name, kept)


def _shared_by_plain(root: torch.nn.Module) -> list[list[tuple[torch.nn.Module, str]]]:
    """The places of each parameter with several, where one is on a module that does not keep ties itself."""
    places: dict[int, list[tuple[torch.nn.Module, str]]] = {}
    for module in root.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                places.setdefault(id(parameter), []).append((module, name))
    return [
        group
        for group in places.values()
        if len(group) > 1 and not all(isinstance(m, TiedParametersMixin) for m, _ in group)
    ]


def keep_ties(module: torch.nn.Module) -> None:
    """Makes any module one that keeps its ties; one of a class that others wrote gets a class of its own for it."""
    if not isinstance(module, TiedParametersMixin):
        module.__class__ = _keeping(type(module))
        adopt(module)


def _keeping(base: type) -> type:
    return variant(_keeping, base, TiedParametersMixin, members={})
