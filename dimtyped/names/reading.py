"""What a module declares, read from what it holds, and read again where that has changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import torch

from dimtyped.names.claims import CONTAINERS, INHERITED, Claim, Claims, claims_of, layer_claims
from dimtyped.names.dim import Dim
from dimtyped.names.holders import hold, holders_of
from dimtyped.names.scope import ATTRIBUTE, KEYED_SIZES, Scope, held_scope, is_scope, set_scope
from dimtyped.names.switches import switches_of
from dimtyped.names.watched import UNUSED, FirstCall, Watched, dims_in, watched_in, watched_of
from dimtyped.runtime import members_of

BUILDING = "_dim_building"
"""Set on a module while its constructors run."""
MANAGED = "_dim_checks_methods"
"""Set on the classes that manage their own names and methods."""


def scope_of(module: torch.nn.Module) -> Scope:
    """The module's scope, made and filled if it has none yet."""
    if ATTRIBUTE not in module.__dict__:
        resync(module)
    scope: Scope = module.__dict__[ATTRIBUTE]
    if KEYED_SIZES not in module.__dict__:  # a pickle of an earlier version
        set_scope(module, scope)
    return scope


def switch_scope(module: torch.nn.Module) -> None:
    """Gives the module's scope the switches that the module has now."""
    before = scope_of(module)
    watched = (before.watched, before.watched_by_holder)
    set_scope(module, Scope(before.claims, before.inherited, switches_of(module), *watched))


def resync(module: torch.nn.Module) -> bool:
    """Rereads the names from what the module holds now; returns True if a size changed."""
    before = held_scope(module)
    for _, child in _children(module):
        if is_scope(child):
            _settle_anew(child)
    after = _settle_anew(module)
    return (before.scope_key, before.sizes) != (after.scope_key, after.sizes)


def _settle_anew(module: torch.nn.Module) -> Scope:
    before = held_scope(module)
    for child in module.__dict__.get("_modules", {}).values():
        read_from(module, child)
    stored = [c for c in before.claims if c.is_parameter or _is_plain(module.__dict__.get(c.owner), c.size)]
    below = (claim for key, value in _held(module) for claim in _held_claims(module, key, value))
    held = [claim for claim in (*layer_claims("", module), *below) if claim not in stored]
    gone = [c for c in before.claims if not c.is_parameter and c.size not in sizes_in(lookup(module, c.owner))]
    return settle(module, Claims(without_lapsed([*stored, *held], gone)))


def _held_claims(module: torch.nn.Module, key: str, value: object) -> Iterator[Claim]:
    """The claims of an attribute. A Dim kept by a plain torch module ranks as a layer: the module itself stored it."""
    if isinstance(value, Dim) and BUILDING not in module.__dict__:
        return iter((Claim(key, value.name, int(value)),))
    return claims_of(key, value)


def settle(module: torch.nn.Module, claims: Claims) -> Scope:
    """Gives the module a scope of these claims and of what the modules below declare; notifies its holders."""
    before = held_scope(module)
    own: tuple[Watched | FirstCall, ...] = ()
    below: tuple[Watched | FirstCall, ...] = ()
    if BUILDING not in module.__dict__:
        own, below = _watched(module, claims), tuple(_watched_below(module))
    # a module reads the names of those that it holds, not what they read from theirs; a first call looks at all below
    by_holder = (*own, *(each for each in below if isinstance(each, FirstCall)))
    scope = Scope(claims, _inherited(module), switches_of(module), (*own, *below), by_holder)
    set_scope(module, scope)
    if (before.scope_key, before.sizes) != (scope.scope_key, scope.sizes):
        tell_holders(module)
    return scope


def settle_with_child(module: torch.nn.Module, claims: Claims, path: str, child: torch.nn.Module | None) -> Scope:
    """The same where nothing has changed but that a child is added. Where it says nothing new, no other one is read."""
    before = held_scope(module)
    inherited = list(_inherited_of(path, child))
    if (
        not before.claims.are_followed_by(claims)
        or before.inherited.has_place(path)
        or not all(claims.have_name(claim.name) or before.inherited.have(claim) for claim in inherited)
        or before.watched != ()
        or (BUILDING not in module.__dict__ and _is_watched(child))
    ):
        return settle(module, claims)
    scope = before.grown(claims, before.inherited.followed_by(inherited))
    set_scope(module, scope)
    return scope


def _is_watched(child: torch.nn.Module | None) -> bool:
    """True if a scope that has this child must look for changes in it."""
    scopes = (inner.__dict__[ATTRIBUTE] for _, inner in _within("", child) if is_scope(inner))
    return any(True for _ in watched_of(child, CONTAINERS)) or any(scope.watched_by_holder for scope in scopes)


def _watched(module: torch.nn.Module, claims: Claims) -> tuple[Watched | FirstCall, ...]:
    """The parts of the module that change without notice: all of one of torch's own classes, else torch's own containers in it."""
    first = (FirstCall(module),) if UNUSED in module.__dict__ else ()
    if hasattr(type(module), MANAGED):
        return (*first, *watched_in(module, CONTAINERS, None))
    stored = {*dims_in(module), *(claim.owner for claim in claims if not claim.is_parameter)}
    return (*first, *watched_in(module, CONTAINERS, stored))


def _watched_below(module: torch.nn.Module) -> Iterator[Watched | FirstCall]:
    """The parts of the scopes below that are watched, because their names may be used above."""
    for _, child in _children(module):
        if is_scope(child):
            yield from child.__dict__[ATTRIBUTE].watched_by_holder


def tell_holders(module: torch.nn.Module, besides: torch.nn.Module | None = None) -> None:
    """Makes the modules that read names from this one reread them; `besides` has done so."""
    for holder in holders_of(module):
        if holder is not besides and is_scope(holder):
            resync(holder)


def read_from(holder: torch.nn.Module, value: object) -> None:
    """Records that the holder reads names from a module and, if that is a container, from the modules in it."""
    if isinstance(value, torch.nn.Module):
        hold(holder, value)
        if isinstance(value, CONTAINERS):
            for child in value._modules.values():
                read_from(holder, child)


def without_lapsed(claims: list[Claim], gone: Collection[Claim]) -> list[Claim]:
    """Drops the claims of parameters whose last layer was replaced: a model with a new head has other `classes`."""
    if not gone:
        return claims
    held = {claim.name for claim in claims if not claim.is_parameter}
    lapsed = {claim.name for claim in gone} - held
    return [claim for claim in claims if claim.name not in lapsed]


def sizes_in(value: object) -> set[int]:
    """The sizes that the object now in a layer's place has somewhere, under any name."""
    if not isinstance(value, torch.nn.Module):
        return {int(value)} if isinstance(value, int) else set()
    return {number for module in members_of(value) for number in vars(module).values() if type(number) is int}


def is_heir(value: object) -> bool:
    """True for a layer that took its names from the layer that it replaced."""
    return isinstance(value, torch.nn.Module) and any(INHERITED in module.__dict__ for module in members_of(value))


def _is_plain(value: object, size: int) -> bool:
    """True if this is the plain int that a stored Dim of this size becomes at the end of `__init__`."""
    return type(value) is int and value == size


def _held(module: torch.nn.Module) -> Iterator[tuple[str, object]]:
    yield from ((key, value) for key, value in module.__dict__.items() if isinstance(value, Dim))
    yield from module.__dict__.get("_modules", {}).items()


def _inherited(module: torch.nn.Module) -> Iterator[Claim]:
    for key, child in module.__dict__.get("_modules", {}).items():
        yield from _inherited_of(key, child)


def _inherited_of(path: str, value: torch.nn.Module | None) -> Iterator[Claim]:
    """What is declared by the scopes at a path: a module, or those in a container."""
    for inner, child in _within(path, value):
        if is_scope(child):
            for claim in child.__dict__[ATTRIBUTE].deciding:
                if claim.name.isidentifier():
                    yield Claim(inner, claim.name, claim.size)


def _children(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """The modules held directly or in containers, each with its path; the containers themselves are left out."""
    for key, child in module.__dict__.get("_modules", {}).items():
        yield from _within(key, child)


def _within(path: str, value: torch.nn.Module | None) -> Iterator[tuple[str, torch.nn.Module]]:
    if isinstance(value, CONTAINERS):
        for key, child in value.__dict__.get("_modules", {}).items():
            yield from _within(f"{path}.{key}", child)
    elif value is not None:
        yield path, value


def lookup(module: torch.nn.Module, path: str) -> Any:
    """The child or attribute of a module at a path; the module itself at the empty one."""
    value: Any = module
    for part in path.split(".") if path else ():
        held = value.__dict__.get("_modules", {}) if isinstance(value, torch.nn.Module) else {}
        value = held.get(part, getattr(value, "__dict__", {}).get(part))
    return value
