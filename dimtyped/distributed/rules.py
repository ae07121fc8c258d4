"""How a layer of each kind is split by the name of one of its sizes."""

from __future__ import annotations

import ast
import enum
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dimtyped.errors import DeclarationError, declaration_error
from dimtyped.names import layer_text, names_in
from dimtyped.nn.contract import ROLES


class Style(enum.Enum):
    """A way to split a layer, by the name that transformers' `tp_plan` has for it; it has none for `HEADS`."""

    COLUMN = "colwise"
    COLUMN_GATHERED = "colwise_gather_output"
    ROW = "rowwise"
    VOCABULARY = "embedding_rowwise"
    EMBEDDING = "embedding_colwise"
    HEADS = "heads"


@dataclass(frozen=True, slots=True)
class Split:
    """How one layer is split.

    Attributes:
        style: The way.
        name: The name that is split.
        reason: Why, in one line.
    """

    style: Style
    name: str
    reason: str


def splits_of_layer(
    path: str, layer: torch.nn.Module, names: Collection[str], taken: Collection[str]
) -> Mapping[str, Split]:
    """The way to split a layer, or the layers inside of it, by the given names: by path, none if it declares no name.

    Args:
        path: Where the layer is in its model.
        layer: A typed layer.
        names: The names to split by.
        taken: The expressions that some layer takes as its input, split: a result of that size stays split.

    Raises:
        DeclarationError: The layer cannot be split by the name.
    """
    roles: Mapping[str, str] = layer.__dict__.get(ROLES, {})
    split = {role: _outermost(path, layer, text, names) for role, text in roles.items()}
    split = {role: name for role, name in split.items() if name is not None}
    if not split:
        return {}
    rule = next((rule for kind, rule in _RULES.items() if isinstance(layer, kind)), None)
    if rule is None:
        raise _cannot(path, layer, next(iter(split.values())), reason_to_stay_whole(layer))
    found = rule(_Layer(path, layer, roles, split, taken))
    if isinstance(found, Split):
        return {path: found}
    return {f"{path}.{inner}".strip("."): each for inner, each in found.items()}


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer with the roles that are split.

    Attributes:
        roles: The user's expression for each of the layer's own names.
        split: The name by which each role is split.
    """

    path: str
    layer: torch.nn.Module
    roles: Mapping[str, str]
    split: Mapping[str, str]
    taken: Collection[str]


def _linear(given: _Layer) -> Split:
    layer: Any = given.layer
    taken, made = layer.contract.flow
    inside, outside = given.split.get(taken), given.split.get(made)
    if inside is not None and outside is not None:
        raise _cannot(given.path, layer, inside, f"`{inside}` and `{outside}` cannot both be split in one layer")
    if inside is not None:
        return Split(Style.ROW, inside, f"{layer_text(layer)} takes `{given.roles[taken]}`")
    name, expression = given.split[made], given.roles[made]
    is_taken = expression in given.taken or expression != name  # `heads*head` goes into attention, head by head
    style = Style.COLUMN if is_taken else Style.COLUMN_GATHERED
    return Split(style, name, f"{layer_text(layer)} makes `{given.roles[made]}`")


def _embedding(given: _Layer) -> Split:
    if len(given.split) > 1:
        first, second = given.split.values()
        raise _cannot(given.path, given.layer, first, f"`{first}` and `{second}` cannot both be split in one layer")
    ((role, name),) = given.split.items()
    style = Style.VOCABULARY if role == "vocab" else Style.EMBEDDING
    return Split(style, name, f"{layer_text(given.layer)} has `{given.roles[role]}`")


def _attention(given: _Layer) -> Mapping[str, Split]:
    """Attention is split by its heads alone: a head takes all features."""
    other = next((role for role in given.split if role != "heads"), None)
    if other is not None:
        raise _cannot(given.path, given.layer, given.split[other], "each head needs all features")
    reason = f"{layer_text(given.layer)} has `{given.roles['heads']}`"
    return {
        "": Split(Style.HEADS, given.split["heads"], reason),
        "out_proj": Split(Style.ROW, given.split["heads"], reason),
    }


def _transformer_layer(given: _Layer) -> Mapping[str, Split]:
    """The attentions by their heads, the perceptron by its hidden size."""
    if "embed" in given.split:
        raise _cannot(given.path, given.layer, given.split["embed"], "its norms need the whole axis")
    found: dict[str, Split] = {}
    reasons = {role: f"{layer_text(given.layer)} has `{given.roles[role]}`" for role in given.split}
    if "heads" in given.split:
        for path in _ATTENTIONS:
            if path in given.layer._modules:
                found[path] = Split(Style.HEADS, given.split["heads"], reasons["heads"])
                found[f"{path}.out_proj"] = Split(Style.ROW, given.split["heads"], reasons["heads"])
    if "feedforward" in given.split:
        found["linear1"] = Split(Style.COLUMN, given.split["feedforward"], reasons["feedforward"])
        found["linear2"] = Split(Style.ROW, given.split["feedforward"], reasons["feedforward"])
    return found


def _transformer(given: _Layer) -> Mapping[str, Split]:
    """Nothing of its own: its layers have the same names."""
    if "embed" in given.split:
        raise _cannot(given.path, given.layer, given.split["embed"], "its norms need the whole axis")
    return {}


_ATTENTIONS = ("self_attn", "multihead_attn")
_RULES: dict[type[torch.nn.Module], Callable[[_Layer], Split | Mapping[str, Split]]] = {
    torch.nn.Linear: _linear,
    torch.nn.Embedding: _embedding,
    torch.nn.MultiheadAttention: _attention,
    torch.nn.TransformerEncoderLayer: _transformer_layer,
    torch.nn.TransformerDecoderLayer: _transformer_layer,
    torch.nn.TransformerEncoder: _transformer,
    torch.nn.TransformerDecoder: _transformer,
    torch.nn.Transformer: _transformer,
}
_WHOLE: dict[type[torch.nn.Module], str] = {
    torch.nn.modules.conv._ConvNd: "torch cannot split a convolution by its channels",
    torch.nn.RNNBase: "each step needs the whole state",
    torch.nn.LayerNorm: "a norm needs the whole axis",
    torch.nn.RMSNorm: "a norm needs the whole axis",
}


def reason_to_stay_whole(layer: torch.nn.Module) -> str:
    """Why a layer cannot be split."""
    return next((reason for kind, reason in _WHOLE.items() if isinstance(layer, kind)), "no rule splits this layer")


def outermost_factor(expression: str) -> str | None:
    """The name that is the first factor of `heads*head`; None where the first factor is no name."""
    node: ast.expr = ast.parse(expression, mode="eval").body
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        node = node.left
    return node.id if isinstance(node, ast.Name) else None


def _outermost(path: str, layer: torch.nn.Module, expression: str, names: Collection[str]) -> str | None:
    """The name by which a size such as `heads*head` is split into equal parts that lie together.

    Raises:
        DeclarationError: The name is in the expression, but not its outermost factor.
    """
    used = [name for name in names_in(expression) if name in names]
    if not used:
        return None
    if used == [outermost_factor(expression)]:
        return used[0]
    raise _cannot(
        path,
        layer,
        used[0],
        f"the parts of `{expression}` that belong to one `{used[0]}` do not lie together",
        f"make a layer for each, or declare the size with `{used[0]}` first: {used[0]} * ...",
    )


def _cannot(path: str, layer: torch.nn.Module, name: str, reason: str, hint: str = "") -> DeclarationError:
    text = layer_text(layer) or type(layer).__name__
    return declaration_error(
        f"sharding_plan: {path}",
        f"{text} cannot be split by `{name}`: {reason}",
        hint or f"leave `{name}` out, or keep this layer whole with plain ints",
        dim=name,
        argument=path,
    )
