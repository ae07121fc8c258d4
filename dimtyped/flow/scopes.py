"""The dimensions that modules declare: one for each name of a scope, and the parameters that have them."""

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from dimtyped.flow.axes import OF_WEIGHT, Axis, Dimension, anonymous, axis_of, product
from dimtyped.flow.interpreter import Flow
from dimtyped.names import Claim, Scope, held_scope, is_scope, scope_of

_ROLES = "_dim_roles"
Lookup = Callable[[str], Axis | None]


class Scopes:
    """The dimension of each name in each module of a run.

    A name that a module declares is a dimension of that module. It is its parent's dimension of that name where no
    other name has its size; where a call shows that two scopes name one dimension differently, the two are joined.

    Args:
        flow: Records the parameters' names.
    """

    def __init__(self, flow: Flow):
        self._flow = flow
        self._held: dict[int, tuple[torch.nn.Module, dict[str, Dimension]]] = {}
        self._roots: set[int] = set()

    def declared(self, module: torch.nn.Module) -> Mapping[str, Dimension]:
        """The dimensions of the names that a module declares, or the modules below it."""
        if id(module) not in self._held:
            self.adopt(module)
        return self._held[id(module)][1]

    def adopt(self, root: torch.nn.Module) -> None:
        """Makes the dimensions of a module and of all below it, and names their parameters."""
        scope_of(root)
        for module, parent in _with_scopes(root):
            if (module is root or is_scope(module)) and id(module) not in self._held:
                self._make(module, parent)
        for module in (module for module, _ in _with_scopes(root) if is_scope(module)):
            self._inherit(module)
        for module, parent in _with_scopes(root):
            self._name_parameters(module, parent)

    def _make(self, module: torch.nn.Module, parent: torch.nn.Module | None) -> None:
        scope = held_scope(module)
        made: dict[str, Dimension] = {}
        for claim in scope.claims:
            if claim.name.isidentifier() and claim.name in scope.names and claim.name not in made:
                origin = f"declared by {_owner_text(module, claim)}"
                made[claim.name] = Dimension(scope.names[claim.name], claim.name, origin, [id(module)])
        for one, other in _aliases(scope, made):
            made[one].join(made[other])
        self._held[id(module)] = (module, made)
        above = self._held.get(id(parent), (None, {}))[1]
        for name in made.keys() & above.keys():
            if _stands_alone(name, made) and _stands_alone(name, above) and made[name].size == above[name].size:
                above[name].join(made[name])

    def _inherit(self, module: torch.nn.Module) -> None:
        """Adds the names that only the modules below declare, where these agree."""
        scope, (_, made) = held_scope(module), self._held[id(module)]
        for claim in scope.inherited:
            child = _child(module, claim.owner)
            found = self._held.get(id(child), (None, {}))[1].get(claim.name)
            if found is None or scope.names.get(claim.name) != found.size:
                continue  # they do not agree, or the module itself has another size for the name
            known = made.setdefault(claim.name, found)
            if known is not found and _stands_alone(claim.name, made) and known.may_be(found):
                known.join(found)

    def _name_parameters(self, module: torch.nn.Module, parent: torch.nn.Module | None) -> None:
        roles: Mapping[str, str] = module.__dict__.get(_ROLES, {})
        names = self._held[id(parent)][1] if parent is not None else {}
        known = {role: names[name] for role, name in roles.items() if name in names}
        if "hidden" in known and not getattr(module, "proj_size", 0):
            known["state"] = known["hidden"]  # the width of a recurrent state, without a projection

        def lookup(word: str) -> Axis | None:
            if word in known:
                return axis_of(known[word])
            return named_axis(roles.get(word, ""), lambda other: axis_of(names[other]) if other in names else None)

        layer: Any = module
        for name, tensor in module._parameters.items():
            if tensor is None or is_lazy(tensor) or self._flow.is_named(tensor):
                continue
            text = layer._dim_parameter_axes(name) if roles else None
            words = text.split() if text else []
            if known or 1 in tensor.shape:
                self._flow.name_tensor(tensor, _fitting(words, tensor, lookup, roles))


def named_axis(text: str, lookup: Lookup) -> Axis | None:
    """The axis that an expression over names is: a name, or a product of names and numbers; None for any other."""
    try:
        return _axis(ast.parse(text, mode="eval").body, lookup)
    except SyntaxError:
        return None


def _axis(node: ast.expr, lookup: Lookup) -> Axis | None:
    match node:
        case ast.Name(id=name):
            return lookup(name)
        case ast.Constant(value=int(size)):
            return anonymous(size)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            parts = _axis(left, lookup), _axis(right, lookup)
            return product(part for part in parts if part) if all(part is not None for part in parts) else None
        case _:
            return None


def _fitting(words: list[str], tensor: Tensor, lookup: Lookup, roles: Mapping[str, str]) -> list[Axis]:
    """An axis for each dimension of a parameter; anonymous where no dimension has its size."""
    sizes = tuple(tensor.shape)
    each = words if len(words) == len(sizes) else [""] * len(sizes)
    return [_axis_for(word, size, lookup, roles) for word, size in zip(each, sizes, strict=True)]


def _axis_for(word: str, size: int, lookup: Lookup, roles: Mapping[str, str]) -> Axis:
    if size == 1 and word not in roles:
        return OF_WEIGHT  # a number in the code: it is 1 in every run
    axis = named_axis(word, lookup)
    return axis if axis is not None and axis.size == size else anonymous(size)


def _with_scopes(
    module: torch.nn.Module, parent: torch.nn.Module | None = None, seen: set[int] | None = None
) -> Iterator[tuple[torch.nn.Module, torch.nn.Module | None]]:
    """Each module once, with the nearest scope above it."""
    seen = set() if seen is None else seen
    if id(module) in seen:
        return
    seen.add(id(module))
    yield module, parent
    below = module if is_scope(module) else parent
    for child in module._modules.values():
        if child is not None:
            yield from _with_scopes(child, below, seen)


def _aliases(scope: Scope, made: Mapping[str, Dimension]) -> Iterator[tuple[str, str]]:
    """Pairs of names that one parameter of a constructor has: its own, and the one of the Dim that it was given."""
    owners: dict[str, str] = {}
    for claim in scope.claims:
        if claim.is_parameter and claim.name in made:
            first = owners.setdefault(claim.owner, claim.name)
            if first != claim.name:
                yield first, claim.name


def _stands_alone(name: str, made: Mapping[str, Dimension]) -> bool:
    """True if no other name of the scope that is another dimension has its size."""
    mine = made[name]
    return all(other.root is mine.root or other.size != mine.size for other in made.values())


def _owner_text(module: torch.nn.Module, claim: Claim) -> str:
    parameter, _, constructor = claim.owner.partition("=")
    return f"`{parameter}` of {constructor}" if claim.is_parameter else f"{type(module).__name__}.{claim.owner}"


def _child(module: torch.nn.Module, path: str) -> torch.nn.Module | None:
    found: Any = module
    for part in path.split("."):
        found = found._modules.get(part) if isinstance(found, torch.nn.Module) else None
    return found
