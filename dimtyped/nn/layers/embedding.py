"""Embeddings: token ids to vectors, and the error for an id outside the vocabulary."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import AbstractDtype, Shaped
from torch import Tensor

from dimtyped.engine import Raised
from dimtyped.names import Dim
from dimtyped.nn.contract import Layer, check_before, declares, take_names
from dimtyped.nn.layers.embedding_resizing import Resized, resized
from dimtyped.nn.layers.embedding_vocabulary import check_embedding, check_matrix, explain_index, rows_of
from dimtyped.runtime import WithoutInternalFrames, internal_frame, mode


class TokenId(AbstractDtype):
    """The dtypes that torch's embeddings take."""

    dtypes = ("int32", "int64")


TokenId.__name__ = "Int"  # its name in errors


class OutsideError(IndexError):
    """The error for ids outside the vocabulary that are found before the kernel runs."""


def checking_values(torch_forward: Callable[..., Any]) -> Callable[..., Any]:
    """Torch's `forward`, after a check of the ids if they can be read."""

    @internal_frame
    def forward(self: Any, input: Tensor, *rest: Any) -> Tensor:  # torch's name
        bounds = _bounds(input)
        if bounds is not None and (bounds[0] < 0 or bounds[1] >= rows_of(self)):
            raise OutsideError("index out of range in self")
        return torch_forward(self, input, *rest)

    return functools.update_wrapper(forward, torch_forward, updated=())


def _bounds(ids: Any) -> tuple[int, int] | None:
    """The smallest and the largest id; None if there are no ids to read.

    That is the case inside a trace, while a CUDA graph is captured, under vmap, on the meta device, and for fake and
    ragged tensors.
    """
    if torch.compiler.is_compiling() or not isinstance(ids, Tensor) or ids.is_meta or ids.is_nested or not ids.numel():
        return None
    if ids.is_cuda and torch.cuda.is_current_stream_capturing():
        return None
    try:
        low, high = torch.aminmax(ids)
        return int(low), int(high)
    except RuntimeError:
        return None


@declares(
    sizes={"vocab": "num_embeddings", "embed": "embedding_dim"},
    inputs={"input": TokenId[Tensor, "..."]},
    output=Shaped[Tensor, "... embed"],
    parameters={"weight": "vocab embed"},
    flow=("vocab", "embed"),
)
class Embedding(Layer, torch.nn.Embedding):
    """`torch.nn.Embedding`, checked by name: token ids `(...) -> (..., embed)`.

    Raises:
        VocabularyError: at a call with an id outside the vocabulary. On the CPU it replaces torch's own error; with
            `DIMTYPED=values` the ids are checked before the kernel, which costs one synchronization on a GPU.

    Example:
        >>> from dimtyped import dims, nn
        >>> vocab, embed = dims(vocab=10_000, embed=128)
        >>> nn.Embedding(vocab, embed)
        Embedding(vocab=10000 -> embed=128)
    """

    @classmethod
    @WithoutInternalFrames()
    def from_pretrained(  # type: ignore[override]  # torch's, with two more keywords
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        *args: Any,
        vocabulary: Mapping[Any, Any] | Sequence[Any] | int | None = None,
        embed: int | None = None,
        **kwargs: Any,
    ) -> Embedding:
        """An embedding from a matrix of rows; see `torch.nn.Embedding.from_pretrained`.

        Args:
            embeddings: The matrix, `(vocab, embed)`.
            freeze: If True, the rows do not train. Default: True.
            *args: As torch's.
            vocabulary: The entries that the rows are for: a sequence, a mapping of entries to ids, or their number; a Dim
                also names the dimension. Default: not checked.
            embed: The width that the matrix must have; a Dim also names it. Default: not checked.
            **kwargs: As torch's.

        Raises:
            DeclarationError: the matrix does not have two axes, has fewer rows than the vocabulary has entries, or
                another width.

        Warns:
            UserWarning: the matrix has more rows than entries, so some rows never train.
        """
        check_matrix(embeddings, vocabulary, embed)
        made: Any = super().from_pretrained(embeddings, freeze, *args, **kwargs)
        sizes = {"num_embeddings": vocabulary, "embedding_dim": embed}
        take_names(
            made, {key: size for key, size in sizes.items() if isinstance(size, Dim) and size == getattr(made, key)}
        )
        return made

    @WithoutInternalFrames()
    def resized(self, new_size: int) -> Resized:
        """Returns the embedding with more or fewer rows, and with it each layer that is tied to it.

        Existing rows are kept, and so are names, padding and `requires_grad`. New rows are drawn with the mean and the
        standard deviation of the existing ones; new entries of a tied layer's bias are its mean. The old layers do not
        change: replace them by the new ones, and make a new optimizer.

        Args:
            new_size: The number of rows; a Dim also names the vocabulary.

        Returns:
            A named tuple `(embedding, tied)`: the new embedding, and a new layer tied to it for each layer that is tied to
            the old one, in the order in which they were tied.

        Raises:
            DeclarationError: `new_size` is not a size or leaves no row for `padding_idx`, or the rows are computed.

        References:
            Hewitt, Initializing New Word Embeddings for Pretrained Language Models, 2021.

        Example:
            >>> from dimtyped import nn
            >>> embedding = nn.Embedding(10, 4)
            >>> decoder = nn.TiedDecoder(embedding)
            >>> embedding, (decoder,) = embedding.resized(12)
            >>> decoder, decoder.weight is embedding.weight
            (TiedDecoder(hidden=4 -> vocab=12, bias=True), True)
        """
        return resized(self, new_size)

    @classmethod
    def _dim_check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        check_embedding(cls.__name__, arguments)

    @classmethod
    def _dim_checked(cls, torch_forward: Callable[..., Any]) -> Callable[..., Any]:
        if mode() == "values":
            torch_forward = checking_values(torch_forward)
        translate_error = ((IndexError,), cls._dim_explain_index)
        return check_before(cls, torch_forward, *cls.contract.calls, translate_error=translate_error)

    @staticmethod
    def _dim_explain_index(raised: Raised) -> Exception:
        return explain_index(raised.values[0], raised.values[1], raised.error)
