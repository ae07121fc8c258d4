"""A layer put in another's place inherits its names, and what a module says of a name that is lost."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping

import torch

from dimtyped.annotations import arrays_in, free_names
from dimtyped.engine import CheckedFunction, mode
from dimtyped.errors import DeclarationError, DimensionWarning
from dimtyped.names import BUILDING, INHERITED, Scope, held_scope
from dimtyped.nn.contract import ROLES, Layer
from dimtyped.nn.methods import checked_functions
from dimtyped.runtime import calling_frame

_CONTAINERS = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)


def inherit_names(old: torch.nn.Module | None, new: object) -> None:
    """Gives a layer without names those of the layer whose place it takes, where both hold a size in the same attribute.

    Of a `Sequential` that takes a place, the first layer inherits the name that goes in, the last the one that comes out:
    what is between has sizes of its own.
    """
    if old is None or old is new or not isinstance(new, torch.nn.Module):
        return
    if isinstance(new, torch.nn.Sequential):
        _inherit_by_flow(old, list(new.children()))
    elif not isinstance(new, _CONTAINERS) and _is_of_kind(new, old):
        _inherit(dict(_named_attributes(old)), new)


def _inherit_by_flow(old: torch.nn.Module, layers: list[torch.nn.Module]) -> None:
    ends = list(old.children()) if isinstance(old, torch.nn.Sequential) else [old]
    if not ends or not layers or {id(layer) for layer in ends} & {id(layer) for layer in layers}:
        return
    for index, (end, layer) in enumerate(((ends[0], layers[0]), (ends[-1], layers[-1]))):
        flow = end.contract.flow if isinstance(end, Layer) else None
        path = end.contract.sizes.get(flow[index]) if flow is not None and isinstance(end, Layer) else None
        names = dict(_named_attributes(end))
        if path in names and _is_of_kind(layer, end):
            _inherit({path: names[path]}, layer)


def rows_lost(old: object, new: object) -> tuple[str, int, int] | None:
    """The name, the rows before and the rows now, where an embedding with a named vocabulary gives way to a smaller one."""
    if not isinstance(old, torch.nn.Embedding) or not isinstance(new, torch.nn.Embedding):
        return None
    name = dict(_named_attributes(old)).get("num_embeddings")
    return (name, old.num_embeddings, new.num_embeddings) if name and new.num_embeddings < old.num_embeddings else None


def tell_rows(module: torch.nn.Module, key: str, old: object, new: object) -> None:
    """Warns where a declared vocabulary is left with fewer rows."""
    lost = rows_lost(old, new)
    if lost is not None:
        name, before, after = lost
        rows = f"id {after} has no row" if before - after == 1 else f"ids {after} to {before - 1} have no row"
        _warn(
            f"{type(module).__name__}.{key}: {name} shrinks from {before} to {after}, {before - after} fewer: {rows} any more"
        )


def tell_lost(module: torch.nn.Module, before: Scope) -> None:
    """Warns of a name that the module's annotations use and that nothing gives a size any more."""
    if BUILDING in module.__dict__ or mode() == "off":
        return
    after = held_scope(module)
    lost = set(before.names) - set(after.names)
    lost = {name for name in lost if not after.is_ambiguous(name)}
    for name in sorted(lost & used_names(type(module)) if lost else ()):
        owner = before.owners_of(name)[0].owner.partition("=")[0]
        _warn(
            f"{type(module).__name__}: no layer carries `{name}` any more, which {owner} did: any size fits it in the annotations. "
            f"Give the new layer the name, as in Dim('{name}', size)."
        )


def used_names(cls: type[torch.nn.Module]) -> set[str]:
    """The names that the annotations of a class's methods use, as far as they can be resolved."""
    return {name for entry in checked_functions(cls) for name in _names_of(entry)}


def _names_of(entry: CheckedFunction) -> Iterator[str]:
    try:
        hints = entry.signature.hints
    except DeclarationError:  # it may name what is defined later
        return
    yield from (name for hint in hints for array in arrays_in(hint) for name in free_names(array))


def _warn(text: str) -> None:
    """Warns at the line that assigns."""
    frame = calling_frame()
    if frame is None:
        warnings.warn(text, DimensionWarning, stacklevel=2)
        return
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(
        text, DimensionWarning, frame.f_code.co_filename, frame.f_lineno, frame.f_globals.get("__name__"), registry
    )


def _is_of_kind(new: torch.nn.Module, old: torch.nn.Module) -> bool:
    """True if the new layer is one of torch's class that the old one is, so that its attributes mean the same."""
    base = next((cls for cls in type(old).__mro__ if cls.__module__.startswith("torch.nn.modules.")), None)
    return base is not None and base is not torch.nn.Module and isinstance(new, base)


def _named_attributes(layer: torch.nn.Module) -> Iterator[tuple[str, str]]:
    """The attributes of a layer that hold a named size, each with the name."""
    if isinstance(layer, Layer):
        names: Mapping[str, str] = layer.__dict__.get(ROLES, {})
        yield from ((path, names[role]) for role, path in layer.contract.sizes.items() if role in names)
    yield from layer.__dict__.get(INHERITED, {}).items()


def _inherit(names: Mapping[str, str], layer: torch.nn.Module) -> None:
    held = dict(_named_attributes(layer))
    new = {path: name for path, name in names.items() if path not in held and name not in held.values()}
    if not new:
        return
    if isinstance(layer, Layer):
        roles = {role: new[path] for role, path in layer.contract.sizes.items() if path in new}
        layer.__dict__[ROLES] = {**layer.__dict__.get(ROLES, {}), **roles}
        sizes = {(name, getattr(layer, path, None)) for path, name in new.items()}
        twice = [
            name for name, count in Counter(name for name, _ in sizes).items() if count > 1
        ]  # `_dim_names` has it once
        layer.__dict__[INHERITED] = {path: name for path, name in new.items() if name in twice}
    else:
        layer.__dict__[INHERITED] = {
            path: name for path, name in new.items() if isinstance(getattr(layer, path, None), int)
        }
