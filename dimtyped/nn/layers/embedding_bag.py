"""Bags of embeddings: the rows of many ids at once, summed or averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Optional

import torch
from jaxtyping import AbstractDtype, Shaped
from torch import Tensor

from dimtyped.engine import Form, Raised
from dimtyped.errors import DimensionValueError, VocabularyError
from dimtyped.nn.contract import TORCH_ERRORS, Layer, SizeViolation, check_before, declares, explained, has_axes
from dimtyped.nn.layers.embedding import OutsideError, TokenId, checking_values
from dimtyped.nn.layers.embedding_vocabulary import check_embedding, explain_index
from dimtyped.runtime import mode


class BagId(AbstractDtype):
    """The dtypes of ids that torch accepts with offsets: it widens the narrower of the two."""

    dtypes = ("int8", "int16", "int32", "int64", "uint8")


BagId.__name__ = "Int"  # its name in errors


def _no_bag(layer: Any, input: Any, offsets: Any, *_: Any) -> Iterator[SizeViolation]:  # torch's name
    """Bags without ids, and a missing last offset with `include_last_offset`."""
    if input.dim() == 2 and input.shape[1] == 0:
        yield SizeViolation("input", 1, "tokens", "at least 1")
    if layer.include_last_offset and isinstance(offsets, Tensor) and len(offsets) == 0:
        yield SizeViolation("offsets", 0, "bags", "at least 1")


def _explained(raised: Raised) -> Exception:
    """Checks the ids first, because torch's error for an id outside the vocabulary does not mention ids."""
    ids, error = raised.values[1], raised.error
    is_readable = isinstance(ids, Tensor) and (
        ids.is_cpu or isinstance(error, OutsideError)
    )  # not after a kernel has failed
    found = explain_index(raised.values[0], ids, error) if is_readable else error
    return found if isinstance(found, VocabularyError) else explained(raised)


@declares(
    sizes={"vocab": "num_embeddings", "embed": "embedding_dim"},
    calls=(
        Form(
            {
                "input": TokenId[Tensor, "batch tokens"],
                "offsets": None,
                "per_sample_weights": Optional[Shaped[Tensor, "batch tokens"]],  # noqa: UP045
            },
            Shaped[Tensor, "batch embed"],
        ),
        Form(
            {
                "input": BagId[Tensor, "tokens"],
                "offsets": Shaped[Tensor, "bags"],
                "per_sample_weights": Optional[Shaped[Tensor, "tokens"]],  # noqa: UP045
            },
            Shaped[Tensor, "bags embed"] | Shaped[Tensor, "bags-1 embed"],  # the last offset is the end of the ids
            has_axes("input", 1),
            rare=True,
        ),
    ),
    parameters={"weight": "vocab embed"},
    flow=("vocab", "embed"),
    error=DimensionValueError,
    violations=_no_bag,
)
class EmbeddingBag(Layer, torch.nn.EmbeddingBag):
    """`torch.nn.EmbeddingBag`, checked by name: token ids `(batch, tokens)`, or `(tokens,)` with the offset of each bag.

    Raises:
        VocabularyError: at a call with an id outside the vocabulary. On the CPU it replaces torch's own error; with
            `DIMTYPED=values` the ids are checked before the kernel, which costs one synchronization on a GPU.

    Example:
        >>> from dimtyped import dims, nn
        >>> vocab, embed = dims(vocab=10_000, embed=128)
        >>> nn.EmbeddingBag(vocab, embed)
        EmbeddingBag(vocab=10000 -> embed=128, mode='mean')
    """

    @classmethod
    def _dim_check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        check_embedding(cls.__name__, arguments)

    @classmethod
    def _dim_checked(cls, torch_forward: Callable[..., Any]) -> Callable[..., Any]:
        if mode() == "values":
            torch_forward = checking_values(torch_forward)
        return check_before(cls, torch_forward, *cls.contract.calls, translate_error=(TORCH_ERRORS, _explained))
