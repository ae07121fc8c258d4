"""Packed sequences: drawn, read as padded tensors, and packed again."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import reject, strategies as st
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch.utils import _pytree as pytree

from dimtyped.testing.strategies.fill import Fill
from dimtyped.testing.strategies.tensors import SEEDS


def draw_packed(draw: st.DrawFn, shape: tuple[int, ...], fill: Fill, device: torch.device) -> PackedSequence:
    """A packed sequence of this batch and longest length; in the simplest one all sequences have that length."""
    batch, longest = shape[:2]
    if not batch or not longest:  # torch cannot pack an empty sequence
        reject()
    shortest = draw(st.sampled_from([longest, 1]))
    lengths = torch.tensor([longest, *(draw(st.integers(shortest, longest)) for _ in range(batch - 1))])
    in_order = bool((lengths[:-1] >= lengths[1:]).all()) and draw(st.booleans())
    padded = fill.make(shape, draw(SEEDS)).to(device)
    return pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=in_order)


def is_even(packed: PackedSequence) -> bool:
    """True if all sequences have the same length, so that the padded tensor holds all information."""
    return bool((packed.batch_sizes == packed.batch_sizes[0]).all())


def holds_uneven(values: Any) -> bool:
    """True if a call's values hold a packed sequence of several lengths, whose samples cannot be changed or moved."""
    leaves = pytree.tree_leaves(values, is_leaf=lambda value: isinstance(value, PackedSequence))
    return any(isinstance(leaf, PackedSequence) and not is_even(leaf) for leaf in leaves)


def padded(packed: PackedSequence) -> Tensor:
    """The tensor that was packed, batch first."""
    return pad_packed_sequence(packed, batch_first=True)[0]


def packed_again(tensor: Tensor) -> PackedSequence:
    """A tensor, batch first, as sequences of equal length."""
    lengths = torch.full((tensor.shape[0],), tensor.shape[1])
    return pack_padded_sequence(tensor, lengths, batch_first=True, enforce_sorted=False)
