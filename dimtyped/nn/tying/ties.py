"""Ties: one parameter under several names, and what keeps it one.

Torch registers a parameter once for each name. Whatever replaces it (`Module._apply`, `load_state_dict(assign=True)`,
FSDP2, `parallelize_module`) does so name by name, and parts them. Each module that keeps ties says here what it
registers; when a framework replaces a parameter under one name, the other names get the new one too. Nothing here
refers to a parameter, not even weakly: `torch.utils.swap_tensors` refuses a tensor that has a weak reference.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from dimtyped.nn.tying.aliases import follow
from dimtyped.nn.tying.callsite import by_framework

Slot = tuple[torch.nn.Module, str]
DECLARED = "_dim_declared_tie"
"""Set on a layer that is declared to have another's weight: it takes what that one is given later."""
_TIES = "_dim_ties"


_by_id: dict[int, Tie] = {}
"""By the parameter's id. Whoever looks one up makes sure that a place still holds that parameter."""


class Tie:
    """The names of one parameter; of one name it is a tie too. A copy of a module makes its own ties anew."""

    __slots__ = ("_key", "_places", "loading")

    def __init__(self) -> None:
        self.loading: Any = None
        """What `_loading` knows of the checkpoint being loaded."""
        self._key = 0
        self._places: list[tuple[weakref.ref[torch.nn.Module], str]] = []

    def __reduce__(self) -> tuple[type[Tie], tuple[()]]:
        return Tie, ()

    def places(self) -> Iterator[Slot]:
        """The modules that live, and the name there."""
        for reference, name in tuple(self._places):
            module = reference()
            if module is not None:
                yield module, name

    def owns(self, parameter: torch.Tensor | None) -> bool:
        """Whether this is the tie's parameter, given that a place holds it."""
        return id(parameter) == self._key

    def siblings(self, module: torch.nn.Module) -> list[Slot]:
        """The places on other modules that hold the parameter still, whatever this one holds."""
        return [
            (other, name)
            for other, name in self.places()
            if other is not module and self.owns(other._parameters.get(name))
        ]

    def is_held(self, parameter: torch.Tensor, besides: Slot | None = None) -> bool:
        """Whether a place, other than this one, holds this very parameter."""
        return any(
            module._parameters.get(name) is parameter
            for module, name in self.places()
            if besides is None or module is not besides[0] or name != besides[1]
        )

    def begin(self, module: torch.nn.Module, name: str, parameter: torch.Tensor) -> None:
        """Takes the first place in."""
        self._places.append((weakref.ref(module, self._forget), name))
        self._key = id(parameter)
        _by_id[self._key] = self

    def add(self, module: torch.nn.Module, name: str, parameter: torch.Tensor) -> None:
        """Takes one more place in, and lets go of those that hold something else by now."""
        for other, other_name in self.places():
            if other._parameters.get(other_name) is not parameter or (other is module and other_name == name):
                self.remove(other, other_name)
        self._places.append((weakref.ref(module, self._forget), name))
        if len(self._places) > 1:
            for other, other_name in self.places():
                other.__dict__[_TIES] = {**ties_on(other), other_name: self}

    def remove(self, module: torch.nn.Module, name: str) -> None:
        """Lets a place go."""
        self._places = [place for place in self._places if place[0]() is not module or place[1] != name]
        if ties_on(module).get(name) is self:
            module.__dict__[_TIES] = {key: tie for key, tie in ties_on(module).items() if key != name}
        if not self._places:
            self._unlist()

    def rekey(self, parameter: torch.Tensor) -> None:
        """Stands for this parameter from now on."""
        self._unlist()
        self._key = id(parameter)
        _by_id[self._key] = self

    def _forget(self, reference: weakref.ref[torch.nn.Module]) -> None:
        self._places = [place for place in self._places if place[0] is not reference]
        if not self._places:
            self._unlist()

    def _unlist(self, known: dict[int, Tie] = _by_id) -> None:  # as Python exits the global is gone, this is not
        if known.get(self._key) is self:
            del known[self._key]


def adopt(module: torch.nn.Module) -> None:
    """Takes in the parameters of a module that no constructor of ours has made: a copy, an unpickled, a retyped one."""
    for name, parameter in module._parameters.items():
        registered(module, name, None, parameter)


def release(module: torch.nn.Module) -> None:
    """Lets go of a module that no longer keeps ties."""
    for name, tie in ties_on(module).items():
        tie.remove(module, name)
    module.__dict__.pop(_TIES, None)


def share(module: torch.nn.Module, source: torch.nn.Module, name: str = "weight") -> None:
    """Makes a weight the very one of another module, also where that one computes it."""
    if name in source._parameters:
        setattr(module, name, source._parameters[name])
    else:
        registered(module, name, module._parameters.get(name), None, framework=False)
        follow(module, name, source, name)


def owner_of(parameter: torch.Tensor) -> Slot | None:
    """The module that a parameter was first registered on, and its name there."""
    tie = _find(parameter)
    return next(tie.places(), None) if tie is not None else None


def tie_of(module: torch.nn.Module, name: str) -> Tie | None:
    """The tie of a parameter with several names; also once this place has lost the parameter."""
    return ties_on(module).get(name)


def registered(
    module: torch.nn.Module,
    name: str,
    before: torch.Tensor | None,
    after: torch.Tensor | None,
    *,
    framework: bool | None = None,
) -> None:
    """Follows a change of what a module holds under a name.

    A framework that puts a new parameter in the old one's place means all its names, unless the new one is tied to
    something else already. A user means this one name, and the layers that are declared to follow it.
    """
    if after is before:
        return
    tie, known = tie_of(module, name), _find(after, (module, name))
    if tie is not None and before is not None and not tie.owns(before):
        tie.remove(module, name)  # somebody has put another parameter there, past all that could see it
        tie = None
    if tie is None and before is not None and id(before) in _by_id:
        _by_id[id(before)].remove(module, name)
    elif tie is not None and tie is not known:
        moves_all = known is None and (by_framework() if framework is None else framework)
        _replace(tie, module, name, before, after, moves_all=moves_all)
    if after is not None:
        _join(module, name, after)


def ties_on(module: torch.nn.Module) -> Mapping[str, Tie]:
    """The ties of a module's parameters, by the names there."""
    return module.__dict__.get(_TIES, {})


def _find(parameter: torch.Tensor | None, besides: Slot | None = None) -> Tie | None:
    """The tie of a parameter that a place, other than this one, still holds."""
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
    """The old parameter's other names get the new one: all of them, or those declared to follow this one."""
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
    """Puts a parameter in another's place, past all that looks at an assignment."""
    module._parameters[name] = parameter
    if name in getattr(module, "_flat_weights_names", ()):  # the recurrent layers keep a list beside
        module._flat_weights[module._flat_weights_names.index(name)] = parameter
