"""Layers that replace others: the names that they inherit, and the warnings about names and rows that are lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import torch
from torch.nn.modules.module import register_module_module_registration_hook

from dimtyped.annotations import arrays_in, free_names
from dimtyped.engine import CheckedFunction
from dimtyped.errors import DeclarationError
from dimtyped.names import BUILDING, INHERITED, Scope, held_scope, lost_name_text, note_replaced
from dimtyped.nn.contract import ROLES, Layer
from dimtyped.nn.methods import checked_functions
from dimtyped.runtime import mode, warn_user

_CONTAINERS = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)


def inherit_names(old: torch.nn.Module | None, new: object) -> None:
    """Gives a layer without names those of the layer that it replaces, for the sizes that both hold in the same attribute.

    If a `Sequential` replaces a layer, its first layer inherits the name of the input and its last that of the output.
    """
    if old is None or old is new or not isinstance(new, torch.nn.Module):
        return
    if isinstance(new, torch.nn.Sequential):
        _inherit_by_flow(old, list(new.children()))
    elif not isinstance(new, _CONTAINERS) and _is_of_kind(new, old):
        _inherit(dict(_named_attributes(old)), new)


def _inherit_in_any_module(module: torch.nn.Module, name: str, new: object) -> None:
    """A hook of torch's: a plain `torch.nn.Module` or container tells of no change by itself."""
    old = (module.__dict__.get("_modules") or {}).get(name)
    if old is not None and old is not new:
        inherit_names(old, new)
    note_replaced(module)


register_module_module_registration_hook(_inherit_in_any_module)


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
    """The name, the old and the new number of rows, if a smaller embedding replaces one with a named vocabulary."""
    if not isinstance(old, torch.nn.Embedding) or not isinstance(new, torch.nn.Embedding):
        return None
    name = dict(_named_attributes(old)).get("num_embeddings")
    return (name, old.num_embeddings, new.num_embeddings) if name and new.num_embeddings < old.num_embeddings else None


def warn_of_fewer_rows(module: torch.nn.Module, key: str, old: object, new: object) -> None:
    """Warns if a declared vocabulary loses rows."""
    lost = rows_lost(old, new)
    if lost is not None:
        name, before, after = lost
        rows = f"id {after} has no row" if before - after == 1 else f"ids {after} to {before - 1} have no row"
        warn_user(f"{type(module).__name__}.{key}: {name} shrinks from {before} to {after}: {rows} any more")


def warn_of_lost_names(module: torch.nn.Module, before: Scope) -> None:
    """Warns of a name that the module's annotations use and that no layer gives a size any more."""
    if BUILDING in module.__dict__ or mode() == "off":
        return
    after = held_scope(module)
    if after.scope_key == before.scope_key:
        return
    lost = set(before.names) - set(after.names)
    lost = {name for name in lost if not after.is_ambiguous(name)}
    for name in sorted(lost & used_names(type(module)) if lost else ()):
        warn_user(lost_name_text(module, name, before))


def used_names(cls: type[torch.nn.Module]) -> set[str]:
    """The names in those annotations of a class's methods that can be resolved."""
    return {name for entry in checked_functions(cls) for name in _names_of(entry)}


def _names_of(entry: CheckedFunction) -> Iterator[str]:
    try:
        hints = entry.signature.hints
    except DeclarationError:  # it may name something that is defined later
        return
    yield from (name for hint in hints for array in arrays_in(hint) for name in free_names(array))


def _is_of_kind(new: torch.nn.Module, old: torch.nn.Module) -> bool:
    """True if both layers are of the same torch class, so that their attributes have the same meaning."""
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
        ]  # `_dim_names` holds each name once
        layer.__dict__[INHERITED] = {path: name for path, name in new.items() if name in twice}
    else:
        layer.__dict__[INHERITED] = {
            path: name for path, name in new.items() if isinstance(getattr(layer, path, None), int)
        }
