"""How a DTensor lies on the devices of its mesh, in words. It is read once a call has failed.

`torch.distributed` is not imported for this: where nobody has, no tensor is a DTensor.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Placement:
    """How a DTensor lies on the devices of its mesh.

    Args:
        mesh: The size of each axis of the mesh, by its name; by its number where the mesh has no names.
        axes: For each axis of the tensor, the axes of the mesh that it is split over: `("dp",)`.
        others: What it is along the other axes of the mesh: `replicated on tp`, `partial sum over tp`.
        is_known: False for a result of operators on DTensors, of which only torch knows the placement. Default: True.
    """

    mesh: tuple[tuple[str, int], ...]
    axes: tuple[tuple[str, ...], ...]
    others: tuple[str, ...]
    is_known: bool = True

    def mark(self, axis: int) -> str:
        """What is written after the name of an axis: `@tp`, or nothing."""
        return "".join(f"@{name}" for name in self.axes[axis])

    def words(self, names: Sequence[str]) -> tuple[str, ...]:
        """The placement in words, with the names of the tensor's axes: `batch@dp`, `replicated on tp`."""
        split = [marked(name, self.mark(axis)) for axis, name in enumerate(names) if self.axes[axis]]
        return (*split, *self.others)

    def moved(self, order: Sequence[int | None]) -> Placement:
        """The placement of a view whose axes are these of the tensor; None stands for a new axis."""
        return Placement(self.mesh, tuple(() if axis is None else self.axes[axis] for axis in order), self.others)

    def unknown(self) -> Placement:
        """The placement of a result of which only the mesh is known."""
        return Placement(self.mesh, (), (), is_known=False)


def marked(name: str, mark: str) -> str:
    """A name with its mark: `hidden@tp`, `(heads*head)@tp`."""
    return f"({name}){mark}" if mark and not name.isalnum() and not name.isidentifier() else f"{name}{mark}"


def placement_of(value: object) -> Placement | None:
    """How a DTensor lies on its devices; None for anything else."""
    kind = getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", None)
    if kind is None or not isinstance(value, kind):
        return None
    tensor: Any = value
    mesh = _sizes_of(tensor.device_mesh)
    axes: list[tuple[str, ...]] = [() for _ in range(tensor.dim())]
    others: list[str] = []
    for placement, (name, _) in zip(tensor.placements, mesh, strict=True):
        axis = getattr(placement, "dim", None)
        if axis is not None:
            axes[axis] += (name,)
        else:
            others += _other(placement, name)
    return Placement(mesh, tuple(axes), tuple(others))


def _sizes_of(mesh: Any) -> tuple[tuple[str, int], ...]:
    names = mesh.mesh_dim_names or tuple(str(axis) for axis in range(mesh.ndim))
    return tuple((name, mesh.size(axis)) for axis, name in enumerate(names))


def _other(placement: Any, name: str) -> Iterator[str]:
    if placement.is_replicate():
        yield f"replicated on {name}"
    elif placement.is_partial():
        yield f"partial {placement.reduce_op} over {name}"
    else:
        yield f"{placement} over {name}"


def rank_text() -> str:
    """The process, where several work together: `rank 1 of 4`; else an empty text."""
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return ""
    size = distributed.get_world_size()
    return f"rank {distributed.get_rank()} of {size}" if size > 1 else ""
