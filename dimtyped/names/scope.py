"""Which names a module declares, and who declared them.

A scope is kept on the module as `module._dim_scope`. Its `scope_key` (the names, a string) and `sizes`
(a tuple in the same order) are what a compiled check reads; everything else is for changes and errors.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dimtyped.errors import DeclarationError
from dimtyped.names.dim import Dim
from dimtyped.names.expressions import names_in

ATTRIBUTE = "_dim_scope"
_CONTAINERS = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)
_AMBIGUOUS = "!"
_REPLACED = "_dim_replaces"


@dataclass(frozen=True, slots=True)
class Claim:
    """One owner's word that a name has a size.

    `owner` is a path below the module, `decoder.gru`, or a parameter of a constructor, `hidden=Decoder.__init__`.
    """

    owner: str
    name: str
    size: int

    @property
    def is_parameter(self) -> bool:
        """Whether the owner is a parameter of `__init__` rather than an attribute."""
        return "=" in self.owner


class Scope:
    """The names of one module. Never changed, only replaced: a copy of the module may hold the same one."""

    def __init__(self, claims: tuple[Claim, ...] = (), inherited: tuple[Claim, ...] = ()) -> None:
        self.claims = claims
        self.inherited = inherited
        self.owners = frozenset(claim.owner for claim in claims)
        sizes: dict[str, int] = {}
        for claim in inherited:
            known = sizes.setdefault(claim.name, claim.size)
            if known != claim.size:
                sizes[claim.name] = -1
        own: dict[str, int] = {}
        for claim in claims:
            if claim.name.isidentifier() and own.setdefault(claim.name, claim.size) != claim.size:
                own[claim.name] = -1  # in a plain torch module, which nobody looks after at the assignment
        sizes.update(own)
        ordered = sorted(sizes)
        self.sizes = tuple(sizes[name] for name in ordered)
        self.scope_key = " ".join(name if sizes[name] >= 0 else _AMBIGUOUS + name for name in ordered)

    @property
    def names(self) -> dict[str, int]:
        """Each name that means one size here."""
        return {name: size for name, size in zip(scope_key_names(self.scope_key), self.sizes, strict=True) if size >= 0}

    def owners_of(self, name: str) -> tuple[Claim, ...]:
        """Who declares this name: the module's own, else its children's scopes."""
        own = tuple(claim for claim in self.claims if claim.name == name)
        return own or tuple(claim for claim in self.inherited if claim.name == name)

    def is_ambiguous(self, name: str) -> bool:
        """Whether this name has two sizes: in children that do not agree, or in a plain torch module."""
        return _AMBIGUOUS + name in self.scope_key.split()


class ParentLink:
    """A container's way up to the module that holds it. A copy or a pickle of the container has none."""

    def __init__(self, parent: torch.nn.Module | None = None, key: str = "") -> None:
        self._parent = weakref.ref(parent) if parent is not None else None
        self.key = key

    def parent(self) -> torch.nn.Module | None:
        """The module above, if the link still holds."""
        return self._parent() if self._parent is not None else None

    def __reduce__(self) -> tuple[type[ParentLink], tuple[()]]:
        return (ParentLink, ())


class _Replaced:
    """The layers that another is made to stand in for. A copy or a pickle of that one has none."""

    def __init__(self, layers: Iterable[torch.nn.Module] = ()) -> None:
        self._layers = tuple(weakref.ref(layer) for layer in layers)

    def has(self, layer: object) -> bool:
        """Whether the layer is one of them."""
        return any(reference() is layer for reference in self._layers) and layer is not None

    def __reduce__(self) -> tuple[type[_Replaced], tuple[()]]:
        return (_Replaced, ())


def replaces(layer: torch.nn.Module, others: Iterable[torch.nn.Module]) -> None:
    """Notes that a layer of another size stands in for these: where it is put, their word no longer counts."""
    layer.__dict__[_REPLACED] = _Replaced(others)


def scope_key_names(scope_key: str) -> tuple[str, ...]:
    """The names in a scope_key, in the order of its sizes."""
    return tuple(name.removeprefix(_AMBIGUOUS) for name in scope_key.split())


def scope_of(module: torch.nn.Module) -> Scope:
    """The module's scope, made and filled if it has none yet."""
    if ATTRIBUTE not in module.__dict__:
        resync(module)
    return module.__dict__[ATTRIBUTE]


def is_scope(module: object) -> bool:
    """Whether a module has a scope already."""
    return isinstance(module, torch.nn.Module) and ATTRIBUTE in module.__dict__


def resync(module: torch.nn.Module) -> bool:
    """Reads the module's names anew from what it holds now; says whether a size changed."""
    before = held_scope(module)
    stored = [c for c in before.claims if c.is_parameter or _is_plain(module.__dict__.get(c.owner), c.size)]
    held = [claim for key, value in _held(module) for claim in claims_of(key, value) if claim not in stored]
    gone = [c for c in before.claims if not c.is_parameter and not _still_has(_lookup(module, c.owner), c.size)]
    after = settle(module, tuple(_without_lapsed([*stored, *held], gone)))
    return (before.scope_key, before.sizes) != (after.scope_key, after.sizes)


def held_scope(module: torch.nn.Module) -> Scope:
    """The scope that the module holds; an empty one where it holds none yet."""
    found: Scope | None = module.__dict__.get(ATTRIBUTE)
    return found if found is not None else Scope()


def settle(module: torch.nn.Module, claims: tuple[Claim, ...]) -> Scope:
    """Gives the module a scope of these claims and of what the modules below declare."""
    scope = module.__dict__[ATTRIBUTE] = Scope(claims, tuple(_inherited(module)))
    return scope


def declare_parameter(module: torch.nn.Module, parameter: str, constructor: str, dim: Dim) -> None:
    """Declares what a `DimSize` parameter says: the parameter's own name, and the Dim's."""
    owner = f"{parameter}={constructor}"
    names = dict.fromkeys((parameter, dim.name))
    settle(module, _merged(module, owner, [Claim(owner, name, int(dim)) for name in names]))


def preview(module: torch.nn.Module, key: str, value: object) -> tuple[Claim, ...] | None:
    """The scope's claims once `key` holds `value`, or None where that changes nothing.

    Raises:
        DeclarationError: a name would get a second size.
    """
    new = list(claims_of(key, value))
    old = [claim for claim in held_scope(module).claims if _belongs(claim, key)]
    if not new and not old:
        return None
    was_layer = key.partition(".")[0] in module.__dict__.get("_modules", {})
    gone = [claim for claim in old if was_layer and not _still_has(value, claim.size)]
    return _merged(module, key, new, [*gone, *_replaced(module, value, new)])


def _replaced(module: torch.nn.Module, value: object, new: list[Claim]) -> list[Claim]:
    """The claims of layers that the value stands in for, as far as its own are others."""
    replaced: _Replaced = getattr(value, "__dict__", {}).get(_REPLACED, _Replaced())
    names = {claim.name for claim in new}
    return [c for c in held_scope(module).claims if c.name in names and replaced.has(_lookup(module, c.owner))]


def claims_of(key: str, value: object) -> Iterator[Claim]:
    """What an attribute declares: a Dim its name, a typed layer its named sizes, a container its layers'."""
    if isinstance(value, Dim):
        yield Claim(key, value.name, int(value))
    elif isinstance(value, torch.nn.Module):
        names: Mapping[str, int] = getattr(value, "_dim_names", {})
        yield from (Claim(key, name, size) for name, size in names.items())
        if isinstance(value, _CONTAINERS):
            for child_key, child in value._modules.items():
                yield from claims_of(f"{key}.{child_key}", child)


def owner_text(module: torch.nn.Module, claim: Claim) -> str:
    """Who declared it, as an error says it: `Decoder.gru: GRU(embed=128 -> hidden=256)`."""
    name = type(module).__name__
    value = _lookup(module, claim.owner)
    if claim.is_parameter or not isinstance(value, torch.nn.Module):
        return _owner_phrase(name, claim)
    return f"{name}.{claim.owner}: {short_text(value)}"


def sizes_text(module: torch.nn.Module, name: str) -> str:
    """Who gives a name which size, where they do not agree: `encoder.hidden=512, decoder.hidden=256`."""
    owners = [
        (_owner_phrase("", claim) + ": " if claim.is_parameter else claim.owner + ".", claim.size)
        for claim in held_scope(module).owners_of(name)
    ]
    return ", ".join(dict.fromkeys(f"{owner}{name}={size}" for owner, size in owners))


def short_text(module: object) -> str:
    """A layer as an error names it: a typed one by what goes in and comes out."""
    text: Any = getattr(module, "_dim_text", None)
    return str(text()) if callable(text) else short_repr(module)


def given_text(value: object) -> str:
    """What was given in a layer's place, without the values of a tensor: `'gru' of type str`, `a tensor of shape (3, 4)`."""
    if isinstance(value, torch.Tensor):
        return f"a {type(value).__name__} of shape {tuple(value.shape)}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"{short_repr(value)[:120]} of type {type(value).__name__}"


def short_repr(module: object) -> str:
    """A module on one line; of one that holds others, its own sizes alone."""
    if not isinstance(module, torch.nn.Module):
        return repr(module)
    if next(module.children(), None) is not None:
        text = getattr(module, "_dim_text", None)
        return str(text()) if callable(text) else f"{type(module).__name__}(...)"
    return " ".join(repr(module).split())[:120]


def _merged(module: torch.nn.Module, key: str, new: list[Claim], gone: Iterable[Claim] = ()) -> tuple[Claim, ...]:
    kept = [c for c in held_scope(module).claims if not _belongs(c, key) and c not in gone]
    claims = _without_lapsed(kept, gone)
    for claim in new:
        other = next((known for known in claims if known.name == claim.name and known.size != claim.size), None)
        if other is not None:
            raise _conflict(module, claim, other)
        claims.append(claim)
    _check_derived(module, claims)
    return tuple(claims)


def _without_lapsed(claims: list[Claim], gone: Iterable[Claim]) -> list[Claim]:
    """The claims without the parameters' whose last layer is gone: a model with a new head has other `classes`."""
    held = {claim.name for claim in claims if not claim.is_parameter}
    lapsed = {claim.name for claim in gone} - held
    return [claim for claim in claims if claim.name not in lapsed]


def _still_has(value: object, size: int) -> bool:
    """Whether what stands in a layer's place now has this size somewhere, whatever it is called there."""
    if not isinstance(value, torch.nn.Module):
        return value is not None and isinstance(value, int) and value == size
    numbers = (number for module in value.modules() for number in vars(module).values())
    return any(type(number) is int and number == size for number in numbers)


def _is_plain(value: object, size: int) -> bool:
    """Whether this is what a stored Dim of this size has become at the end of `__init__`."""
    return type(value) is int and value == size


def _check_derived(module: torch.nn.Module, claims: list[Claim]) -> None:
    """`2*hidden` must be what `hidden` makes it."""
    sizes = {claim.name: claim.size for claim in claims if claim.name.isidentifier()}
    for claim in claims:
        names = names_in(claim.name)
        if claim.name.isidentifier() or not all(name in sizes for name in names):
            continue
        size = int(eval(claim.name, {"__builtins__": {}}, sizes))  # a Dim's own name: arithmetic on names, nothing else
        if size != claim.size:
            base = next(known for known in claims if known.name == names[0])
            raise _conflict(
                module, claim, Claim(base.owner, claim.name, size), note=f", where {base.name} is {base.size}"
            )


def _conflict(module: torch.nn.Module, claim: Claim, other: Claim, note: str = "") -> DeclarationError:
    name = type(module).__name__
    error = DeclarationError(
        f"{name}: `{claim.name}` has two sizes: {claim.size} by {_owner_phrase(name, claim)}, "
        f"{other.size} by {_owner_phrase(name, other)}{note}\n"
        "  In one module a name is one size. "
        f"Give one of them another name, as in dims({_other_name(claim.name)}={claim.size})."
    )
    error.where, error.argument, error.dim = name, claim.owner.partition("=")[0], claim.name
    error.expected, error.actual, error.bindings = other.size, claim.size, {claim.name: other.size}
    error.hint = f"give one of them another name, as in dims({_other_name(claim.name)}={claim.size})"
    return error


def _other_name(name: str) -> str:
    return f"{name}_2" if name.isidentifier() else "other"


def _owner_phrase(name: str, claim: Claim) -> str:
    parameter, _, constructor = claim.owner.partition("=")
    return f"parameter `{parameter}` of {constructor}" if claim.is_parameter else f"{name}.{claim.owner}"


def _belongs(claim: Claim, key: str) -> bool:
    return claim.owner == key or claim.owner.startswith(f"{key}.")


def _held(module: torch.nn.Module) -> Iterator[tuple[str, object]]:
    yield from ((key, value) for key, value in module.__dict__.items() if isinstance(value, Dim))
    yield from module.__dict__.get("_modules", {}).items()


def _inherited(module: torch.nn.Module, prefix: str = "") -> Iterator[Claim]:
    for key, child in module.__dict__.get("_modules", {}).items():
        if child is None:
            continue
        if isinstance(child, _CONTAINERS):
            yield from _inherited(child, f"{prefix}{key}.")
        elif is_scope(child):
            for claim in child.__dict__[ATTRIBUTE].claims:
                if claim.name.isidentifier():
                    yield Claim(f"{prefix}{key}", claim.name, claim.size)


def _lookup(module: torch.nn.Module, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        held = value.__dict__.get("_modules", {}) if isinstance(value, torch.nn.Module) else {}
        value = held.get(part, getattr(value, "__dict__", {}).get(part))
    return value
