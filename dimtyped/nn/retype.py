"""Plain torch layers into typed ones in place, and back: the same objects, the same parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch

from dimtyped.errors import declaration_error
from dimtyped.names import ATTRIBUTE, Dim, held_scope, is_scope, resync, shape_text
from dimtyped.nn.contract import ROLES, Layer, expected_shape, make_ready, torch_class_of, typed_class_of
from dimtyped.nn.contract.lazy_layer import retype_lazy, untype_lazy
from dimtyped.nn.tying import adopt, release
from dimtyped.runtime import WithoutInternalFrames, members_of, viewed_as

_M = TypeVar("_M", bound=torch.nn.Module)
_COUNTS = ("heads", "layers")
"""Sizes that count something. They get no name from a width that happens to be equal."""
_CONTAINERS = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)


@WithoutInternalFrames()
def retype(model: _M, names: Mapping[str, int] | None = None) -> _M:
    """Makes the plain torch layers of a model typed ones, in place; nothing is copied.

    Only layers whose class is exactly torch's change. Subclasses, and layers whose parameters do not have the shapes
    that their sizes declare, are left alone: `dimtyped.status(model)` lists them with the reason.

    Args:
        model: Any module.
        names: Names for sizes, such as `{"embed": 768}`. A size of a layer gets the name that it
            equals. It gets none if it equals two of them, if it already has a name, or if its module declares that name
            with another size. Default: no names.

    Returns:
        The model.

    Raises:
        DeclarationError: a name is not an identifier, or its size is not a size.

    Example:
        >>> import torch, dimtyped
        >>> dimtyped.retype(torch.nn.Sequential(torch.nn.Linear(8, 4)), names={"embed": 8})
        Sequential(
          (0): Linear(embed=8 -> out_features=4, bias=True)
        )
    """
    must_be_module("retype", model)
    dims = _dims_of(names)
    for module in members_of(model):
        if not retype_layer(module):
            retype_lazy(module)
    if dims:
        _name_layers(model, dims)
    _read_scopes_again(model)
    return model


@WithoutInternalFrames()
def untype(model: _M) -> _M:
    """Gives the typed layers of a model their torch classes back, in place.

    Subclasses of typed layers do not change, nor do `TiedDecoder` and `StateBridge`, which torch does not have.

    Args:
        model: Any module.

    Returns:
        The model.

    Example:
        >>> import dimtyped
        >>> dimtyped.untype(dimtyped.nn.Linear(8, 4))
        Linear(in_features=8, out_features=4, bias=True)
    """
    must_be_module("untype", model)
    for module in members_of(model):
        plain = torch_class_of(type(module))
        if plain is not None:
            module.__class__ = plain
            module.__dict__.pop(ROLES, None)
            module.__dict__.pop("__module__", None)
            release(module)
        untype_lazy(module)
    _read_scopes_again(model)
    return model


def retype_layer(layer: torch.nn.Module) -> bool:
    """Makes one layer whose class is exactly torch's a typed one; returns True if it changed."""
    typed = typed_class_of(type(layer))
    if typed is None or reason_left_plain(layer) is not None:
        return False
    layer.__class__ = typed
    make_ready(layer, typed)
    adopt(layer)
    return True


def reason_left_plain(layer: torch.nn.Module) -> str | None:
    """The reason why a plain layer cannot be typed: a lost size, or a parameter that contradicts its sizes."""
    typed = typed_class_of(type(layer))
    if typed is None:
        return None
    with viewed_as(layer, typed):
        return _lost_size(layer) or _wrong_parameter(layer)


def _lost_size(layer: Any) -> str | None:
    for path in layer.contract.sizes.values():
        attribute = path.partition(".")[0].partition("[")[0]
        if not attribute.startswith("_") and attribute not in layer.__dict__:
            return f"it has no `{attribute}`, which its declaration uses"
    return None


def _wrong_parameter(layer: torch.nn.Module) -> str | None:
    for name, parameter in layer._parameters.items():
        expected = expected_shape(layer, name) if parameter is not None else None
        if parameter is not None and expected is not None and tuple(parameter.shape) != expected:
            return f"its {name} is {shape_text(tuple(parameter.shape))}, declared {shape_text(expected)}"
    return None


def _dims_of(names: Mapping[str, int] | None) -> list[Dim]:
    if names is None:
        return []
    if not isinstance(names, Mapping):
        raise declaration_error(
            "retype",
            f"retype() takes names for sizes as a mapping, not {names!r} of type {type(names).__name__}",
            'write {"embed": 768}',
            argument="names",
            expected="a mapping of names to sizes",
            actual=type(names).__name__,
        )
    return [Dim(name, size) for name, size in names.items()]


def _name_layers(model: torch.nn.Module, dims: list[Dim]) -> None:
    taken = _names_of_other_sizes(model, dims)
    for module in members_of(model):
        if isinstance(module, Layer):
            _name_sizes(module, [dim for dim in dims if dim.name not in taken.get(module, ())])


def _name_sizes(layer: Layer, dims: list[Dim]) -> None:
    named = {role: [dim for dim in dims if dim == size] for role, size in layer._dim_sizes.items()}
    found = {r: matches[0].name for r, matches in named.items() if len(matches) == 1 and r not in _COUNTS}
    if found:
        layer.__dict__[ROLES] = {**found, **layer.__dict__.get(ROLES, {})}


def _names_of_other_sizes(model: torch.nn.Module, dims: list[Dim]) -> dict[torch.nn.Module, set[str]]:
    """Maps each layer to the names that the module around it declares with another size."""
    taken: dict[torch.nn.Module, set[str]] = {}
    for module in members_of(model):
        declared = held_scope(module).names if is_scope(module) else {}
        others = {dim.name for dim in dims if declared.get(dim.name, dim) != dim}
        if others:
            for layer in _layers_in(module):
                taken.setdefault(layer, set()).update(others)
    return taken


def _layers_in(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """The modules that a module holds directly, or in containers."""
    for child in module.children():
        yield child
        if isinstance(child, _CONTAINERS):
            yield from _layers_in(child)


def _read_scopes_again(model: torch.nn.Module) -> None:
    for module in members_of(model):
        if ATTRIBUTE in module.__dict__:
            resync(module)


def must_be_module(function: str, model: object) -> None:
    """Raises for an object that is not a module.

    Raises:
        DeclarationError: it is not a module.
    """
    if not isinstance(model, torch.nn.Module):
        raise declaration_error(
            function,
            f"{function}() takes a torch.nn.Module, not {model!r} of type {type(model).__name__}",
            "give it the model itself, not its class, a path or a state dict",
            argument="model",
            expected="a torch.nn.Module",
            actual=type(model).__name__,
        )
