"""The errors of `sharding_plan` that concern its names and the mesh."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch.distributed.device_mesh import DeviceMesh

from dimtyped.diagnosis import rank_text
from dimtyped.errors import DeclarationError, declaration_error
from dimtyped.names import declared_sizes, is_scope, scope_of, similar_name


def mesh_axis_of(names: Mapping[str, str]) -> str:
    """The axis of the mesh, which is the same for all names."""
    axes = sorted(set(names.values()))
    if len(axes) != 1:
        said = f"they have {', '.join(map(repr, axes))}" if axes else "there is no name"
        raise declaration_error(
            "sharding_plan",
            f"all names go to one axis of the mesh, and {said}",
            'write the same axis for each, {"ff": "tp", "heads": "tp"}, and make another plan for another axis',
            argument="names",
        )
    return axes[0]


def unknown_name(
    model: torch.nn.Module, name: str, declared: Collection[str], used: Collection[str]
) -> DeclarationError:
    """The error for a name that no layer declares and no annotation has."""
    kind = type(model).__name__
    meant = similar_name(name, sorted({*declared, *used}))
    hint = f"write `{meant}`" if meant else "make its layers with Dims: a DimSize parameter, or dims(...)"
    others = sorted(set(used) - set(declared))
    also = f", and annotations have {', '.join(others)}" if others else ""
    return declaration_error(
        "sharding_plan",
        f"no layer of {kind} declares `{name}`; they declare {', '.join(sorted(declared)) or 'nothing'}{also}",
        hint,
        dim=name,
        argument="names",
    )


def reject_several(names: Collection[str]) -> None:
    """Raises for two axes of activations: a tensor can be split along one axis over one axis of the mesh."""
    if len(names) > 1:
        first, second, *_ = names
        raise declaration_error(
            "sharding_plan",
            f"no layer declares `{first}` and `{second}`: they are axes of the same activations, and only one can be split",
            f"leave `{second}` out",
            dim=second,
            argument="names",
        )


def reject_uneven(model: torch.nn.Module, names: Mapping[str, str], axis: str, mesh: DeviceMesh) -> None:
    """Raises for a declared size that the mesh does not divide."""
    if axis not in (mesh.mesh_dim_names or ()):
        raise declaration_error(
            "sharding_plan",
            f"the mesh has no axis {axis!r}; it has {mesh.mesh_dim_names}",
            "give init_device_mesh(..., mesh_dim_names=...) its names",
            argument="mesh",
        )
    parts = mesh[axis].size()
    for path, module in model.named_modules():
        for name, size in _sizes_of(module).items():
            if name in names and size % parts:
                rank = f" ({text})" if (text := rank_text()) else ""
                raise declaration_error(
                    f"sharding_plan: {path}" if path else "sharding_plan",
                    f"`{name}` is {size}, which the {parts} devices of {axis!r} do not divide{rank}",
                    f"choose a multiple of {parts}, or leave `{name}` out",
                    dim=name,
                    expected=f"a multiple of {parts}",
                    actual=size,
                )


def no_tp_plan(name: str, reason: str) -> DeclarationError:
    """The error for a plan that transformers has no words for."""
    return declaration_error(
        "sharding_plan",
        f"transformers' tp_plan cannot split by `{name}`: {reason}",
        f"leave out as_tp_plan=True, and give the plan to parallelize_module, or leave `{name}` out",
        dim=name,
        argument="as_tp_plan",
    )


def _sizes_of(module: torch.nn.Module) -> Mapping[str, int]:
    """The sizes that a user's module or a typed layer declares, by name."""
    return {**declared_sizes(module), **(scope_of(module).names if is_scope(module) else {})}
