"""The names that a module declares, and the owner of each.

A scope is kept on the module as `module._dim_scope`. A compiled check reads its `scope_key` (the names, a string, and which
checks are switched off) and its `sizes` (in the order of the names) as one tuple, `keyed_sizes`, which the module holds beside
it: TorchDynamo guards that by one comparison. Everything else is for changes and errors.
Where a module does not report its changes, `has_changed` finds them, and the `scope_key` begins with a mark that says so.
"""

from __future__ import annotations

import enum
import functools
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from dimtyped.errors import DeclarationError
from dimtyped.names.dim import Dim
from dimtyped.names.expressions import names_in
from dimtyped.names.holders import hold, holders_of
from dimtyped.names.layers import declared_sizes
from dimtyped.names.links import REPLACED, Replaced
from dimtyped.names.switches import Switches, is_off_in, is_switch_word, switches_of
from dimtyped.names.watched import UNUSED, FirstCall, Watched, dims_in, watched_in
from dimtyped.runtime import members_of

ATTRIBUTE = "_dim_scope"
KEYED_SIZES = "_dim_keyed_sizes"
"""On a module: the `keyed_sizes` of its scope."""
_CONTAINERS = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)
_AMBIGUOUS = "!"
_WATCHED = "?"
_DELETED = "_dim_deleted"
BUILDING = "_dim_building"
"""Set on a module while its constructors run."""
MANAGED = "_dim_checks_methods"
"""Set on the classes that manage their own names and methods."""
INHERITED = "_dim_inherited"
"""Set on a plain layer that replaced a typed one: the attributes that hold a named size, each with the name."""


class Rank(enum.IntEnum):
    """Precedence if a name has several owners: layers decide, after `__init__` too."""

    PARAMETER = 0
    STORED = 1
    LAYER = 2


@dataclass(frozen=True, slots=True)
class Claim:
    """One owner's declaration that a name has a size.

    `owner` is a path below the module, `decoder.gru`, empty for the module itself, or a parameter of a constructor,
    `hidden=Decoder.__init__`.
    """

    owner: str
    name: str
    size: int
    rank: Rank = Rank.LAYER

    @property
    def is_parameter(self) -> bool:
        """True if the owner is a parameter of `__init__` rather than an attribute."""
        return self.rank is Rank.PARAMETER


class Scope:
    """The names of one module. It is replaced, never changed, because a copy of the module may hold the same scope."""

    def __init__(
        self,
        claims: tuple[Claim, ...] = (),
        inherited: tuple[Claim, ...] = (),
        switches: Switches = Switches(),  # noqa: B008  # never changed
        watched: tuple[Watched | FirstCall, ...] | None = (),
        watched_by_holder: tuple[Watched | FirstCall, ...] = (),
    ) -> None:
        self.claims = claims
        self.inherited = inherited
        self.switches = switches
        self.watched = watched
        self.watched_by_holder = watched_by_holder
        self.owners = frozenset(claim.owner for claim in claims)
        self.deciding = tuple(_deciding(claims))
        own = {claim.name for claim in self.deciding}
        sizes: dict[str, int] = {}
        for claim in (*self.deciding, *(claim for claim in inherited if claim.name not in own)):
            if claim.name.isidentifier() and sizes.setdefault(claim.name, claim.size) != claim.size:
                sizes[claim.name] = -1
        for derived, _ in _wrongly_derived(self.deciding, {name: sizes[name] for name in own & sizes.keys()}):
            sizes.update((name, -1) for name in names_in(derived.name))
        ordered = sorted(sizes)
        self.sizes = tuple(sizes[name] for name in ordered)
        named = (name if sizes[name] >= 0 else _AMBIGUOUS + name for name in ordered)
        self.scope_key = " ".join((*(() if watched == () else (_WATCHED,)), *named, *switches.words))
        self.keyed_sizes = _one_tuple((self.scope_key, *self.sizes))

    def __reduce__(self) -> tuple[type[Scope], tuple[Any, ...]]:
        # a copy has fewer switches, and so another key; its module has children of its own
        return Scope, (self.claims, self.inherited, self.switches, self.watched and None)

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


def _deciding(claims: tuple[Claim, ...]) -> Iterator[Claim]:
    """The claims that decide each name: those of layers, else of stored sizes, else of parameters."""
    highest: dict[str, Rank] = {}
    for claim in claims:
        highest[claim.name] = max(claim.rank, highest.get(claim.name, claim.rank))
    return (claim for claim in claims if claim.rank is highest[claim.name])


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


def switch_scope(module: torch.nn.Module) -> None:
    """Gives the module's scope the switches that the module has now."""
    before = scope_of(module)
    watched = (before.watched, before.watched_by_holder)
    set_scope(module, Scope(before.claims, before.inherited, switches_of(module), *watched))


def set_scope(module: torch.nn.Module, scope: Scope) -> None:
    """Gives the module a scope."""
    module.__dict__[ATTRIBUTE] = scope
    module.__dict__[KEYED_SIZES] = scope.keyed_sizes


def scope_of(module: torch.nn.Module) -> Scope:
    """The module's scope, made and filled if it has none yet."""
    if ATTRIBUTE not in module.__dict__:
        resync(module)
    scope: Scope = module.__dict__[ATTRIBUTE]
    if KEYED_SIZES not in module.__dict__:  # a pickle of an earlier version
        set_scope(module, scope)
    return scope


def is_scope(module: object) -> bool:
    """True if a module already has a scope."""
    return isinstance(module, torch.nn.Module) and ATTRIBUTE in module.__dict__


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
    held = [claim for claim in (*_layer_claims("", module), *below) if claim not in stored]
    gone = [c for c in before.claims if not c.is_parameter and c.size not in _sizes_in(lookup(module, c.owner))]
    return settle(module, tuple(_without_lapsed([*stored, *held], gone)))


def _held_claims(module: torch.nn.Module, key: str, value: object) -> Iterator[Claim]:
    """The claims of an attribute. A Dim kept by a plain torch module ranks as a layer: the module itself stored it."""
    if isinstance(value, Dim) and BUILDING not in module.__dict__:
        return iter((Claim(key, value.name, int(value)),))
    return claims_of(key, value)


def held_scope(module: torch.nn.Module) -> Scope:
    """The scope that the module holds; an empty one where it holds none yet."""
    found: Scope | None = module.__dict__.get(ATTRIBUTE)
    return found if found is not None else Scope()


def settle(module: torch.nn.Module, claims: tuple[Claim, ...]) -> Scope:
    """Gives the module a scope of these claims and of what the modules below declare; notifies its holders."""
    before = held_scope(module)
    own: tuple[Watched | FirstCall, ...] = ()
    below: tuple[Watched | FirstCall, ...] = ()
    if BUILDING not in module.__dict__:
        own, below = _watched(module, claims), tuple(_watched_below(module))
    # a module reads the names of those that it holds, not what they read from theirs; a first call looks at all below
    by_holder = (*own, *(each for each in below if isinstance(each, FirstCall)))
    scope = Scope(claims, tuple(_inherited(module)), switches_of(module), (*own, *below), by_holder)
    set_scope(module, scope)
    if (before.scope_key, before.sizes) != (scope.scope_key, scope.sizes):
        tell_holders(module)
    return scope


def _watched(module: torch.nn.Module, claims: tuple[Claim, ...]) -> tuple[Watched | FirstCall, ...]:
    """What of the module itself changes untold: all of one of torch's own classes, else torch's own containers in it."""
    first = (FirstCall(module),) if UNUSED in module.__dict__ else ()
    if hasattr(type(module), MANAGED):
        return (*first, *watched_in(module, _CONTAINERS, None))
    stored = {*dims_in(module), *(claim.owner for claim in claims if not claim.is_parameter)}
    return (*first, *watched_in(module, _CONTAINERS, stored))


def _watched_below(module: torch.nn.Module) -> Iterator[Watched | FirstCall]:
    """What the scopes below are watched for: their names may be used above."""
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
        if isinstance(value, _CONTAINERS):
            for child in value._modules.values():
                read_from(holder, child)


def declare_parameter(module: torch.nn.Module, parameter: str, constructor: str, dim: Dim) -> None:
    """Declares what a `DimSize` parameter says: the parameter's own name, and the Dim's."""
    owner = f"{parameter}={constructor}"
    names = dict.fromkeys((parameter, dim.name))
    claims = [Claim(owner, name, int(dim), Rank.PARAMETER) for name in names]
    settle(module, _merged(module, owner, claims, (), names))


def preview(module: torch.nn.Module, key: str, value: object, *, is_lenient: bool = False) -> tuple[Claim, ...] | None:
    """The scope's claims once `key` holds `value`; None if that changes nothing.

    With `is_lenient`, no second size of a name is rejected, as for a layer that took its names from another.

    Raises:
        DeclarationError: a name would get a second size. After construction only an additional owner of the name is
            rejected: if one owner replaces another, the rest may follow, and the next call checks that they did.
    """
    new = list(claims_of(key, value))
    held = [claim for claim in held_scope(module).claims if _belongs(claim, key)]
    is_layer = isinstance(value, torch.nn.Module) and not held  # else it takes the place of what was stored there since
    deleted = module.__dict__.get(_DELETED, {}).get(key, ()) if is_layer else ()
    old = [*held, *deleted]
    if not new and not old:
        return None
    was_layer = bool(deleted) or key.partition(".")[0] in module.__dict__.get("_modules", {})
    sizes = _sizes_in(value) if old and was_layer else set[int]()
    gone = [claim for claim in old if was_layer and claim.size not in sizes]
    rejected: set[str] = set()
    if not (is_lenient or is_heir(value)):
        rejected = {claim.name for claim in new} if BUILDING in module.__dict__ else _further(old, new)
    return _merged(module, key, new, [*gone, *_replaced(module, value, new)], rejected)


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


def claims_of(key: str, value: object) -> Iterator[Claim]:
    """The claims of an attribute: a Dim declares its name, a typed layer its named sizes, a container its layers'."""
    if isinstance(value, Dim):
        yield Claim(key, value.name, int(value), Rank.STORED)
    elif isinstance(value, torch.nn.Module):
        yield from _layer_claims(key, value)
        if isinstance(value, _CONTAINERS):
            for child_key, child in value._modules.items():
                yield from claims_of(f"{key}.{child_key}", child)


def _layer_claims(key: str, layer: torch.nn.Module) -> Iterator[Claim]:
    """The named sizes of a layer itself."""
    inherited: Mapping[str, str] = layer.__dict__.get(INHERITED, {})
    further = [(name, int(getattr(layer, path))) for path, name in inherited.items() if hasattr(layer, path)]
    yield from (Claim(key, name, size) for name, size in dict.fromkeys([*declared_sizes(layer).items(), *further]))


def _merged(
    module: torch.nn.Module, key: str, new: list[Claim], gone: Collection[Claim], rejected: Collection[str]
) -> tuple[Claim, ...]:
    """The claims with those of `key` replaced; a second size is an error for the names in `rejected`."""
    before = held_scope(module).claims
    others = [claim for claim in before if not _belongs(claim, key)]
    claims = _without_lapsed([claim for claim in others if claim not in gone] if gone else others, gone)
    place = len(claims)
    if len(others) < len(before):  # a replacement keeps the place of the replaced one
        ahead = {claim.owner for claim in itertools.takewhile(lambda claim: not _belongs(claim, key), before)}
        place = len([claim for claim in claims if claim.owner in ahead])
    if rejected:
        _reject_second_size(module, claims[:place], new, claims[place:], rejected)
    claims[place:place] = new
    if rejected:
        _check_derived(module, claims)
    return tuple(claims)


def _reject_second_size(
    module: torch.nn.Module, ahead: list[Claim], new: list[Claim], behind: list[Claim], rejected: Collection[str]
) -> None:
    """Raises for the last of the new claims whose name has another size beside it."""
    sizes: dict[str, set[int]] = {}
    for claim in (*ahead, *behind):
        sizes.setdefault(claim.name, set()).add(claim.size)
    for index in reversed(range(len(new))):
        claim, known = new[index], sizes.setdefault(new[index].name, set())
        known.add(claim.size)
        if len(known) > 1 and claim.name in rejected:
            beside = (each for each in (*ahead, *new[index + 1 :], *behind) if each.name == claim.name)
            raise _conflict(module, claim, next(each for each in beside if each.size != claim.size))


def _without_lapsed(claims: list[Claim], gone: Collection[Claim]) -> list[Claim]:
    """Drops the claims of parameters whose last layer was replaced: a model with a new head has other `classes`."""
    if not gone:
        return claims
    held = {claim.name for claim in claims if not claim.is_parameter}
    lapsed = {claim.name for claim in gone} - held
    return [claim for claim in claims if claim.name not in lapsed]


def _sizes_in(value: object) -> set[int]:
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


def _check_derived(module: torch.nn.Module, claims: list[Claim]) -> None:
    """Checks that derived names agree with the names in them: `2*hidden` with `hidden`."""
    sizes = {claim.name: claim.size for claim in claims if claim.name.isidentifier()}
    for claim, size in _wrongly_derived(claims, sizes):
        base = next(known for known in claims if known.name == names_in(claim.name)[0])
        raise _conflict(
            module, claim, replace(base, name=claim.name, size=size), note=f", where {base.name} is {base.size}"
        )


def _wrongly_derived(claims: Iterable[Claim], sizes: Mapping[str, int]) -> list[tuple[Claim, int]]:
    """The claims of derived names that contradict the names in them, each with the size that they result in."""
    found: list[tuple[Claim, int]] = []
    for claim in claims:
        if claim.name.isidentifier() or not all(sizes.get(name, -1) >= 0 for name in names_in(claim.name)):
            continue
        size = int(
            eval(claim.name, {"__builtins__": {}}, dict(sizes))
        )  # the name of a Dim, which is nothing but arithmetic
        if size != claim.size:
            found.append((claim, size))
    return found


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


def owner_phrase(name: str, claim: Claim) -> str:
    """Who declared it: a parameter of a constructor, or a path below the module called `name`."""
    parameter, _, constructor = claim.owner.partition("=")
    if claim.is_parameter:
        return f"parameter `{parameter}` of {constructor}"
    return f"{name}.{claim.owner}" if claim.owner else name


def _belongs(claim: Claim, key: str) -> bool:
    return claim.owner.startswith(key) and claim.owner[len(key) : len(key) + 1] in ("", ".")


def _held(module: torch.nn.Module) -> Iterator[tuple[str, object]]:
    yield from ((key, value) for key, value in module.__dict__.items() if isinstance(value, Dim))
    yield from module.__dict__.get("_modules", {}).items()


def _inherited(module: torch.nn.Module) -> Iterator[Claim]:
    for path, child in _children(module):
        if is_scope(child):
            for claim in child.__dict__[ATTRIBUTE].deciding:
                if claim.name.isidentifier():
                    yield Claim(path, claim.name, claim.size)


def _children(module: torch.nn.Module, prefix: str = "") -> Iterator[tuple[str, torch.nn.Module]]:
    """The modules held directly or in containers, each with its path; the containers themselves are left out."""
    for key, child in module.__dict__.get("_modules", {}).items():
        if isinstance(child, _CONTAINERS):
            yield from _children(child, f"{prefix}{key}.")
        elif child is not None:
            yield f"{prefix}{key}", child


def lookup(module: torch.nn.Module, path: str) -> Any:
    """The child or attribute of a module at a path; the module itself at the empty one."""
    value: Any = module
    for part in path.split(".") if path else ():
        held = value.__dict__.get("_modules", {}) if isinstance(value, torch.nn.Module) else {}
        value = held.get(part, getattr(value, "__dict__", {}).get(part))
    return value
