"""The names that a module declares.

A scope is kept on the module as `module._dim_scope`. A compiled check reads its `scope_key` (the names, a string, and which
checks are switched off) and its `sizes` (in the order of the names) as one tuple, `keyed_sizes`, which the module holds beside
it: TorchDynamo guards that by one comparison. Everything else is for changes and errors.
Where a module does not report its changes, `has_changed` finds them, and the `scope_key` begins with a mark that says so.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Set as AbstractSet
from typing import Any

import torch

from dimtyped.names.claims import Claim, Claims, deciding, wrongly_derived
from dimtyped.names.expressions import names_in
from dimtyped.names.switches import Switches, is_off_in, is_switch_word
from dimtyped.names.watched import FirstCall, Watched

ATTRIBUTE = "_dim_scope"
KEYED_SIZES = "_dim_keyed_sizes"
"""On a module: the `keyed_sizes` of its scope."""
_AMBIGUOUS = "!"
_WATCHED = "?"


class Scope:
    """The names of one module. It is replaced, never changed, because a copy of the module may hold the same scope."""

    def __init__(
        self,
        claims: Iterable[Claim] = (),
        inherited: Iterable[Claim] = (),
        switches: Switches = Switches(),  # noqa: B008  # never changed
        watched: tuple[Watched | FirstCall, ...] | None = (),
        watched_by_holder: tuple[Watched | FirstCall, ...] = (),
    ) -> None:
        self.claims = claims if isinstance(claims, Claims) else Claims(claims)
        self.inherited = inherited if isinstance(inherited, Claims) else Claims(inherited)
        self.switches = switches
        self.watched = watched
        self.watched_by_holder = watched_by_holder
        self.owners: AbstractSet[str] = frozenset(claim.owner for claim in self.claims)
        """Among them each attribute that has a claim. There may be more."""
        own = {claim.name for claim in self.deciding}
        sizes: dict[str, int] = {}
        for claim in (*self.deciding, *(claim for claim in self.inherited if claim.name not in own)):
            if claim.name.isidentifier() and sizes.setdefault(claim.name, claim.size) != claim.size:
                sizes[claim.name] = -1
        for derived, _ in wrongly_derived(self.deciding, {name: sizes[name] for name in own & sizes.keys()}):
            sizes.update((name, -1) for name in names_in(derived.name))
        ordered = sorted(sizes)
        self.sizes = tuple(sizes[name] for name in ordered)
        named = (name if sizes[name] >= 0 else _AMBIGUOUS + name for name in ordered)
        self.scope_key = " ".join((*(() if watched == () else (_WATCHED,)), *named, *switches.words))
        self.keyed_sizes = _one_tuple((self.scope_key, *self.sizes))

    def __reduce__(self) -> tuple[type[Scope], tuple[Any, ...]]:
        # a copy has fewer switches, and so another key; its module has children of its own
        return Scope, (tuple(self.claims), tuple(self.inherited), self.switches, self.watched and None)

    def grown(self, claims: Claims, inherited: Claims) -> Scope:
        """The same names and sizes with more owners."""
        made = Scope.__new__(Scope)
        made.__dict__.update(self.__dict__, claims=claims, inherited=inherited, owners=claims.places)
        made.__dict__.pop("deciding", None)
        return made

    @functools.cached_property
    def deciding(self) -> tuple[Claim, ...]:
        """The claims that decide each name."""
        return tuple(deciding(self.claims))

    def has_changed(self) -> bool:
        """True if the names must be read again, as far as the module does not report its changes."""
        if self.watched is None:
            return True
        for each in self.watched:  # noqa: SIM110  # a generator costs a call more than this does
            if each.has_changed():
                return True
        return False

    @property
    def names(self) -> dict[str, int]:
        """The names that have exactly one size here."""
        return {name: size for name, size in zip(scope_key_names(self.scope_key), self.sizes, strict=True) if size >= 0}

    def owners_of(self, name: str) -> tuple[Claim, ...]:
        """The claims for this name: the module's own, else those of its children's scopes."""
        own = tuple(claim for claim in self.deciding if claim.name == name)
        return own or tuple(claim for claim in self.inherited if claim.name == name)

    def disagreeing(self, name: str) -> tuple[Claim, ...]:
        """The claims that give this name different sizes, including those of names derived from it."""
        derived = (claim for claim in self.deciding if claim.name != name and name in names_in(claim.name))
        return (*self.owners_of(name), *derived)

    def is_ambiguous(self, name: str) -> bool:
        """True if this name has two sizes: in children that disagree, or in a plain torch module."""
        return _AMBIGUOUS + name in self.scope_key.split()


@functools.lru_cache(maxsize=4096)
def _one_tuple(keyed_sizes: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The same tuple for all modules that declare the same, so that a comparison is one of addresses."""
    return keyed_sizes


def scope_key_names(scope_key: str) -> tuple[str, ...]:
    """The names in a scope_key, in the order of its sizes."""
    return tuple(word.removeprefix(_AMBIGUOUS) for word in scope_key_words(scope_key))


def scope_key_words(scope_key: str) -> tuple[str, ...]:
    """The names in a scope_key as they stand there: one of two sizes is marked."""
    return tuple(word for word in scope_key.split() if not is_switch_word(word) and word != _WATCHED)


def ambiguous_names(scope_key: str) -> tuple[str, ...]:
    """The names in a scope_key that have more than one size."""
    words = scope_key_words(scope_key)
    return tuple(word.removeprefix(_AMBIGUOUS) for word in words if word.startswith(_AMBIGUOUS))


def is_watched(scope_key: str) -> bool:
    """True for the scope_key of a module that does not report its changes."""
    return scope_key.startswith(_WATCHED)


def is_off_by(scope_key: str | None, method: str) -> bool:
    """True if the checks of a method are switched off, by the scope_key of its module."""
    return scope_key is not None and is_off_in(scope_key.split(), method)


def set_scope(module: torch.nn.Module, scope: Scope) -> None:
    """Gives the module a scope."""
    module.__dict__[ATTRIBUTE] = scope
    module.__dict__[KEYED_SIZES] = scope.keyed_sizes


def is_scope(module: object) -> bool:
    """True if a module already has a scope."""
    return isinstance(module, torch.nn.Module) and ATTRIBUTE in module.__dict__


def held_scope(module: torch.nn.Module) -> Scope:
    """The scope that the module holds; an empty one where it holds none yet."""
    found: Scope | None = module.__dict__.get(ATTRIBUTE)
    return found if found is not None else Scope()
