"""A tie: one parameter under several names.

Torch registers a parameter once for each name. Functions that replace it (`Module._apply`, `load_state_dict(assign=True)`, FSDP2,
`parallelize_module`) do so name by name, which breaks the tie. So each module with `TiedParametersMixin` reports here
the parameters that it registers, and when a framework replaces the parameter under one name, the other names get the new one too.
Nothing here refers to a parameter, not even weakly: `torch.utils.swap_tensors` raises for a tensor with a weak reference.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from dimtyped.nn.tying.aliases import Slot, add_alias
from dimtyped.runtime import by_framework

DECLARED = "_dim_declared_tie"
"""Set on a layer declared to share another's weight: it gets whatever weight that one is assigned later."""
_TIES = "_dim_ties"
_by_id: dict[int, Tie] = {}
"""Each tie by its parameter's id. An id may be reused, so a lookup checks that a slot still holds the parameter."""


class Tie:
    """The slots of one parameter; one slot is a tie too. A copy of a module makes ties of its own."""

    __slots__ = ("_key", "_slots", "loading")

    def __init__(self) -> None:
        self.loading: Any = None
        """The keys of the checkpoint being loaded; kept by `loading`."""
        self._key = 0
        self._slots: list[tuple[weakref.ref[torch.nn.Module], str]] = []

    def __reduce__(self) -> tuple[type[Tie], tuple[()]]:
        return Tie, ()

    def slots(self) -> Iterator[Slot]:
        """The slots whose modules still exist."""
        for reference, name in tuple(self._slots):
            module = reference()
            if module is not None:
                yield module, name

    def owns(self, parameter: torch.Tensor | None) -> bool:
        """True if this is the tie's parameter, given that a slot holds it."""
        return id(parameter) == self._key

    def siblings(self, module: torch.nn.Module) -> list[Slot]:
        """The slots on other modules that still hold the parameter, regardless of this module's own."""
        return [
            (other, name)
            for other, name in self.slots()
            if other is not module and self.owns(other._parameters.get(name))
        ]

    def is_held(self, parameter: torch.Tensor, besides: Slot | None = None) -> bool:
        """True if a slot, other than `besides`, holds this very parameter."""
        return any(
            module._parameters.get(name) is parameter
            for module, name in self.slots()
            if besides is None or module is not besides[0] or name != besides[1]
        )

    def begin(self, module: torch.nn.Module, name: str, parameter: torch.Tensor) -> None:
        """Adds the first slot."""
        self._slots.append((weakref.ref(module, self._forget), name))
        self._key = id(parameter)
        _by_id[self._key] = self

    def add(self, module: torch.nn.Module, name: str, parameter: torch.Tensor) -> None:
        """Adds one more slot, and removes those that now hold something else."""
        for other, other_name in self.slots():
            if other._parameters.get(other_name) is not parameter or (other is module and other_name == name):
                self.remove(other, other_name)
        self._slots.append((weakref.ref(module, self._forget), name))
        if len(self._slots) > 1:
            for other, other_name in self.slots():
                other.__dict__[_TIES] = {**ties_on(other), other_name: self}

    def remove(self, module: torch.nn.Module, name: str) -> None:
        """Removes a slot."""
        self._slots = [slot for slot in self._slots if slot[0]() is not module or slot[1] != name]
        if ties_on(module).get(name) is self:
            module.__dict__[_TIES] = {key: tie for key, tie in ties_on(module).items() if key != name}
        if not self._slots:
            self._unlist()

    def rekey(self, parameter: torch.Tensor) -> None:
        """Makes this the parameter of the tie."""
        self._unlist()
        self._key = id(parameter)
        _by_id[self._key] = self

    def _forget(self, reference: weakref.ref[torch.nn.Module]) -> None:
        self._slots = [slot for slot in self._slots if slot[0] is not reference]
        if not self._slots:
            self._unlist()

    def _unlist(self, known: dict[int, Tie] = _by_id) -> None:  # when Python exits, the global is gone but this is not
        if known.get(self._key) is self:
            del known[self._key]


def adopt(module: torch.nn.Module) -> None:
    """Registers the parameters of a module not made by a typed constructor: copied, unpickled or retyped."""
    for name, parameter in module._parameters.items():
        parameter_changed(module, name, None, parameter)


def release(module: torch.nn.Module) -> None:
    """Removes a module from all ties."""
    for name, tie in ties_on(module).items():
        tie.remove(module, name)
    module.__dict__.pop(_TIES, None)


def share(module: torch.nn.Module, source: torch.nn.Module, name: str = "weight") -> None:
    """Makes a weight the same object as another module's, or an alias of it if that module computes it."""
    if name in source._parameters:
        setattr(module, name, source._parameters[name])
    else:
        parameter_changed(module, name, module._parameters.get(name), None, framework=False)
        add_alias(module, name, source, name)


def owner_of(parameter: torch.Tensor) -> Slot | None:
    """The module that a parameter was first registered on, and its name there."""
    tie = _find(parameter)
    return next(tie.slots(), None) if tie is not None else None


def tie_of(module: torch.nn.Module, name: str) -> Tie | None:
    """The tie of a parameter with several slots; even after this slot has lost the parameter."""
    return ties_on(module).get(name)


def parameter_changed(
    module: torch.nn.Module,
    name: str,
    before: torch.Tensor | None,
    after: torch.Tensor | None,
    *,
    framework: bool | None = None,
) -> None:
    """Updates the ties after a slot got another parameter, or none.

    A new parameter from a framework goes into all slots, unless it is already tied to something else, or is quantized
    and replaces a float. A user's goes into this slot, and into the layers that are declared to share its weight.
    """
    if after is before:
        return
    tie, known = tie_of(module, name), _find(after, (module, name))
    if tie is not None and before is not None and not tie.owns(before):
        tie.remove(module, name)  # another parameter came there without an assignment
        tie = None
    if tie is None and before is not None and id(before) in _by_id:
        _by_id[id(before)].remove(module, name)
    elif tie is not None and tie is not known:
        moves_all = known is None and (by_framework() if framework is None else framework) and _replaces(before, after)
        _replace(tie, module, name, before, after, moves_all=moves_all)
    if after is not None:
        _join(module, name, after)


def _replaces(before: torch.Tensor | None, after: torch.Tensor | None) -> bool:
    """False if another library's tensor class replaces torch's: torchao quantizes one layer, not the layers tied to it."""
    if before is None or after is None or type(after) is type(before):
        return True
    return type(after).__module__.startswith("torch.")


def ties_on(module: torch.nn.Module) -> Mapping[str, Tie]:
    """The ties of a module's parameters, by the names there."""
    return module.__dict__.get(_TIES, {})


def _find(parameter: torch.Tensor | None, besides: Slot | None = None) -> Tie | None:
    """The tie of a parameter that a slot, other than `besides`, still holds."""
    tie = _by_id.get(id(parameter))
    return tie if tie is not None and parameter is not None and tie.is_held(parameter, besides) else None


def _join(module: torch.nn.Module, name: str, parameter: torch.Tensor) -> None:
    tie = _find(parameter, (module, name))
    if tie is None:
        Tie().begin(module, name, parameter)
    else:
        tie.add(module, name, parameter)


def _replace(
    tie: Tie,
    module: torch.nn.Module,
    name: str,
    before: torch.Tensor | None,
    after: torch.Tensor | None,
    *,
    moves_all: bool,
) -> None:
    """Puts the new parameter into the old one's other slots: all, or those declared to share its weight."""
    moved = tie.siblings(module) if before is not None else []
    if after is None:
        tie.remove(module, name)
    elif moves_all and (before is None or before.shape == after.shape):
        tie.rekey(after)
        for other, key in moved:
            put(other, key, after)
    else:
        tie.remove(module, name)
        for other, key in moved:
            if getattr(other, DECLARED, False) and not getattr(module, DECLARED, False):
                tie.remove(other, key)
                put(other, key, after)
                _join(other, key, after)


def put(module: Any, name: str, parameter: torch.Tensor | None) -> None:
    """Puts a parameter into a slot without the checks of an assignment."""
    module._parameters[name] = parameter
    if name in getattr(module, "_flat_weights_names", ()):  # the recurrent layers keep a list of them too
        module._flat_weights[module._flat_weights_names.index(name)] = parameter
