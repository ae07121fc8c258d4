"""`pack_padded_sequence` with a check: torch reads past the end of a sequence whose length is too large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence as _pack

from dimtyped.errors import DimensionError, with_fields
from dimtyped.runtime import WithoutInternalFrames, internal_frame, is_tracing, mode

_NAME = "pack_padded_sequence"


@WithoutInternalFrames()
@internal_frame
def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | Sequence[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """`torch.nn.utils.rnn.pack_padded_sequence`, checked: one length for each sequence, none larger than `seq`.

    Args:
        input: `(seq, batch, ...)`, or `(batch, seq, ...)` with `batch_first`.
        lengths: The length of each sequence: a list, or a tensor on the CPU.
        batch_first: True if the batch comes first. Default: False.
        enforce_sorted: True if the lengths must be in decreasing order. Default: True.

    Raises:
        DimensionError: there are more or fewer lengths than sequences, or one is larger than the padded length.

    Example:
        >>> import torch
        >>> from dimtyped.nn.utils.rnn import pack_padded_sequence
        >>> pack_padded_sequence(torch.ones(2, 5, 3), [6, 4], batch_first=True)
        Traceback (most recent call last):
        dimtyped.DimensionError: pack_padded_sequence: argument `lengths` does not fit: seq is 5, a length is 6
        <BLANKLINE>
            input      float32 (batch=2, seq=5, 3)
            lengths    2, at most 6
        <BLANKLINE>
          Pad to 6, or give lengths of at most 5.
    """
    if mode() != "off" and not is_tracing() and isinstance(input, Tensor) and input.dim() >= 2:
        _check(input, lengths, batch_first)
    return _pack(input, lengths, batch_first, enforce_sorted)  # pyright: ignore[reportArgumentType]  # torch takes any sequence


def _check(input: Tensor, lengths: Any, batch_first: bool) -> None:
    values = _values(lengths)
    if values is None:
        return
    batch, seq = (input.shape[0], input.shape[1]) if batch_first else (input.shape[1], input.shape[0])
    count, longest = values
    if count != batch:
        other = seq == count and batch != seq
        swap = f"batch_first={not batch_first}" if other else f"{batch} lengths, one for each sequence"
        raise _error(
            input,
            batch_first,
            values,
            "batch",
            batch,
            count,
            f"batch is {batch}, there are {count} lengths",
            f"give {swap}",
        )
    if longest is not None and longest > seq:
        hint = f"pad to {longest}, or give lengths of at most {seq}"
        raise _error(input, batch_first, values, "seq", seq, longest, f"seq is {seq}, a length is {longest}", hint)


def _values(lengths: Any) -> tuple[int, int | None] | None:
    """The number of lengths, and the largest if this process knows it; None for lengths that torch rejects itself."""
    if isinstance(lengths, Tensor):
        if lengths.dim() != 1:
            return None
        is_readable = type(lengths) is Tensor and lengths.device.type == "cpu" and len(lengths) > 0
        return len(lengths), int(lengths.max()) if is_readable else None
    if isinstance(lengths, list | tuple) and all(isinstance(length, int) for length in lengths):
        return len(lengths), max(lengths, default=None)
    return None


def _error(
    input: Tensor,
    batch_first: bool,
    values: tuple[int, int | None],
    dim: str,
    expected: int,
    actual: int,
    why: str,
    hint: str,
) -> DimensionError:
    names = ("batch", "seq") if batch_first else ("seq", "batch")
    shape = ", ".join(
        [*(f"{name}={size}" for name, size in zip(names, input.shape, strict=False)), *map(str, input.shape[2:])]
    )
    count, longest = values
    given = f"{count}, at most {longest}" if longest is not None else str(count)
    dtype = str(input.dtype).removeprefix("torch.")
    text = (
        f"{_NAME}: argument `lengths` does not fit: {why}\n\n"
        f"    input      {dtype} ({shape})\n    lengths    {given}\n\n  {hint[0].upper()}{hint[1:]}."
    )
    bindings = dict(zip(names, input.shape, strict=False))
    return with_fields(
        DimensionError(text),
        where=_NAME,
        argument="lengths",
        dim=dim,
        expected=expected,
        actual=actual,
        hint=hint,
        bindings=bindings,
    )
