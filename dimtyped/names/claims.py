"""Claims: one owner's declaration that a name has a size. They decide what a module's names mean."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable, Iterator, Mapping, Set as AbstractSet
from dataclasses import dataclass

import torch

from dimtyped.names.dim import Dim
from dimtyped.names.expressions import names_in
from dimtyped.names.layers import declared_sizes

CONTAINERS = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)
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


class _Log:
    """Claims in their order, and what they say. It only grows: what holds the first ones of it keeps them."""

    __slots__ = ("agrees", "claims", "facts", "places", "sizes")

    def __init__(self, claims: Iterable[Claim]) -> None:
        self.claims: list[Claim] = []
        self.facts: set[tuple[str, int, Rank]] = set()
        self.sizes: dict[str, set[int]] = {}
        self.places: set[str] = set()
        self.extend(claims)
        self.agrees = not wrongly_derived(self.claims, identifiers_in(self.claims))

    def extend(self, claims: Iterable[Claim]) -> None:
        """Adds claims at the end."""
        for claim in claims:
            self.claims.append(claim)
            self.facts.add((claim.name, claim.size, claim.rank))
            self.sizes.setdefault(claim.name, set()).add(claim.size)
            place = claim.owner
            while place and place not in self.places:
                self.places.add(place)
                place = place.rpartition(".")[0]

    def has(self, claim: Claim) -> bool:
        """True if another owner says the same, and none another size."""
        return (claim.name, claim.size, claim.rank) in self.facts and len(self.sizes[claim.name]) == 1


class Claims:
    """Claims in their order. They never change; with more of them at the end they share their memory.

    So a thousand layers that are appended one by one take as many steps as layers, not a thousand times as many.
    """

    __slots__ = ("_claims", "_length", "_log")

    def __init__(self, claims: Iterable[Claim] = ()) -> None:
        self._claims: tuple[Claim, ...] | None = tuple(claims)
        self._length = len(self._claims)
        self._log: _Log | None = None

    def __iter__(self) -> Iterator[Claim]:
        if self._claims is None:
            assert self._log is not None
            self._claims = tuple(itertools.islice(self._log.claims, self._length))
        return iter(self._claims)

    def __len__(self) -> int:
        return self._length

    def has_place(self, path: str) -> bool:
        """True if a claim belongs to what is at the path, or below it."""
        return path in self.places

    @property
    def places(self) -> AbstractSet[str]:
        """Each owner's path, and the paths above it. As others make the log longer, there are more."""
        return self._read().places

    def have_name(self, name: str) -> bool:
        """True if the name has an owner here."""
        return name in self._read().sizes

    def have(self, claim: Claim) -> bool:
        """True if another owner says the same, none says another size, and no derived name contradicts those in it."""
        log = self._read()
        return log.agrees and log.has(claim)

    def followed_by(self, claims: list[Claim]) -> Claims:
        """These and more at the end."""
        if not claims:
            return self
        made = Claims()
        made._claims, made._log, made._length = None, self._read(), self._length + len(claims)
        made._log.extend(claims)
        return made

    def are_followed_by(self, others: Claims) -> bool:
        """True if the others are these, or were made of these by `followed_by`."""
        return others is self or (self._log is not None and self._log is others._log and self._length <= others._length)

    def _read(self) -> _Log:
        """What they say. A log that others have made longer is left to them."""
        if self._log is None or len(self._log.claims) != self._length:
            self._log = _Log(self)
        return self._log


def deciding(claims: Claims) -> Iterator[Claim]:
    """The claims that decide each name: those of layers, else of stored sizes, else of parameters."""
    highest: dict[str, Rank] = {}
    for claim in claims:
        highest[claim.name] = max(claim.rank, highest.get(claim.name, claim.rank))
    return (claim for claim in claims if claim.rank is highest[claim.name])


def claims_of(key: str, value: object) -> Iterator[Claim]:
    """The claims of an attribute: a Dim declares its name, a typed layer its named sizes, a container its layers'."""
    if isinstance(value, Dim):
        yield Claim(key, value.name, int(value), Rank.STORED)
    elif isinstance(value, torch.nn.Module):
        yield from layer_claims(key, value)
        if isinstance(value, CONTAINERS):
            for child_key, child in value._modules.items():
                yield from claims_of(f"{key}.{child_key}", child)


def layer_claims(key: str, layer: torch.nn.Module) -> Iterator[Claim]:
    """The named sizes of a layer itself."""
    inherited: Mapping[str, str] = layer.__dict__.get(INHERITED, {})
    further = [(name, int(getattr(layer, path))) for path, name in inherited.items() if hasattr(layer, path)]
    yield from (Claim(key, name, size) for name, size in dict.fromkeys([*declared_sizes(layer).items(), *further]))


def identifiers_in(claims: Iterable[Claim]) -> dict[str, int]:
    """The size of each name that is no expression, the last one if there are several."""
    return {claim.name: claim.size for claim in claims if claim.name.isidentifier()}


def wrongly_derived(claims: Iterable[Claim], sizes: Mapping[str, int]) -> list[tuple[Claim, int]]:
    """The claims of derived names that contradict the names in them, each with the size that they result in."""
    expressions = [claim for claim in claims if not claim.name.isidentifier()]
    results = {name: _result(name, sizes) for name in dict.fromkeys(claim.name for claim in expressions)}
    compared = ((claim, results[claim.name]) for claim in expressions)
    return [(claim, size) for claim, size in compared if size is not None and size != claim.size]


def _result(name: str, sizes: Mapping[str, int]) -> int | None:
    """The size of a derived name by those in it; None if one of them has no size, or two."""
    if not all(sizes.get(part, -1) >= 0 for part in names_in(name)):
        return None
    return int(eval(name, {"__builtins__": {}}, dict(sizes)))  # the name of a Dim, which is nothing but arithmetic


def owner_phrase(name: str, claim: Claim) -> str:
    """Who declared it: a parameter of a constructor, or a path below the module called `name`."""
    parameter, _, constructor = claim.owner.partition("=")
    if claim.is_parameter:
        return f"parameter `{parameter}` of {constructor}"
    return f"{name}.{claim.owner}" if claim.owner else name
