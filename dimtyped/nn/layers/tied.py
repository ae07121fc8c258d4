"""The output layer that shares its weight with an embedding."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import torch
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.engine import of_owner
from dimtyped.errors import DeclarationError, TyingError, declaration_error
from dimtyped.names import Dim, given_text
from dimtyped.nn.contract import ROLES, Layer, check_sizes, compile_checks, declares, tying_error, typed_class_of
from dimtyped.nn.layers.linear import Linear
from dimtyped.nn.layers.tied_output import TiedOutput
from dimtyped.nn.retype import retype_layer
from dimtyped.nn.tying import DECLARED, keep_ties, share
from dimtyped.runtime import WithoutInternalFrames, viewed_as

_L = TypeVar("_L", bound=torch.nn.Module)


@declares(
    sizes={"hidden": "in_features", "vocab": "out_features", "embed": "embedding_dim"},
    inputs={"input": Shaped[Tensor, "... hidden"]},
    output=Shaped[Tensor, "... vocab"],
    parameters={"weight": "vocab embed", "bias": "vocab"},
    flow=("hidden", "vocab"),
    check_after_error=of_owner("projection", "{} is None"),  # with one, another module takes the input first
    refuses_in_traces=True,
)
class TiedDecoder(Layer, TiedOutput):
    r"""Logits over the vocabulary, computed with the embedding's own weight: `(..., hidden) -> (..., vocab)`.

    Computes $x E^\top + b$, or $(P x) E^\top + b$ with a learned projection $P$ if hidden is not the embedding's
    width. It has one weight, the embedding's. The tie survives copies, saves, loads and conversions. It is a
    `torch.nn.Linear` too, so that tools for output layers, such as tensor parallelism, work on it.

    Args:
        embedding: The embedding to share the weight of. A plain `torch.nn.Embedding` becomes a typed one in place.
        hidden: The width of the input. Default: the embedding's width.
        bias: If True, learns a bias for each entry. Default: True.
        project: If True, puts a bias-free `Linear(hidden, embed)` before it. Default: False.

    Raises:
        TyingError: `embedding` is not an embedding, or hidden is not its width and `project` is False.

    References:
        Press and Wolf, Using the Output Embedding to Improve Language Models, 2017 (arXiv:1608.05859).
        Inan, Khosravi and Socher, Tying Word Vectors and Word Classifiers, 2017 (arXiv:1611.01462).

    Example:
        >>> from dimtyped import dims, nn
        >>> vocab, embed, hidden = dims(vocab=1000, embed=128, hidden=256)
        >>> embedding = nn.Embedding(vocab, embed)
        >>> decoder = nn.TiedDecoder(embedding, hidden, project=True)
        >>> decoder.weight is embedding.weight
        True
    """

    @WithoutInternalFrames()
    def __init__(
        self, embedding: torch.nn.Embedding, hidden: int | None = None, *, bias: bool = True, project: bool = False
    ) -> None:
        torch.nn.Module.__init__(self)  # the constructor of Linear would draw a weight
        if not isinstance(embedding, torch.nn.Embedding):
            raise declaration_error(
                "TiedDecoder",
                f"TiedDecoder takes an embedding, not {given_text(embedding)}",
                "Give it the embedding layer itself, not its weight or its sizes.",
                kind=TyingError,
                argument="embedding",
                expected="an nn.Embedding",
                actual=type(embedding).__name__,
            )
        self.embedding_dim = embedding.weight.shape[1]
        self.in_features = self.embedding_dim if hidden is None else _size(hidden)
        self.out_features = embedding.weight.shape[0]
        self.__dict__[ROLES] = _names(embedding, hidden)
        self.__dict__[DECLARED] = True
        if self.in_features != self.embedding_dim and not project:
            raise _wrong_width(self)
        retype_layer(embedding)
        keep_ties(embedding)
        of_weight: Any = {"device": embedding.weight.device, "dtype": embedding.weight.dtype}
        self.projection = Linear(self.in_features, self.embedding_dim, bias=False, **of_weight) if project else None
        share(self, embedding)
        self.register_parameter(
            "bias", torch.nn.Parameter(torch.empty(self.out_features, **of_weight)) if bias else None
        )
        self.reset_parameters()
        compile_checks(type(self))

    def reset_parameters(self) -> None:
        """Draws the bias as `torch.nn.Linear` does; the embedding draws the weight."""
        if self.bias is not None:
            bound = 1 / math.sqrt(self.embedding_dim) if self.embedding_dim else 0
            torch.nn.init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """The sizes by name, as in every typed layer."""
        projected = "" if self.projection is None else ", project=True"
        return f"{self._dim_arrow()}, bias={self.bias is not None}{projected}"


@WithoutInternalFrames()
def tie(layer: _L, embedding: torch.nn.Embedding) -> _L:
    """Ties an output layer's weight to an embedding's, checked. The tie survives copies, loads and conversions.

    Args:
        layer: A layer with a `weight`, such as `nn.Linear(embed, vocab)` or a second embedding. A plain torch layer
            becomes a typed one in place, and so does the embedding.
        embedding: The embedding whose weight both then have.

    Returns:
        The layer.

    Raises:
        TyingError: the weights differ in shape, or one of the two has none.

    Example:
        >>> from dimtyped import nn, tie
        >>> embedding = nn.Embedding(1000, 128)
        >>> out = tie(nn.Linear(128, 1000), embedding)
        >>> out.weight is embedding.weight
        True
    """
    for module in (layer, embedding):
        if not isinstance(getattr(module, "weight", None), Tensor):
            raise declaration_error(
                "tie",
                f"tie() takes layers with a weight, not {given_text(module)}",
                "Give it an output layer such as nn.Linear(embed, vocab), and the embedding.",
                kind=TyingError,
                argument="embedding" if module is embedding else "layer",
                expected="a layer with a weight",
                actual=type(module).__name__,
            )
    given, own = tuple(embedding.weight.shape), tuple(getattr(layer, "weight").shape)  # noqa: B009
    if given != own:
        with viewed_as(layer, typed_class_of(type(layer))), viewed_as(embedding, typed_class_of(type(embedding))):
            raise tying_error(layer, embedding, own, given)
    for module in (layer, embedding):
        retype_layer(module)
        keep_ties(module)
    share(layer, embedding)
    layer.__dict__[DECLARED] = True
    return layer


def _size(hidden: int) -> int:
    check_sizes("TiedDecoder", ["hidden"], {"hidden": hidden})
    return int(hidden)


def _names(embedding: torch.nn.Module, hidden: int | None) -> dict[str, str]:
    names = dict(embedding.__dict__.get(ROLES, {}))
    if isinstance(hidden, Dim):
        names["hidden"] = hidden.name
    elif hidden is None and "embed" in names:
        names["hidden"] = names["embed"]
    return names


def _wrong_width(layer: TiedDecoder) -> DeclarationError:
    labels = layer._dim_labels
    hidden, embed = labels["hidden"], labels["embed"]
    call = f"nn.TiedDecoder(embedding, {layer.in_features}, project=True)"
    hint = f"Use {call}, which learns a map from {hidden} to {embed}."
    if layer.in_features == layer.out_features and hidden in (labels["vocab"], "hidden"):
        hint = f"Leave hidden out: it is the width of the input. The output has {labels['vocab']} anyway."
    return declaration_error(
        "TiedDecoder",
        f"{hidden} is {layer.in_features}, but the embedding's width is {embed}={layer.embedding_dim}: "
        "one weight cannot be both (vocab, embed) and (vocab, hidden)\n\n"
        f"    embedding.weight  ({labels['vocab']}={layer.out_features}, {embed}={layer.embedding_dim})\n"
        f"    must be           ({labels['vocab']}={layer.out_features}, {hidden}={layer.in_features})",
        hint,
        kind=TyingError,
        argument="hidden",
        dim=hidden,
        expected=layer.embedding_dim,
        actual=layer.in_features,
        bindings={labels["vocab"]: layer.out_features, embed: layer.embedding_dim},
    )
