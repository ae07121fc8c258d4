"""The names of a layer's sizes that were given as Dims. Torch never sees a Dim: it keeps plain ints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from dimtyped.errors import declaration_error
from dimtyped.names import Dim

ROLES = "_dim_roles"
"""Set on a layer: the name that was given for each of the contract's names."""


def take_names(layer: torch.nn.Module, arguments: Mapping[str, Any]) -> None:
    """Stores on the layer the names of its sizes that were given as Dims, by the contract's names."""
    cls: Any = type(layer)
    roles = {path: role for role, path in cls.contract.sizes.items()} | dict(cls.contract.arguments)
    given = [(roles[key], value) for key, value in arguments.items() if key in roles]
    dims = {role: value for key, argument in given for role, value in _dims_in(key, argument)}
    _must_agree(cls.__name__, dims)
    layer.__dict__[ROLES] = layer.__dict__.get(ROLES, {}) | {role: dim.name for role, dim in dims.items()}


def _must_agree(where: str, dims: Mapping[str, Dim]) -> None:
    """Rejects one name for two sizes, as in `Linear(Dim("hidden", 4), Dim("hidden", 5))`."""
    known: dict[str, Dim] = {}
    for dim in dims.values():
        other = known.setdefault(dim.name, dim)
        if other != dim:
            raise declaration_error(
                where,
                f"`{dim.name}` has two sizes: {other} and {dim}",
                f"give one of them another name, as in dims({dim.name}_2={dim})",
                dim=dim.name,
                expected=int(other),
                actual=int(dim),
            )


def axis_role(role: str, axis: int) -> str:
    """The name of one size of an argument that holds several, counted from the end: the last has the name itself."""
    return role if axis == -1 else f"{role}_{-axis}"


def _dims_in(role: str, value: Any) -> list[tuple[str, Dim]]:
    """The Dims of one argument, each with the contract's name for it."""
    items = value if isinstance(value, list | tuple) else (value,)
    placed = [(axis_role(role, index - len(items)), item) for index, item in enumerate(items)]
    return [(name, item) for name, item in placed if isinstance(item, Dim)]


def plain(value: Any) -> Any:
    """A Dim as a plain int, also inside a tuple such as a kernel size."""
    if isinstance(value, Dim):
        return int(value)
    return type(value)([plain(item) for item in value]) if holds_dim(value) else value


def holds_dim(value: Any) -> bool:
    """True if an argument is a Dim, or holds one."""
    return isinstance(value, Dim) or (isinstance(value, list | tuple) and any(holds_dim(item) for item in value))
