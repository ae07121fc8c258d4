"""Embeddings: token ids to vectors, and what to say of an id outside the vocabulary."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import AbstractDtype, Shaped
from torch import Tensor

from dimtyped import _config, _running
from dimtyped._describe import shape_text
from dimtyped._dims import Dim
from dimtyped._entry import Entry
from dimtyped._errors import DeclarationError, VocabularyError, with_fields
from dimtyped.nn._layer import Layer, check_before, declares

_SHOWN = 5


class TokenId(AbstractDtype):
    """The dtypes that torch's embeddings take."""

    dtypes = ("int32", "int64")


TokenId.__name__ = "Int"  # what errors call it


def _checking_values(torch_forward: Callable[..., Any]) -> Callable[..., Any]:
    """Torch's `forward`, the ids looked at first where they can be."""

    def forward(self: Any, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        low, high = _bounds(input)
        if low < 0 or high >= _rows(self):
            raise IndexError("index out of range in self")
        return torch_forward(self, input)

    return functools.update_wrapper(forward, torch_forward, updated=())


def _bounds(ids: Any) -> tuple[int, int]:
    """The smallest id and the largest; two zeros where there are none to read.

    So it is inside a trace, while a CUDA graph is captured, under vmap, on the meta device, in fake and ragged tensors.
    """
    if torch.compiler.is_compiling() or not isinstance(ids, Tensor) or ids.is_meta or ids.is_nested or not ids.numel():
        return 0, 0
    if ids.is_cuda and torch.cuda.is_current_stream_capturing():
        return 0, 0
    try:
        low, high = torch.aminmax(ids)
        return int(low), int(high)
    except RuntimeError:
        return 0, 0


def _rows(layer: Any) -> int:
    """How many ids there are: a weight that was grown by hand, through `weight.data`, has the last word."""
    return max(layer.num_embeddings, layer.weight.shape[0])


@declares(
    sizes={"vocab": "num_embeddings", "embed": "embedding_dim"},
    inputs={"input": TokenId[Tensor, "..."]},
    output=Shaped[Tensor, "... embed"],
    parameters={"weight": "vocab embed"},
    flow=("vocab", "embed"),
)
class Embedding(Layer, torch.nn.Embedding):
    """`torch.nn.Embedding`, checked by name: token ids `(...) -> (..., embed)`.

    Args: as `torch.nn.Embedding`; each size may be a Dim.

    Raises:
        DimensionError: at a call whose ids are no int32 or int64.
        VocabularyError: at a call with an id outside the vocabulary. On the CPU torch's own error is explained;
            with `DIMTYPED=values` the ids are checked before the kernel, which costs a GPU one synchronisation.
        TyingError: at the assignment of a weight that is not `(vocab, embed)`.

    Example:
        >>> from dimtyped import dims, nn
        >>> vocab, embed = dims(vocab=10_000, embed=128)
        >>> nn.Embedding(vocab, embed)
        Embedding(vocab=10000 -> embed=128)
    """

    @classmethod
    def from_pretrained(  # type: ignore[override]  # torch's, with one more keyword
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        *args: Any,
        vocabulary: Mapping[Any, Any] | Sequence[Any] | int | None = None,
        **kwargs: Any,
    ) -> Embedding:
        """An embedding from a matrix of rows; see `torch.nn.Embedding.from_pretrained`.

        Args:
            embeddings: The matrix, `(vocab, embed)`.
            freeze: Whether the rows stay as they are. Default: True.
            *args: As torch's.
            vocabulary: What the rows are for: the words, or a mapping of them to ids, or how many there are.
                Default: not checked.
            **kwargs: As torch's.

        Raises:
            DeclarationError: the matrix has not two axes, or fewer rows than the vocabulary has entries.

        Warns:
            UserWarning: the matrix has more rows than entries, so some rows never train.
        """
        if embeddings.dim() != 2:
            shape = tuple(embeddings.shape)
            raise with_fields(
                DeclarationError(
                    f"Embedding.from_pretrained takes a matrix (vocab, embed), not a tensor of shape {shape_text(shape)}"
                ),
                where="Embedding.from_pretrained",
                argument="embeddings",
                expected="(vocab, embed)",
                actual=shape,
                hint="give it one row for each entry of the vocabulary",
            )
        if vocabulary is not None:
            _check_vocabulary(embeddings, vocabulary)
        return super().from_pretrained(embeddings, freeze, *args, **kwargs)

    @classmethod
    def _dim_checked(cls, torch_forward: Callable[..., Any]) -> Callable[..., Any]:
        if _config.mode() == "values":
            torch_forward = _checking_values(torch_forward)
        rescue = ((IndexError,), cls._dim_explain_index)
        return check_before(cls, torch_forward, cls.contract.inputs, rescue=rescue)

    @staticmethod
    def _dim_explain_index(entry: Entry, values: tuple[Any, ...], error: Exception) -> Exception:
        return _explain_index(values[0], values[1], error)


def _check_vocabulary(embeddings: Tensor, vocabulary: Mapping[Any, Any] | Sequence[Any] | int) -> None:
    rows = embeddings.shape[0]
    entries = int(vocabulary) if isinstance(vocabulary, int) else len(vocabulary)
    if isinstance(vocabulary, Mapping):
        ids = [value for value in vocabulary.values() if isinstance(value, int)]
        entries = max(entries, max(ids, default=-1) + 1)
    name = vocabulary.name if isinstance(vocabulary, Dim) else "vocab"
    if entries > rows:
        error = DeclarationError(
            f"Embedding.from_pretrained: {name} is {entries}, but the matrix {shape_text(tuple(embeddings.shape))} has "
            f"{rows} rows: {entries - rows} entries have none\n"
            "  Add a row for each, or drop the entries."
        )
        error.where, error.dim, error.expected, error.actual = "Embedding.from_pretrained", name, entries, rows
        error.argument, error.hint = "vocabulary", "add a row for each, or drop the entries"
        raise error
    if entries < rows:
        warnings.warn(
            f"Embedding.from_pretrained: the vocabulary has {entries} entries, the matrix {rows} rows: "
            f"{rows - entries} rows are never looked up and never train",
            stacklevel=3,
        )


def _explain_index(layer: Any, ids: Tensor, error: Exception) -> Exception:
    """Torch's IndexError with which ids, where and how many."""
    size = _rows(layer)
    outside = (ids < 0) | (ids >= size)
    if not bool(outside.any()):
        return error
    where = _running.layer_path(layer)
    vocab = layer._dim_labels["vocab"]
    bad = torch.unique(ids[outside])
    low, high = int(bad.min()), int(bad.max())
    positions = outside.nonzero()[:_SHOWN].tolist()
    count = int(outside.sum())
    hint = _vocabulary_hint(low, high, size, vocab)
    error_text = (
        f"{where}: argument `input` has {count} token {'id' if count == 1 else 'ids'} outside the vocabulary: "
        f"{_listed(bad.tolist())}, must be 0 to {size - 1}\n\n"
        f"    input    {str(ids.dtype).removeprefix('torch.')} {shape_text(tuple(ids.shape))}\n"
        f"    at       {_listed([shape_text(tuple(place)) if place else '()' for place in positions], count)}\n"
        f"    {vocab} = {size}  declared by {layer._dim_text()}\n\n"
        f"  {hint}"
    )
    wrong = VocabularyError(error_text)
    wrong.where, wrong.argument, wrong.dim, wrong.hint = where, "input", vocab, hint
    wrong.expected, wrong.actual = size, high if high >= size else low
    wrong.bindings = {vocab: size}
    return wrong


def _vocabulary_hint(low: int, high: int, size: int, vocab: str) -> str:
    if low < 0:
        return "Ids below 0 are often a mask such as -100: replace them before the embedding, as with ids.clamp(min=0)."
    if high == size:
        return f"The largest id is {vocab} itself, one too many: was the padding or unknown token counted? Make {vocab} {size + 1}."
    return f"The ids need {vocab} of at least {high + 1}: was another tokenizer used than the model was made for?"


def _listed(items: Sequence[Any], count: int | None = None) -> str:
    total = len(items) if count is None else count
    text = ", ".join(str(item) for item in items[:_SHOWN])
    return f"{text}, and {total - _SHOWN} more" if total > _SHOWN else text
