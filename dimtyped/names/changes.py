"""Changes of what a module holds: what it declares then, and the error for a name that gets a second size."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import torch

from dimtyped.errors import DeclarationError
from dimtyped.names.claims import Claim, Claims, Rank, claims_of, identifiers_in, owner_phrase, wrongly_derived
from dimtyped.names.dim import Dim
from dimtyped.names.expressions import names_in
from dimtyped.names.links import REPLACED, Replaced
from dimtyped.names.reading import BUILDING, is_heir, lookup, settle, sizes_in, without_lapsed
from dimtyped.names.scope import held_scope

_DELETED = "_dim_deleted"


def declare_parameter(module: torch.nn.Module, parameter: str, constructor: str, dim: Dim) -> None:
    """Declares what a `DimSize` parameter says: the parameter's own name, and the Dim's."""
    owner = f"{parameter}={constructor}"
    names = dict.fromkeys((parameter, dim.name))
    merged = _merged(module, owner, [Claim(owner, name, int(dim), Rank.PARAMETER) for name in names], ())
    error = _second_size(module, merged, names)
    if error is not None:
        raise error
    settle(module, Claims(merged.claims))


def preview(module: torch.nn.Module, key: str, value: object, *, within: object = None) -> Claims | None:
    """The scope's claims once `key` holds `value`; None if that changes nothing.

    A layer that took its names from another may give a name a second size, and so may what is added to the container
    `within` which it is.

    Raises:
        DeclarationError: a name would get a second size. After construction only an additional owner of the name is
            rejected: if one owner replaces another, the rest may follow, and the next call checks that they did.
    """
    new, before = list(claims_of(key, value)), held_scope(module).claims
    if _is_free(module, key, value) and all(map(before.have, new)):
        return before.followed_by(new) if new else None
    held = [claim for claim in before if _belongs(claim, key)]
    is_layer = isinstance(value, torch.nn.Module) and not held  # else it takes the place of what was stored there since
    deleted = module.__dict__.get(_DELETED, {}).get(key, ()) if is_layer else ()
    old = [*held, *deleted]
    if not new and not old:
        return None
    was_layer = bool(deleted) or key.partition(".")[0] in module.__dict__.get("_modules", {})
    sizes = sizes_in(value) if old and was_layer else set[int]()
    gone = [claim for claim in old if was_layer and claim.size not in sizes]
    merged = _merged(module, key, new, [*gone, *_replaced(module, value, new)])
    rejected = {claim.name for claim in new} if BUILDING in module.__dict__ else _further(old, new)
    error = _second_size(module, merged, rejected) if rejected else None
    if error is not None and not is_heir(value) and not is_heir(within):
        raise error
    return Claims(merged.claims)


def _is_free(module: torch.nn.Module, key: str, value: object) -> bool:
    """True if a value takes no other's place."""
    is_replacement = REPLACED in getattr(value, "__dict__", ()) or key in module.__dict__.get(_DELETED, ())
    return not is_replacement and not held_scope(module).claims.has_place(key)


def remember_deleted(module: torch.nn.Module, key: str) -> None:
    """Remembers the claims of a child that is deleted: a layer assigned there later replaces it, and may have other sizes."""
    claims = tuple(claim for claim in held_scope(module).claims if claim.owner == key)
    if claims and key in module.__dict__.get("_modules", {}):
        module.__dict__[_DELETED] = {**module.__dict__.get(_DELETED, {}), key: claims}


def _further(old: list[Claim], new: list[Claim]) -> set[str]:
    """The names that have more owners than before."""
    return set((Counter(claim.name for claim in new) - Counter(claim.name for claim in old)).keys())


def _replaced(module: torch.nn.Module, value: object, new: list[Claim]) -> list[Claim]:
    """The claims of the layers that the value replaces, for the names that it declares itself."""
    replaced: Replaced | None = getattr(value, "__dict__", {}).get(REPLACED)
    if replaced is None:
        return []
    names = {claim.name for claim in new}
    return [c for c in held_scope(module).claims if c.name in names and replaced.has(lookup(module, c.owner))]


class _Merged(NamedTuple):
    """Claims in their order: those of a change, and the others ahead of them and behind."""

    ahead: list[Claim]
    new: list[Claim]
    behind: list[Claim]

    @property
    def claims(self) -> list[Claim]:
        return [*self.ahead, *self.new, *self.behind]


def _merged(module: torch.nn.Module, key: str, new: list[Claim], gone: Collection[Claim]) -> _Merged:
    """The claims with those of `key` replaced."""
    before = held_scope(module).claims
    others = [claim for claim in before if not _belongs(claim, key)]
    claims = without_lapsed([claim for claim in others if claim not in gone] if gone else others, gone)
    place = len(claims)
    if len(others) < len(before):  # a replacement keeps the place of the replaced one
        ahead = {claim.owner for claim in itertools.takewhile(lambda claim: not _belongs(claim, key), before)}
        place = len([claim for claim in claims if claim.owner in ahead])
    return _Merged(claims[:place], new, claims[place:])


def _second_size(module: torch.nn.Module, merged: _Merged, rejected: Collection[str]) -> DeclarationError | None:
    """The error for the last of the new claims whose name is `rejected` with another size beside it, or a derived one's."""
    sizes: dict[str, set[int]] = {}
    for claim in (*merged.ahead, *merged.behind):
        sizes.setdefault(claim.name, set()).add(claim.size)
    for index in reversed(range(len(merged.new))):
        claim, known = merged.new[index], sizes.setdefault(merged.new[index].name, set())
        known.add(claim.size)
        if len(known) > 1 and claim.name in rejected:
            others = (*merged.ahead, *merged.new[index + 1 :], *merged.behind)
            beside = (each for each in others if each.name == claim.name)
            return _conflict(module, claim, next(each for each in beside if each.size != claim.size))
    return _wrong_derivation(module, merged.claims)


def _wrong_derivation(module: torch.nn.Module, claims: list[Claim]) -> DeclarationError | None:
    """The error for a derived name that does not agree with the names in it: `2*hidden` with `hidden`."""
    for claim, size in wrongly_derived(claims, identifiers_in(claims)):
        base = next(known for known in claims if known.name == names_in(claim.name)[0])
        other = replace(base, name=claim.name, size=size)
        return _conflict(module, claim, other, note=f", where {base.name} is {base.size}")
    return None


def _conflict(module: torch.nn.Module, claim: Claim, other: Claim, note: str = "") -> DeclarationError:
    name = type(module).__name__
    error = DeclarationError(
        f"{name}: `{claim.name}` has two sizes: {claim.size} by {owner_phrase(name, claim)}, "
        f"{other.size} by {owner_phrase(name, other)}{note}\n"
        "  Within a module a name has one size. "
        f"Give one of them another name, as in dims({_other_name(claim.name)}={claim.size})."
    )
    error.where, error.argument, error.dim = name, claim.owner.partition("=")[0], claim.name
    error.expected, error.actual, error.bindings = other.size, claim.size, {claim.name: other.size}
    error.hint = f"give one of them another name, as in dims({_other_name(claim.name)}={claim.size})"
    return error


def _other_name(name: str) -> str:
    return f"{name}_2" if name.isidentifier() else "other"


def _belongs(claim: Claim, key: str) -> bool:
    return claim.owner.startswith(key) and claim.owner[len(key) : len(key) + 1] in ("", ".")
