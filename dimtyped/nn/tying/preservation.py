"""Tie preservation: a mixin that reports what a module registers, and restores what torch replaces."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from dimtyped.nn.tying.aliases import Slot, aliases_of, remove_alias, sources_of
from dimtyped.nn.tying.breaking import propagate_computed, reject_partial_sharding, warn_of_partial_copy
from dimtyped.nn.tying.loading import TiedLoad
from dimtyped.nn.tying.tie import adopt, parameter_changed, put, tie_of
from dimtyped.runtime import (
    WithoutInternalFrames,
    calling_module,
    dynamic_class,
    internal_frame,
    is_tracing,
    members_of,
)


class TiedParametersMixin(torch.nn.Module):
    """A module whose parameters stay tied. Comes before torch's class among the bases."""

    @internal_frame
    def register_parameter(self, name: str, param: torch.nn.Parameter | None) -> None:
        """Registers a parameter as torch does, and updates the ties that this changes."""
        reject_partial_sharding(self, name)
        if name in sources_of(self):
            remove_alias(self, name)
        before = self._parameters.get(name)
        super().register_parameter(name, param)
        after = self._parameters[name]
        parameter_changed(self, name, before, param)
        if after is not param:  # a registration hook has replaced it
            parameter_changed(self, name, param, after, framework=True)
        for module, alias in aliases_of(self, name):
            module.register_parameter(alias, after)

    def __delattr__(self, name: str) -> None:
        tie = None if is_tracing() else tie_of(self, name)
        super().__delattr__(name)
        if tie is not None and calling_module().startswith("torch.nn.utils."):
            propagate_computed(self, name, tie)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        warn_of_partial_copy(self)
        adopt(self)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        before = dict(self._parameters)
        with _shared_with_plain_kept(self):
            result = super()._apply(fn, recurse)
        for name, old in before.items():
            parameter_changed(self, name, old, self._parameters.get(name), framework=True)
        return result

    @WithoutInternalFrames()
    @internal_frame
    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Does as torch does; a parameter that is tied in the model stays tied."""
        with _shared_with_plain_kept(self):
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
        load = TiedLoad(self, state_dict, prefix, error_msgs)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        load.finish(missing_keys)


_outermost: ContextVar[bool] = ContextVar("_outermost", default=True)


@contextmanager
def _shared_with_plain_kept(root: torch.nn.Module) -> Generator[None]:
    """Restores, after the block, the parameters that plain modules below a module share, if torch has replaced them.

    A module with the mixin keeps its own ties. Only the module whose method was called does this.
    """
    groups = _shared_by_plain(root) if _outermost.get() else []
    token = _outermost.set(False)
    try:
        yield
    finally:
        _outermost.reset(token)
        for slots in groups:
            source, name = next((slot for slot in slots if isinstance(slot[0], TiedParametersMixin)), slots[0])
            kept = source._parameters.get(name)
            for module, its_name in slots if kept is not None else ():
                put(module, its_name, kept)


def _shared_by_plain(root: torch.nn.Module) -> list[list[Slot]]:
    """The slots of each shared parameter that has a slot on a module without the mixin."""
    slots: dict[int, list[Slot]] = {}
    for module in members_of(root):
        for name, parameter in module._parameters.items():
            if parameter is not None:
                slots.setdefault(id(parameter), []).append((module, name))
    return [
        group
        for group in slots.values()
        if len(group) > 1 and not all(isinstance(m, TiedParametersMixin) for m, _ in group)
    ]


def keep_ties(module: torch.nn.Module) -> None:
    """Makes any module keep its ties: a module without the mixin gets a dynamic class with it."""
    if not isinstance(module, TiedParametersMixin):
        module.__class__ = _keeping(type(module))
        adopt(module)


def _keeping(base: type) -> type:
    return dynamic_class(_keeping, base, TiedParametersMixin, members={})
