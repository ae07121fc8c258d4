"""The owners of names as errors and warnings tell them."""

from __future__ import annotations

import inspect

import torch

from dimtyped.names.claims import Claim, owner_phrase
from dimtyped.names.layers import layer_text
from dimtyped.names.reading import lookup
from dimtyped.names.scope import Scope, held_scope


def owner_text(module: torch.nn.Module, claim: Claim) -> str:
    """The owner of a claim, as an error names it: `Decoder.gru: GRU(embed=128 -> hidden=256)`."""
    name = type(module).__name__
    value = lookup(module, claim.owner)
    if claim.is_parameter or not isinstance(value, torch.nn.Module):
        return owner_phrase(name, claim)
    return f"{name}.{claim.owner}: {short_text(value)}" if claim.owner else short_text(value)


def sizes_text(module: torch.nn.Module, name: str) -> str:
    """The owners that disagree on a name, each with its size: `encoder.hidden=512, decoder.hidden=256`."""
    owners = [
        (
            f"{owner_phrase('', claim)}: {name}" if claim.is_parameter else f"{claim.owner}.{claim.name}".lstrip("."),
            claim.size,
        )
        for claim in held_scope(module).disagreeing(name)
    ]
    return ", ".join(dict.fromkeys(f"{owner}={size}" for owner, size in owners))


def agreement_hint(module: torch.nn.Module, name: str) -> str:
    """The fix for a name of two sizes: give the layers one, or where it is the children's, declare it here."""
    scope = held_scope(module)
    layers = [claim for claim in scope.deciding if claim.name == name]
    if not layers:
        return _hint_for_children(module, name)
    other = f"Dim('{name}_2', {layers[-1].size})"
    hint = f"give the layers that use `{name}` the same size, or give one of them another name, as in {other}"
    embedding = next((c for c in layers if isinstance(lookup(module, c.owner), torch.nn.Embedding)), None)
    others = [claim.owner for claim in layers if claim.owner != (embedding and embedding.owner)]
    if embedding is None or not others or not hasattr(lookup(module, embedding.owner), "resized"):
        return hint
    left, size = ", ".join(f"model.{owner}" for owner in others), max(claim.size for claim in layers)
    return f"{hint}; resize tied layers together: model.{embedding.owner}, ({left},) = model.{embedding.owner}.resized({size})"


def _hint_for_children(module: torch.nn.Module, name: str) -> str:
    """The fix where modules below disagree on a name. A parameter of that name lapses with the last layer that has its size."""
    cls = type(module).__name__
    if name in inspect.signature(type(module).__init__).parameters:
        owners = " and ".join(dict.fromkeys(claim.owner for claim in held_scope(module).owners_of(name)))
        return f"give {owners} one size of `{name}`, or store the size that {cls} means: model.{name} = Dim('{name}', size)"
    return f"use another name, or declare `{name}` on {cls} itself (a DimSize parameter, or a Dim stored on it)"


def short_text(module: object) -> str:
    """A layer as an error names it; a typed one shows its input and its output."""
    return layer_text(module) or short_repr(module)


def given_text(value: object) -> str:
    """Describes an object assigned in place of a layer, without a tensor's values: `'gru' of type str`, `a tensor of shape (3, 4)`."""
    if isinstance(value, torch.Tensor):
        return f"a {type(value).__name__} of shape {tuple(value.shape)}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"{short_repr(value)[:120]} of type {type(value).__name__}"


def short_repr(module: object) -> str:
    """A module on one line; only its own sizes if it holds other modules."""
    if not isinstance(module, torch.nn.Module):
        return repr(module)
    if next(module.children(), None) is not None:
        return layer_text(module) or f"{type(module).__name__}(...)"
    return " ".join(repr(module).split())[:120]


def lost_name_text(module: torch.nn.Module, name: str, before: Scope) -> str:
    """The warning about a name of the annotations that nothing gives a size any more, as something did `before`."""
    owner = before.owners_of(name)[0].owner.partition("=")[0]
    return (
        f"{type(module).__name__}: no layer has the size `{name}` any more, which {owner} had: in the annotations any size fits. "
        f"Give the new layer the name, as in Dim('{name}', size)."
    )
