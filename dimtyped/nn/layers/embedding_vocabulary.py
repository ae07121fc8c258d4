"""Vocabularies and the rows of a matrix: entries without a row, and ids outside the vocabulary."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dimtyped.errors import DeclarationError, VocabularyError, declaration_error, with_fields
from dimtyped.names import Dim, name_of, plain, shape_text
from dimtyped.nn.contract import changed_hint, changed_in_place, changed_text, check_sizes, wrong_argument
from dimtyped.runtime import layer_path, warn_user

_SHOWN = 5
_FEWEST_PLACES = 4  # shorter rows that count up may be tokens
_WHERE = "Embedding.from_pretrained"


# Matrices that are given ----------------------------------------------------------------------------------------------


def check_matrix(matrix: Tensor, vocabulary: Any, embed: int | None) -> None:
    """Rejects a matrix that does not have the rows of this vocabulary, or not this width.

    Raises:
        DeclarationError: it does not have two axes, has fewer rows than the vocabulary has entries, or another width.

    Warns:
        UserWarning: some rows belong to no entry.
    """
    if not isinstance(matrix, Tensor):
        raise declaration_error(
            _WHERE,
            f"{_WHERE} takes a matrix (vocab, embed) as a tensor, not as a {type(matrix).__name__}",
            "Make it a tensor, as with torch.as_tensor(matrix).",
            argument="embeddings",
            expected="a tensor",
            actual=type(matrix).__name__,
        )
    shape = tuple(matrix.shape)
    if len(shape) != 2:
        raise declaration_error(
            _WHERE,
            f"{_WHERE} takes a matrix (vocab, embed), not a tensor of shape {shape_text(shape)}",
            "give it one row for each entry of the vocabulary",
            argument="embeddings",
            expected="(vocab, embed)",
            actual=shape,
        )
    if embed is not None:
        check_sizes(_WHERE, ["embed"], {"embed": embed})
        if embed != shape[1]:
            raise _wrong_width(shape, embed)
    if vocabulary is not None:
        _check_rows(shape, vocabulary)


def _check_rows(shape: tuple[int, ...], vocabulary: Any) -> None:
    entries, rows = _entries(vocabulary), shape[0]
    if entries > rows:
        raise _too_few_rows(shape, entries, name_of(vocabulary) or "vocab")
    if entries < rows:
        warnings.warn(
            f"{_WHERE}: the vocabulary has {entries} entries, the matrix {rows} rows: "
            f"{_number(rows - entries, 'row is never looked up and never trains', 'rows are never looked up and never train')}",
            stacklevel=5,
        )


def _entries(vocabulary: Any) -> int:
    """The number of entries of a vocabulary: a size, or a mapping, a sequence or a tokenizer of them."""
    if hasattr(vocabulary, "__index__"):
        check_sizes(_WHERE, ["vocabulary"], {"vocabulary": vocabulary})
        return int(vocabulary)
    if not hasattr(vocabulary, "__len__") or isinstance(vocabulary, str | bytes):
        wanted = "the entries, a mapping of them to ids, or how many there are"
        fault = f"is of type {type(vocabulary).__name__}"
        raise wrong_argument(_WHERE, "vocabulary", vocabulary, fault, f"give it {wanted}", wanted)
    if isinstance(vocabulary, Mapping):
        known: Mapping[Any, Any] = vocabulary
        return max([len(known), *(value + 1 for value in known.values() if isinstance(value, int))])
    return len(vocabulary)


def _number(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def _wrong_width(shape: tuple[int, ...], embed: int) -> DeclarationError:
    name = name_of(embed) or "embed"
    return declaration_error(
        _WHERE,
        f"{name} is {plain(embed)}, but the matrix {shape_text(shape)} has width {shape[1]}",
        f"give it a matrix of width {plain(embed)}, or make {name} {shape[1]}",
        argument="embed",
        dim=name,
        expected=plain(embed),
        actual=shape[1],
        bindings={name: plain(embed)},
    )


def _too_few_rows(shape: tuple[int, ...], entries: int, name: str) -> DeclarationError:
    return declaration_error(
        _WHERE,
        f"{name} is {entries}, but the matrix {shape_text(shape)} has {shape[0]} rows: "
        f"{_number(entries - shape[0], 'entry has', 'entries have')} none",
        "add a row for each, or drop the entries",
        argument="vocabulary",
        dim=name,
        expected=entries,
        actual=shape[0],
        bindings={name: entries},
    )


# Arguments of the constructor -----------------------------------------------------------------------------------------


def check_embedding(where: str, arguments: Mapping[str, Any]) -> None:
    """Rejects a padding index that is not a row, and a given weight without the declared rows and width.

    Raises:
        DeclarationError: the index is not an int, or outside the vocabulary; or a dimension of the weight is wrong.
    """
    sizes = {"vocab": arguments.get("num_embeddings"), "embed": arguments.get("embedding_dim")}
    _check_padding(where, sizes["vocab"], arguments.get("padding_idx"))
    _check_weight(where, sizes, arguments.get("_weight"))


def _check_padding(where: str, vocab: Any, padding: Any) -> None:
    if padding is None or not hasattr(vocab, "__index__"):
        return
    size, name = int(vocab), name_of(vocab) or "vocab"
    wanted = f"{-size} to {size - 1}"
    if isinstance(padding, bool) or not hasattr(padding, "__index__"):
        fault = f"is of type {type(padding).__name__}"
    elif not -size <= padding < size:
        fault = f"is outside the vocabulary, {name}={size}"
    else:
        if padding < 0:
            _warn_negative_padding(where, int(padding), size)
        return
    raise wrong_argument(where, "padding_idx", padding, fault, f"give one of {wanted}, or None", wanted)


def _warn_negative_padding(where: str, padding: int, size: int) -> None:
    """Warns of a padding index counted from the end, which probably was meant as no padding."""
    row = size + padding
    warn_user(
        f"{where}: padding_idx={padding} is counted from the end: row {row} of {size} is zero and never trains. "
        f"For no padding leave padding_idx out; for that row give {row}."
    )


def _check_weight(where: str, sizes: Mapping[str, Any], weight: Any) -> None:
    if not isinstance(weight, Tensor) or weight.dim() != len(sizes):
        return  # torch raises for it
    for (role, declared), actual in zip(sizes.items(), weight.shape, strict=True):
        if hasattr(declared, "__index__") and actual != declared:
            name = declared.name if isinstance(declared, Dim) else role
            fault = f"does not fit: its {name} is {actual}, must be {plain(declared)}"
            hint = f"give a matrix of the declared sizes, or make {name} {actual}"
            error = wrong_argument(where, "_weight", weight, fault, hint, plain(declared))
            raise with_fields(error, dim=name, actual=actual)


# Ids at a call --------------------------------------------------------------------------------------------------------


def rows_of(layer: Any) -> int:
    """The number of ids: the rows of the weight, which may have been changed through `weight.data`."""
    declared, rows = int(layer.num_embeddings), int(layer.weight.shape[0])
    return rows if declared == rows or changed_in_place(layer) is not None else max(declared, rows)


def explain_index(layer: Any, ids: Tensor, error: Exception) -> Exception:
    """The error in place of torch's IndexError, with the wrong ids, their places and their number."""
    vocab, size = layer._dim_labels["vocab"], rows_of(layer)
    return explain_ids(layer_path(layer), ids, size, error, vocab, layer._dim_text(), _changed_hint(layer))


def explain_ids(
    where: str, ids: Tensor, size: int, error: Exception, vocab: str = "vocab", owner: str = "`weight`", hint: str = ""
) -> Exception:
    """The same for a number of rows, of which `owner` says where it comes from; torch's own error if no id is wrong."""
    outside = (ids < 0) | (ids >= size)
    if not bool(outside.any()):
        return error
    bad = torch.unique(ids[outside])
    low, high = int(bad.min()), int(bad.max())
    hint = hint or _id_hint(ids, low, high, size, vocab)
    whose = f"    {vocab} = {size}  declared by {owner}"
    return with_fields(
        VocabularyError(f"{_what_is_outside(where, ids, outside, bad, size)}{whose}\n\n  {hint}"),
        where=where,
        argument="input",
        dim=vocab,
        hint=hint,
        expected=size,
        actual=high if high >= size else low,
        bindings={vocab: size},
    )


def _changed_hint(layer: Any) -> str:
    changed = changed_in_place(layer)
    if changed is None:
        return ""
    text = f"{changed_text(layer, 'weight', changed[1])}: {changed_hint(layer, 'weight', changed[1])}."
    return text[0].upper() + text[1:]


def _id_hint(ids: Tensor, low: int, high: int, size: int, vocab: str) -> str:
    return _position_hint(high, size, vocab) if _are_positions(ids) else _vocabulary_hint(low, high, size, vocab)


def _what_is_outside(where: str, ids: Tensor, outside: Tensor, bad: Tensor, size: int) -> str:
    count = int(outside.sum())
    places = [shape_text(tuple(place)) for place in outside.nonzero()[:_SHOWN].tolist()]
    return (
        f"{where}: argument `input` has {count} token {'id' if count == 1 else 'ids'} outside the vocabulary: "
        f"{_listed(bad.tolist())}, must be 0 to {size - 1}\n\n"
        f"    input    {str(ids.dtype).removeprefix('torch.')} {shape_text(tuple(ids.shape))}\n"
        f"    at       {_listed(places, count)}\n"
    )


def _vocabulary_hint(low: int, high: int, size: int, vocab: str) -> str:
    if low < 0:
        return "Ids below 0 are often a mask such as -100: replace them before the embedding, as with ids.clamp(min=0)."
    if high == size:
        asked = "was the padding or unknown token counted?"
        return f"The largest id is {vocab} itself, one too many: {asked} Make {vocab} {size + 1}."
    return f"The ids need {vocab} of at least {high + 1}: do they come from another tokenizer than the model's?"


def _are_positions(ids: Tensor) -> bool:
    """True if every row counts up from 0, as positions in a sequence do and tokens rarely."""
    count = ids.shape[-1] if ids.dim() else 0
    return count >= _FEWEST_PLACES and bool((ids == torch.arange(count, device=ids.device)).all())


def _position_hint(high: int, size: int, vocab: str) -> str:
    counted = f"They count up from 0, as positions do: the sequence has {high + 1}."
    return f"{counted} Cut it to {vocab}, {size}, or make {vocab} {high + 1}."


def _listed(items: Sequence[Any], count: int | None = None) -> str:
    total = len(items) if count is None else count
    text = ", ".join(str(item) for item in items[:_SHOWN])
    return f"{text}, and {total - _SHOWN} more" if total > _SHOWN else text
