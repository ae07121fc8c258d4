"""`MultiheadAttention` by heads: each device computes some of them.

Query, key and value are the rows of one parameter, `in_proj_weight`, so the rows of one head lie in three places. No placement of
a DTensor that checkpoints can write says so. The parameter is split along its columns instead: that is an ordinary shard, which
checkpoints and FSDP2 know. Each call exchanges columns for the rows of its heads, and the gradient goes back the same way.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.distributed.tensor.parallel import ParallelStyle
from torch.distributed.tensor.placement_types import Placement
from torch.nn import functional as F  # noqa: N812  # its name everywhere

from dimtyped.distributed.styles import as_dtensor, place_parameter
from dimtyped.nn.contract import Layer
from dimtyped.runtime import mode

PLACES: dict[str, Placement] = {
    "in_proj_weight": Shard(1),
    "q_proj_weight": Shard(0),
    "k_proj_weight": Shard(0),
    "v_proj_weight": Shard(0),
    "in_proj_bias": Replicate(),
    "bias_k": Shard(2),
    "bias_v": Shard(2),
}
"""How each parameter is placed; the layer `out_proj` is row-wise."""


class HeadsParallel(ParallelStyle):
    """Attention by heads. It takes tensors that are whole, and gives what its row-wise `out_proj` gives.

    Args:
        use_local_output: If True, the attention weights are plain tensors; else DTensors, which are whole. Default: True.
    """

    def __init__(self, *, use_local_output: bool = True):
        super().__init__()
        self.use_local_output = use_local_output

    def _apply(self, module: torch.nn.Module, device_mesh: DeviceMesh) -> torch.nn.Module:
        for name, parameter in list(module.named_parameters(recurse=False)):
            place_parameter(module, name, parameter, device_mesh, PLACES[name], self.src_data_rank)
        function = _forward_of(device_mesh, self.use_local_output)
        module.__dict__["forward"] = types.MethodType(_checked(module, function), module)
        # a hook, even one that does nothing, keeps torch's encoder layer from its fused kernel, which knows no DTensors
        module.register_forward_pre_hook(lambda _, __: None)
        return module

    def __repr__(self) -> str:
        return f"HeadsParallel(use_local_output={self.use_local_output})"


@dataclass(frozen=True, slots=True)
class _Call:
    """One call, with the sequences batch-first and this device's heads.

    Attributes:
        attention: The layer.
        mesh: The devices.
        heads: The number of heads of this device.
    """

    attention: Any
    mesh: DeviceMesh
    heads: int

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Query, key and value of this device's heads, `(batch, heads, sequence, head)`."""
        rows, offsets = self._weights(), self._offsets()
        found: list[Tensor] = []
        for given, weight, offset in zip((query, key, value), rows, offsets, strict=True):
            found.append(F.linear(given, weight, offset))
        for index, extra in ((1, self.attention.bias_k), (2, self.attention.bias_v)):
            if extra is not None:
                found[index] = torch.cat([found[index], extra.to_local().expand(len(key), 1, -1)], 1)
            if self.attention.add_zero_attn:
                found[index] = F.pad(found[index], (0, 0, 0, 1))
        return [each.unflatten(2, (self.heads, -1)).transpose(1, 2) for each in found]

    def _weights(self) -> list[Tensor]:
        attention = self.attention
        if attention.in_proj_weight is None:
            return [getattr(attention, f"{name}_proj_weight").to_local() for name in "qkv"]
        columns = attention.in_proj_weight.view(3, attention.embed_dim, attention.embed_dim)
        return list(columns.redistribute(placements=[Shard(1)]).to_local().unbind())

    def _offsets(self) -> list[Tensor | None]:
        if self.attention.in_proj_bias is None:
            return [None, None, None]
        whole = self.attention.in_proj_bias.view(3, self.attention.embed_dim)
        return list(whole.redistribute(placements=[Shard(1)]).to_local().unbind())

    def mask(self, given: Tensor | None, padding: Tensor | None, batch: int, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores, with an axis for each of theirs; None for nothing."""
        parts: list[Tensor] = []
        if given is not None:
            if given.dim() == 3:  # one for each head
                first = self.mesh.get_local_rank() * self.heads
                parts.append(given.unflatten(0, (batch, -1))[:, first : first + self.heads])
            else:
                parts.append(given[None, None])
        if padding is not None:
            parts.append(padding.reshape(batch, 1, 1, -1))
        added = [_added(part, dtype) for part in parts]
        total = sum(added[1:], added[0]) if added else None
        extra = (self.attention.bias_k is not None) + bool(self.attention.add_zero_attn)
        return F.pad(total, (0, extra)) if total is not None and extra else total


def _forward_of(mesh: DeviceMesh, is_local: bool) -> Callable[..., Any]:
    """The `forward` of an attention that is split over these devices."""

    def forward(
        self: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        if is_causal and attn_mask is None:
            raise RuntimeError("is_causal is a hint about attn_mask, and there is none: give both")  # torch's own rule
        call = _Call(self, mesh, self.num_heads // mesh.size())
        is_batched, swaps = query.dim() == 3, query.dim() == 3 and not self.batch_first
        taken = _Taken(mesh)
        sequences = [_batch_first(taken(each), is_batched, swaps) for each in (query, key, value)]
        q, k, v = call.project(*sequences)
        if is_causal and key_padding_mask is None and not need_weights:
            mask, hint = None, True
        else:
            mask, hint = call.mask(taken.maybe(attn_mask), taken.maybe(key_padding_mask), len(q), q.dtype), False
        dropout = self.dropout if self.training else 0.0
        if need_weights:
            scores = q @ k.transpose(2, 3) / self.head_dim**0.5
            weights = F.dropout((scores if mask is None else scores + mask).softmax(-1), dropout)
            mixed = weights @ v
        else:
            weights = None
            mixed = F.scaled_dot_product_attention(q, k, v, mask, dropout, hint)
        given = mixed.transpose(1, 2).flatten(2)
        given = given.transpose(0, 1) if swaps else given if is_batched else given[0]
        output = self.out_proj(DTensor.from_local(given, mesh, [Shard(given.dim() - 1)], run_check=False))
        if weights is None:
            return output, None
        placed = _weights_of_all(weights, mesh, average_attn_weights)
        whole: Any = placed if is_batched else placed[0]
        return output, whole.to_local() if is_local else whole

    return forward


class _Taken:
    """Makes whole plain tensors of what a call takes, each once. Their gradient is the sum over all devices."""

    def __init__(self, mesh: DeviceMesh):
        self._mesh = mesh
        self._known: dict[int, Tensor] = {}

    def __call__(self, tensor: Tensor) -> Tensor:
        if id(tensor) not in self._known:
            whole = as_dtensor(tensor, self._mesh).redistribute(placements=[Replicate()])
            self._known[id(tensor)] = whole.to_local(grad_placements=[Partial()])
        return self._known[id(tensor)]

    def maybe(self, tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else self(tensor)


def _batch_first(tensor: Tensor, is_batched: bool, swaps: bool) -> Tensor:
    if not is_batched:
        return tensor[None]
    return tensor.transpose(0, 1) if swaps else tensor


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask as what is added to the scores."""
    if mask.dtype is not torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(mask, float("-inf"))


def _weights_of_all(weights: Tensor, mesh: DeviceMesh, averaged: bool) -> DTensor:
    """The attention weights of all heads, `(batch, heads, target, source)`, or their mean over heads."""
    if averaged:
        share = weights.sum(1) / (weights.shape[1] * mesh.size())  # the gradient of Partial("avg") lacks this division
        placed = DTensor.from_local(share, mesh, [Partial()], run_check=False)
    else:
        placed = DTensor.from_local(weights, mesh, [Shard(1)], run_check=False)
    return placed.redistribute(placements=[Replicate()])


def _checked(module: torch.nn.Module, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with the contract's check before it, for a typed layer."""
    if mode() == "off" or not isinstance(module, Layer):
        return function
    checked = type(module)._dim_checked(function)

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        return (function if self._dim_unchecked else checked)(self, *args, **kwargs)

    return functools.update_wrapper(forward, checked)
