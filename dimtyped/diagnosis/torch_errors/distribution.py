"""Causes that lie in how tensors are split over devices: DTensor refuses what fits as a whole."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from dimtyped.diagnosis.torch_errors.evaluation import Evaluator
from dimtyped.diagnosis.torch_errors.failure import Clash, Operand, phrase
from dimtyped.diagnosis.torch_errors.scene import Scene
from dimtyped.diagnosis.torch_errors.stand_ins import Unknown, World

_DISTRIBUTED = f"{Path(torch.__file__).parent}/distributed/"
_OF_DTENSORS = re.compile("DTensor|DeviceMesh")
_WHOLE = "every size fits as a whole, and torch cannot do it with these parts"


def clash_in(message: str, operands: Sequence[Operand]) -> Clash | None:
    """What torch's message says of how operands are split, in names; None for messages of other kinds."""
    if not any(operand.placement is not None for operand in operands) and not _OF_DTENSORS.search(message):
        return None
    for pattern, read in _PATTERNS.items():
        found = re.search(pattern, message)
        if found is not None:
            return read(found, operands)
    return None


def clash_of_dtensors(scene: Scene, operands: Sequence[Operand], *, fits: bool) -> Clash | None:
    """What is known of another error that DTensor's own code raised.

    Args:
        scene: Where it came from.
        operands: The operands.
        fits: True if the operation passes on whole sizes.
    """
    if not _is_dtensors(scene):
        return None
    axis = _missing_axis(scene, operands)
    if axis is not None:
        return axis
    if not any(operand.placement is not None for operand in operands):
        return None
    return Clash(_WHOLE if fits else "")


def _is_dtensors(scene: Scene) -> bool:
    """True for an error that DTensor's own code raised."""
    is_inside = any(frame.code.co_filename.startswith(_DISTRIBUTED) for frame in scene.inner)
    return is_inside or scene.reason != scene.message


# Torch's messages -----------------------------------------------------------------------------------------------------


def _mixed(_: re.Match[str], operands: Sequence[Operand]) -> Clash:
    """A local tensor meets a DTensor."""
    local = [operand for operand in operands if operand.placement is None]
    split = [operand for operand in operands if operand.placement is not None]
    if not local or not split:
        return Clash("a local tensor meets a DTensor")
    first, other = _chosen(local), split[0]
    text = f"`{first.text}` is a local tensor, `{other.text}` is a DTensor"
    if first.node is not None:
        made = f"DTensor.from_local({first.text}, {other.text}.device_mesh)"
        hint = f"If `{first.text}` is the same on every rank: `{made}`. Else distribute it as `{other.text}` is."
    elif other.node is not None:  # a layer's parameter, and what the layer was given
        hint = (
            f"Split `{first.text.rpartition('.')[0]}` too, or give it the whole tensor: `{other.text}.full_tensor()`."
        )
    else:
        hint = ""
    return Clash(text, hint=hint)


def _chosen(local: Sequence[Operand]) -> Operand:
    """The local tensor that the code has, rather than one of a layer's parameters."""
    return next((operand for operand in local if operand.node is not None), local[0])


def _meshes(_: re.Match[str], operands: Sequence[Operand]) -> Clash | None:
    """DTensors on different meshes."""
    placed = [(operand, operand.placement.mesh) for operand in operands if operand.placement is not None]
    for other, mesh in placed[1:]:
        if mesh != placed[0][1]:
            first, size = placed[0]
            text = f"`{first.text}` is on the mesh ({_mesh_text(size)}), `{other.text}` on ({_mesh_text(mesh)})"
            return Clash(text, hint="Distribute both over one mesh.")
    return Clash("the DTensors are on different meshes", hint="Distribute both over one mesh.")


def _mesh_text(mesh: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name}={size}" for name, size in mesh)


def _uneven(found: re.Match[str], operands: Sequence[Operand]) -> Clash | None:
    """A new size that the devices do not divide."""
    size, number, parts = int(found[1]), int(found[2]), int(found[3])
    for operand in operands:
        if operand.placement is None or number >= len(operand.placement.mesh):
            continue
        name = operand.placement.mesh[number][0]
        split = [label for label in operand.labels if f"@{name}" in label.mark]
        what = phrase(split[0]) if split else f"`{operand.text}`"
        text = f"{what} is split over the {parts} devices of {name}, which do not divide {size}"
        whole = f"{operand.text}.redistribute(placements=...)"
        hint = f"Choose a multiple of {parts}, or make `{operand.text}` whole on {name} before: {whole}."
        return Clash(text, labels=tuple(split), hint=hint)
    return None


def _reshaped(found: re.Match[str], operands: Sequence[Operand]) -> Clash | None:
    """A view that changes an axis that is split."""
    axis = int(found[1])
    for operand in operands:
        if operand.placement is not None and axis < operand.rank:
            label = operand.labels[axis]
            text = f"the view changes {phrase(label)}, which is split"
            return Clash(
                text, labels=(label,), hint=f"Redistribute `{operand.text}` before, so that this axis is whole."
            )
    return None


def _partial(_: re.Match[str], __: Sequence[Operand]) -> Clash:
    return Clash("a tensor cannot be made partial: only operators make partial sums")


def _no_rule(_: re.Match[str], operands: Sequence[Operand]) -> Clash:
    texts = [f"{operand.text}.full_tensor()" for operand in operands if operand.placement is not None]
    hint = f"Call it on the whole tensor: `{texts[0]}`." if texts else ""
    return Clash("torch has no rule that splits this operator over devices", hint=hint)


_PATTERNS: dict[str, Callable[[re.Match[str], Sequence[Operand]], Clash | None]] = {
    r"got mixed torch.Tensor and DTensor": _mixed,
    r"on inputs with different meshes|(?:same|different|single|multiple|across) (?:device )?mesh": _meshes,
    r"\(size (\d+)\) is not evenly divisible by mesh dimension (\d+) \(size (\d+)\)": _uneven,
    r"would remove or reshape sharded dimension (\d+)": _reshaped,
    r"to P(?:artial)?\(.*\)(?:,| not supported)": _partial,
    r"does not have a sharding strategy|^aten\.\w+\.\w+$": _no_rule,
}


# Placements in the code -----------------------------------------------------------------------------------------------


def _missing_axis(scene: Scene, operands: Sequence[Operand]) -> Clash | None:
    """`Shard(5)` in the code, for a tensor that has no such axis."""
    if not operands or not isinstance(scene.root, ast.Call):
        return None
    tensor = operands[0]
    evaluator = Evaluator(scene.frame.values, scene.frame.names, World())
    for argument in (*scene.root.args, *(keyword.value for keyword in scene.root.keywords)):
        for dim in _split_axes(argument, evaluator):
            if not -tensor.rank <= dim < tensor.rank:
                return Clash(f"`{tensor.text}` has {tensor.rank} axes, and Shard({dim}) splits another one")
    return None


def _split_axes(node: ast.expr, evaluator: Evaluator) -> list[int]:
    """The axes that placements name, written as a list or held by a variable."""
    if isinstance(node, ast.List | ast.Tuple):
        return [dim for item in node.elts for dim in _split_axes(item, evaluator)]
    try:
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Shard":
            found = [part.value for part in evaluator.arguments(node)]
            return [dim for dim in found if isinstance(dim, int)]
        value = evaluator.value(node)
    except Unknown:
        return []
    held = value if isinstance(value, list | tuple) else (value,)
    return [dim for each in held for dim in (getattr(each, "dim", None),) if isinstance(dim, int)]
