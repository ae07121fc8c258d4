"""The padding of sequences: where it is, and a call with it on one side or without it."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from dimtyped.annotations import Kind
from dimtyped.testing.properties.deterministic import differs
from dimtyped.testing.strategies.calls import Call
from dimtyped.testing.strategies.leaves import Leaf
from dimtyped.testing.strategies.lengths import padded_axis

RIGHT, LEFT = "right", "left"
SIDES = (RIGHT, LEFT, "both")


@dataclass(frozen=True)
class Padding:
    """The real places of padded sequences: `real` is along `batch` and `axis`. Lengths, unlike a mask, begin in front."""

    parameter: str
    batch: str
    axis: str
    real: Tensor
    is_mask: bool = False

    @classmethod
    def of(cls, call: Call, parameter: str) -> Padding:
        """The padding of a call, read from its lengths or mask. A mask is True where it is real, unless `pad` is in its name."""
        leaf = next(leaf for leaf in call.leaves if leaf.path == (parameter,))
        named = [(axis.name, index) for axis, index in leaf.axes if axis.kind is Kind.NAME]
        names = [name for name, _ in named]
        if leaf.tensor.dtype is torch.bool:
            shape = [leaf.tensor.shape[index] for _, index in named]
            real = leaf.tensor.reshape(shape)
            return cls(parameter, names[0], names[1], ~real if "pad" in parameter else real, is_mask=True)
        along = padded_axis(call.target, parameter, leaf.hint)
        places = torch.arange(call.sizes[along], device=leaf.tensor.device)
        return cls(parameter, names[0], along, places < leaf.tensor.unsqueeze(-1))

    @property
    def is_last(self) -> Tensor:
        """The last real place of each sequence that has earlier ones."""
        counts = self.real.cumsum(-1)
        return self.real & (counts == counts[..., -1:]) & (counts > 1)

    @property
    def is_earlier(self) -> Tensor:
        """The real places before the last of each sequence."""
        counts = self.real.cumsum(-1)
        return self.real & (counts < counts[..., -1:])

    def is_possible(self, side: str) -> bool:
        """True if there are sequences of more than one place, which can be padded on this side."""
        return (
            self.real.dim() == 2
            and self.real.shape[0] > 0
            and self.real.shape[1] > 1
            and (side == RIGHT or self.is_mask)
        )

    def mask_on(self, side: str, mask: Tensor) -> Tensor:
        """The mask with the same number of real places, at least one, and the padding on one side of each sequence."""
        counts = self.real.sum(-1, keepdim=True).clamp(min=1)
        places = torch.arange(self.real.shape[-1], device=mask.device)
        real = places < counts if side == RIGHT else places >= self.real.shape[-1] - counts
        return (~real if "pad" in self.parameter else real).reshape(mask.shape)

    def alone(self, leaf: Leaf, index: int, count: int, side: str) -> Tensor:
        """The part of a tensor that belongs to one sequence, without the padding on this side."""
        rows, columns = leaf.along(self.batch), leaf.along(self.axis)
        tensor = leaf.tensor if rows is None else leaf.tensor.narrow(rows, index, 1)
        if columns is None:
            return tensor
        kept = min(count, tensor.shape[columns])
        return tensor.narrow(columns, 0 if side == RIGHT else tensor.shape[columns] - kept, kept)

    def within(self, places: Tensor) -> Padding:
        """A copy that treats these places as the padding."""
        return dataclasses.replace(self, real=~places)

    @property
    def first(self) -> int:
        """The first place of the first sequence that is padding."""
        padded = (~self.real).nonzero()
        return int(padded[0][-1]) if len(padded) else 0

    def put(self, leaf: Leaf, other: Tensor) -> Tensor:
        """The tensor with other numbers in the padding; unchanged if it has none, or is the mask itself."""
        real = self._spread(leaf)
        return leaf.tensor if real is None or leaf.path == (self.parameter,) else torch.where(real, leaf.tensor, other)

    def at_real(self, leaf: Leaf, wrong: Tensor) -> Tensor:
        """The wrong places outside the padding."""
        real = self._spread(leaf)
        return wrong if real is None else wrong & real

    def has_kept(self, left: Tensor, right: Tensor) -> bool | None:
        """True if two tensors differ only in the padding of some axis; None where they have no axes of these sizes."""
        pairs = itertools.permutations(range(left.dim()), 2)
        places = [pair for pair in pairs if tuple(left.shape[place] for place in pair) == tuple(self.real.shape)]
        wrong = differs(left, right)
        for pair in places:
            wrong = wrong & self._placed(left, *pair)
        return not bool(wrong.any()) if places else None

    def _spread(self, leaf: Leaf) -> Tensor | None:
        """`real` broadcast to the shape of the tensor."""
        rows, columns = leaf.along(self.batch), leaf.along(self.axis)
        return None if rows is None or columns is None else self._placed(leaf.tensor, rows, columns)

    def _placed(self, tensor: Tensor, rows: int, columns: int) -> Tensor:
        """`real` broadcast to a tensor that has its axes at these places."""
        real = self.real if rows < columns else self.real.T
        shape = [size if place in (rows, columns) else 1 for place, size in enumerate(tensor.shape)]
        return real.reshape(shape).expand(tensor.shape)
