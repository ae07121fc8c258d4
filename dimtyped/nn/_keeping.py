"""The part of a module that keeps its parameters tied."""

from __future__ import annotations

from typing import Any

import torch

from dimtyped._tracing import is_tracing
from dimtyped.nn._caller import calling_module
from dimtyped.nn._following import followers_of, is_following, unfollow
from dimtyped.nn._loading import Loading
from dimtyped.nn._ties import adopt, let_follow, refuse_to_part, registered, tie_of
from dimtyped.nn._variants import variant


class KeepsTies(torch.nn.Module):
    """A module whose parameters stay tied. Comes before torch's class among the bases."""

    def register_parameter(self, name: str, param: torch.nn.Parameter | None) -> None:
        """As torch's; keeps or ends the ties that this changes."""
        refuse_to_part(self, name)
        if is_following(self, name):
            unfollow(self, name)
        before = self._parameters.get(name)
        super().register_parameter(name, param)
        registered(self, name, before, param)
        registered(self, name, param, self._parameters[name], framework=True)  # a hook on registration may replace it
        for follower, its_name in followers_of(self, name):
            follower.register_parameter(its_name, self._parameters[name])

    def __delattr__(self, name: str) -> None:
        tie = None if is_tracing() else tie_of(self, name)
        super().__delattr__(name)
        if tie is not None and calling_module().startswith("torch.nn.utils."):
            let_follow(self, name, tie)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        adopt(self)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        before = dict(self._parameters)
        result = super()._apply(fn, recurse)
        for name, old in before.items():
            registered(self, name, old, self._parameters.get(name), framework=True)
        return result

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


def keep_ties(module: torch.nn.Module) -> None:
    """Makes any module one that keeps its ties; one of a class that others wrote gets a class of its own for it."""
    if not isinstance(module, KeepsTies):
        module.__class__ = _keeping(type(module))
        adopt(module)


def _keeping(base: type) -> type:
    return variant(_keeping, base, KeepsTies, members={})
