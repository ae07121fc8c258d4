"""Checks switched off for one model, block, method or function, and on again."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Self

import torch

from dimtyped.engine import CheckedFunction, entry_of, functions_in, reads_names, switch
from dimtyped.errors import DeclarationError, declaration_error
from dimtyped.names import SWITCHES, Switch, Switches, is_scope, one_at_a_time, switch_scope, switches_of
from dimtyped.nn.contract import Layer, follow_switches
from dimtyped.runtime import WithoutInternalFrames, mode as mode_in_force

_Change = Callable[[Switches], Switches]


@WithoutInternalFrames()
def unchecked(target: Any, mode: bool = True) -> Unchecked:
    """Switches the checks of one model, block, method or function off, and with `mode=False` on again.

    It holds until the checks are switched on again, or as a context manager until the block ends; in every thread.
    A model's checks are those of its methods and layers, and of every module in it. Copies and pickles of the model keep
    what does not end with a block. Static and class methods belong to the class: `unchecked(Net.method)` is of every
    call. What is checked at construction, assignment and loading stays checked. `status` says what is off.

    Args:
        target: A module, with all that it has; a method of one module, `model.encode`; or a function that `typed`
            checks, `Net.encode` for every `Net`.
        mode: False switches the checks on again. Default: True.

    Returns:
        A context manager that ends it.

    Raises:
        DeclarationError: `target` is none of these, or nothing checks it.

    Example:
        >>> import torch, dimtyped
        >>> layer = dimtyped.nn.Embedding(10, 4)
        >>> with dimtyped.unchecked(layer):
        ...     dimtyped.status(layer).rows[0].text
        (model)  Embedding(vocab=10, embed=4)  off: unchecked
        1 off
        'off: unchecked'
    """
    made = Unchecked(_holders(target), mode)
    made.apply()
    return made


class Unchecked:
    """One switching of checks. As a context manager it ends with the block."""

    def __init__(self, holders: list[tuple[torch.nn.Module | CheckedFunction, str]], is_off: bool) -> None:
        self._made = [(holder, Switch(is_off, method)) for holder, method in holders]

    def apply(self) -> None:
        """Makes the switching the latest."""
        for holder, made in self._made:
            _change(holder, lambda switches, made=made: switches.with_one(made))

    def __enter__(self) -> Self:
        """The switching is now the latest, and ends with the block."""
        self._end()
        self._made = [(holder, Switch(made.is_off, made.method, lasts=False)) for holder, made in self._made]
        self.apply()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        for holder, made in self._made:
            _change(holder, lambda switches, made=made: switches.without(made))


def _change(holder: torch.nn.Module | CheckedFunction, change: _Change) -> None:
    if isinstance(holder, CheckedFunction):
        switch(holder, change)
        return
    with one_at_a_time:
        switches = change(switches_of(holder))
        if switches.made:
            holder.__dict__[SWITCHES] = switches
        else:
            holder.__dict__.pop(SWITCHES, None)
        if is_scope(holder) or reads_names(type(holder)):
            switch_scope(holder)
        if isinstance(holder, Layer):
            follow_switches(holder)


def _holders(target: Any) -> list[tuple[torch.nn.Module | CheckedFunction, str]]:
    """What keeps the switches of the target: modules, each with the name of a method or `*`, or checked functions."""
    if isinstance(target, torch.nn.Module):
        return [(module, "*") for module in target.modules()]
    owner = target.__self__ if isinstance(target, types.MethodType) else None
    if isinstance(owner, torch.nn.Module):
        return [(owner, _method_of(owner, target))]
    functions = functions_in(target) if owner is None else (target.__func__,)
    entries = [entry for entry in map(entry_of, functions) if entry is not None]
    if not entries and mode_in_force() != "off":
        raise _not_checked(target)
    return [(entry, "*") for entry in entries]


def _method_of(module: torch.nn.Module, method: Any) -> str:
    """The name of a module's method, if something checks it."""
    entry = entry_of(method)
    if entry is not None and entry.reads_scope:
        return entry.declaration.method
    is_layers = isinstance(module, Layer) and method.__name__ == "forward"
    if not is_layers and mode_in_force() != "off":
        raise _not_checked(method)
    return method.__name__


def _not_checked(target: Any) -> DeclarationError:
    if isinstance(target, types.FunctionType | types.MethodType | property):
        problem = f"nothing checks {getattr(target, '__qualname__', target)!r}"
    else:
        problem = f"takes a module, a method or a function, not {target!r} of type {type(target).__name__}"
    return declaration_error(
        "unchecked",
        problem,
        "give what dimtyped.status or dimtyped.typed checks: a module, model.method, or a typed function",
        argument="target",
        expected="a module, a method or a function that is checked",
        actual=type(target).__name__,
    )
