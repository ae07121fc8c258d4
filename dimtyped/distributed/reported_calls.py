"""The calls of one model in several processes, compared: the sizes of the inputs, by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.utils import _pytree as pytree

from dimtyped.diagnosis import rank_text
from dimtyped.distributed.exchange import Said
from dimtyped.engine import entry_of
from dimtyped.errors import DimensionError, with_fields
from dimtyped.export import read_call


@dataclass(frozen=True)
class ReportedCall:
    """A call as the other processes learn of it.

    Attributes:
        where: The function.
        sizes: The size of each name of its inputs; of a tensor without annotation, of each axis.
        refusal: Why it cannot be made; empty if it can.
    """

    where: str
    sizes: Mapping[str, int]
    refusal: str = ""


def described(module: torch.nn.Module, args: Any, kwargs: Any) -> ReportedCall:
    """The call of a model; in a trace, with the sizes of this call."""
    entry = entry_of(type(module).forward)
    where = entry.signature.where if entry is not None else f"{type(module).__name__}.forward"
    if any(isinstance(leaf, Tensor) and leaf.is_nested for leaf in pytree.tree_leaves((args, kwargs))):
        return ReportedCall(where, {})
    with unset_fake_temporarily():
        args, kwargs = pytree.tree_map_only(Tensor, _stand_in, (args, kwargs))
    try:
        if entry is None or entry.is_off_for((module,)):
            given = inspect.signature(type(module).forward).bind(module, *args, **kwargs).arguments
            return ReportedCall(where, _sizes_of_axes(given))
        call = read_call(module, args, kwargs)
    except (DimensionError, TypeError) as error:  # a TypeError: other arguments than it takes
        return ReportedCall(where, {}, str(error).partition("\n")[0])
    sizes = {name: size for name, size in call.sizes.items() if name not in call.declared}
    others = {name: value for name, value in call.arguments.items() if id(value) not in call.axes}
    return ReportedCall(where, {**sizes, **_sizes_of_axes(others)})


def _sizes_of_axes(arguments: Mapping[str, Any]) -> dict[str, int]:
    """The size of each axis of the tensors among arguments, by its place: `axis 0 of x`."""
    tensors = {name: value for name, value in arguments.items() if isinstance(value, Tensor)}
    return {f"axis {axis} of `{name}`": size for name, x in tensors.items() for axis, size in enumerate(x.shape)}


def _stand_in(tensor: Tensor) -> Tensor:
    """A tensor of the same whole sizes without numbers; of a trace's tensor, of those that it has in this call."""
    sizes = [size if isinstance(size, int) else size.node.hint or 0 for size in tensor.shape]
    return torch.empty(sizes, dtype=tensor.dtype, device="meta")


def error_of(
    call: ReportedCall, heard: Mapping[int, Said], ranks: Sequence[int], axis: str, seconds: float
) -> DimensionError | dist.DistStoreError | None:
    """What is wrong with the call, given what each process has said; None if nothing is."""
    rows = {said.row: {rank: heard[rank] for rank in said.row if rank in heard} for said in heard.values()}
    for row in rows.values():
        for name in dict.fromkeys(name for said in row.values() for name in said.sizes):
            sizes = {rank: said.sizes[name] for rank, said in row.items() if name in said.sizes}
            if len(set(sizes.values())) > 1:
                return _differing(call, name, sizes, axis)
    refused = next((rank for rank, said in heard.items() if said.refusal), None)
    if refused is not None:
        text = f"{call.where}: rank {refused} cannot make this call: {heard[refused].refusal}\n\n    {rank_text()}"
        return with_fields(DimensionError(text), where=call.where, bindings=dict(call.sizes))
    missing = [rank for rank in ranks if rank not in heard]
    if not missing:
        return None
    return dist.DistStoreError(
        f"{call.where}: {_ranks_text(missing)} made no such call within {seconds:g} s of {rank_text()}"
    )


def _differing(call: ReportedCall, name: str, sizes: Mapping[int, int], axis: str) -> DimensionError:
    by_size: dict[int, list[int]] = {}
    for rank, size in sizes.items():
        by_size.setdefault(size, []).append(rank)
    said = ", ".join(f"{size} on {_ranks_text(ranks)}" for size, ranks in by_size.items())
    hint = (
        "Processes that split one model must be given the same inputs: draw them by the place on the mesh's other axes."
    )
    text = f"{call.where}: {name} is {said}, which split one model over {axis!r}\n\n    {rank_text()}\n\n  {hint}"
    first = next(iter(by_size))
    actual = call.sizes.get(name)
    return with_fields(
        DimensionError(text),
        where=call.where,
        dim=name,
        expected=next((size for size in by_size if size != actual), first),
        actual=actual,
        bindings=dict(call.sizes),
        hint=hint,
    )


def _ranks_text(ranks: Sequence[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"
