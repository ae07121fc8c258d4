"""The memory that each kind of parameter takes on one device."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from dimtyped.distributed.layouts import split_axis
from dimtyped.distributed.rules import Split
from dimtyped.distributed.sharding_plan import splits_of
from dimtyped.runtime import WithoutInternalFrames

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True, slots=True)
class KindOfParameter:
    """The parameters that differ only in the numbers in their path: `layers.*.up.weight`.

    Attributes:
        number: How many there are.
        shape: The shape of one.
        local: The shape of its part on one device.
        nbytes: The bytes of all parts on one device.
    """

    number: int
    shape: tuple[int, ...]
    local: tuple[int, ...]
    nbytes: int


@WithoutInternalFrames()
def parameter_memory(
    model: torch.nn.Module, names: Mapping[str, str], *, tensor_parallel: int = 1, data_parallel: int = 1
) -> dict[str, KindOfParameter]:
    """Returns the memory of each kind of parameter on the first device, under `sharding_plan` and FSDP2.

    A model on `meta` is enough. Gradients take as much again, Adam's state twice as much in the same dtype.

    Args:
        model: The model.
        names: The names to split by, as for `sharding_plan`.
        tensor_parallel: The number of devices that a split size is divided among. Default: 1.
        data_parallel: The number of devices over which `fully_shard` divides axis 0 of each part. Default: 1.

    Raises:
        DeclarationError: As `sharding_plan`.

    Example:
        >>> from dimtyped import dims, nn
        >>> from dimtyped.distributed import parameter_memory
        >>> embed, ff = dims(embed=8, ff=32)
        >>> up = nn.Sequential(nn.Linear(embed, ff, bias=False))
        >>> parameter_memory(up, {"ff": "tp"}, tensor_parallel=4, data_parallel=2)["0.weight"].local
        (4, 8)
    """
    splits = splits_of(model, names)
    found: dict[str, KindOfParameter] = {}
    for path, parameter in model.named_parameters():
        module, _, name = path.rpartition(".")
        shape = tuple(parameter.shape)
        local = _local_shape(name, shape, splits.get(module), tensor_parallel, data_parallel)
        kind = _NUMBER.sub("*", f".{path}")[1:]
        count, nbytes = (found[kind].number, found[kind].nbytes) if kind in found else (0, 0)
        size = torch.Size(local).numel() * parameter.element_size()
        found[kind] = KindOfParameter(count + 1, shape, local, nbytes + size)
    return found


def _local_shape(
    name: str, shape: tuple[int, ...], split: Split | None, tensor_parallel: int, data_parallel: int
) -> tuple[int, ...]:
    local = list(shape)
    axis = None if split is None else split_axis(split, name, len(shape))
    if axis is not None:
        local[axis] = -(-local[axis] // tensor_parallel)
    if local:
        local[0] = -(-local[0] // data_parallel)
    return tuple(local)
