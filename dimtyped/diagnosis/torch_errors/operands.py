"""The failed operation and its operands: of the user's expression, or of the layer of torch's that it calls."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dimtyped.diagnosis.code_edits import code_of
from dimtyped.diagnosis.placements import placement_of
from dimtyped.diagnosis.torch_errors.callables import is_torchs
from dimtyped.diagnosis.torch_errors.evaluation import Evaluator
from dimtyped.diagnosis.torch_errors.expression import expression_at
from dimtyped.diagnosis.torch_errors.failure import Failure, Operand
from dimtyped.diagnosis.torch_errors.frames import Frame
from dimtyped.diagnosis.torch_errors.naming import Names, parameter_names
from dimtyped.diagnosis.torch_errors.operand_edits import Root
from dimtyped.diagnosis.torch_errors.operation import Operation, Part
from dimtyped.diagnosis.torch_errors.placed_results import placement_of_result
from dimtyped.diagnosis.torch_errors.scene import Scene
from dimtyped.diagnosis.torch_errors.stand_ins import Label, NamedWorld, Unknown, World, sizes_of

_TORCH = f"{Path(torch.__file__).parent}/"
_MOST_PARTS = 16  # arguments that are looked at


def known_operands(scene: Scene) -> tuple[Operand, ...]:
    """The operands of an expression that are known, where others are not."""
    world = World()
    evaluator = Evaluator(scene.frame.values, scene.frame.names, world)
    parts = [part for node in _arguments_in(scene.root) for part in _had(evaluator, node)]
    return _operands(parts, world, scene.names, scene.frame)


def may_be_torchs(scene: Scene) -> bool:
    """True if the exception may come from an operator of torch's, if its arguments are not known."""
    if scene.inner:
        return scene.inner[0].code.co_filename.startswith(_TORCH)
    if not isinstance(scene.root, ast.Call):
        return isinstance(scene.root, ast.BinOp | ast.Compare | ast.Subscript | ast.AugAssign | ast.Assign)
    try:
        function = Evaluator(scene.frame.values, scene.frame.names, World()).value(scene.root.func)
    except Unknown:  # a method, of a tensor maybe
        return isinstance(scene.root.func, ast.Attribute)
    return is_torchs(function)


def failure_at(scene: Scene, world: World) -> Failure | None:
    """The failed operation of the user's expression, or of the layer of torch's that it calls; None if it is not known."""
    try:
        evaluator = Evaluator(scene.frame.values, scene.frame.names, world)
        operation = _operation(evaluator, scene)
        _tell_apart(operation, world)
        operands = _operands(_parts(operation), world, scene.names, scene.frame)
    except Unknown:
        return _failure_inside(scene, world)
    if operation.name.startswith("layer "):
        return _failure_inside(scene, world)
    return Failure(operation, operands, scene.reason)


def _operation(evaluator: Evaluator, scene: Scene) -> Operation:
    """The failed operation; for an expression that failed as a condition, its conversion to a bool."""
    if "Boolean value of Tensor" in scene.reason and isinstance(scene.root, ast.expr):
        part = Part(scene.root, evaluator.value(scene.root), code_of(scene.root))
        return Operation("bool", bool, [part])
    return evaluator.operation(scene.root)


def _failure_inside(scene: Scene, world: World) -> Failure | None:
    """The operation of the layer that failed, below the user's frame, with the user's words for what is his."""
    frame = next((frame for frame in scene.inner if isinstance(frame.values.get("self"), torch.nn.Module)), None)
    if frame is None:
        return None
    layer: torch.nn.Module = frame.values["self"]
    given = _given_to(layer, scene, world)
    expression = expression_at(frame)
    try:
        if expression is None or expression.text.startswith(("ValueError(", "RuntimeError(", "AssertionError(")):
            raise Unknown
        operation = Evaluator(frame.values, frame.names, world).operation(expression.node)
        operands = _operands(_parts(operation), world, scene.names, frame)
    except Unknown:
        return _of_arguments(layer, given, scene, world)
    name = _name_in(scene.frame.values.get("self"), layer)
    theirs = tuple(_as_users(operand, world, layer, name, given, scene.names.declared) for operand in operands)
    return Failure(operation, theirs, scene.reason)


def _of_arguments(layer: torch.nn.Module, given: list[Part], scene: Scene, world: World) -> Failure | None:
    """The call of a layer whose own code says what is wrong: its arguments, and no more."""
    operation = Operation(type(layer).__name__, _never, given)
    operands = _operands(_parts(operation), world, scene.names, scene.frame)
    sizes = {str(number) for operand in operands for number in (*operand.sizes, operand.rank)}
    is_mentioned = sizes & set(re.findall(r"\d+", scene.reason))
    is_split = any(operand.placement is not None for operand in operands)
    return Failure(operation, operands, scene.reason) if is_mentioned or is_split else None


def _name_in(module: Any, layer: torch.nn.Module) -> str:
    """The path of a layer in the user's module, else its class: `net.2`."""
    held = module.named_modules() if isinstance(module, torch.nn.Module) else ()
    return next((path for path, each in held if each is layer and path), type(layer).__name__)


def _never(*_: Any) -> Any:
    raise Unknown


def _given_to(layer: torch.nn.Module, scene: Scene, world: World) -> list[Part]:
    """The arguments of the user's expression, if it calls this layer."""
    if not isinstance(scene.root, ast.Call):
        return []
    try:
        evaluator = Evaluator(scene.frame.values, scene.frame.names, world)
        return evaluator.arguments(scene.root) if evaluator.value(scene.root.func) is layer else []
    except Unknown:
        return []


def _as_users(
    operand: Operand, world: World, layer: torch.nn.Module, name: str, given: list[Part], declared: frozenset[str]
) -> Operand:
    """An operand of a layer's own code in the user's words: his argument, or the layer's parameter.

    An axis of a parameter has a name that a module declares, or the one that torch's documentation gives it; a name that
    the call has bound to the same size is another dimension's.
    """
    if operand.text.startswith("self."):
        path = operand.text.removeprefix("self.")
        roles = parameter_names(layer, path)
        labels = tuple(
            label if label.name in declared or place >= len(roles) else replace(label, names=(roles[place],))
            for place, label in enumerate(operand.labels)
        )
        return replace(operand, text=f"{name}.{path}", labels=labels, node=None)
    original = world.originals.get(id(operand.tensor))
    alike = [part for part in given if original is not None and world.originals.get(id(part.value)) is original]
    parameters: tuple[str, ...] = type(layer).forward.__code__.co_varnames[1:]
    place = parameters.index(operand.text) if operand.text in parameters else len(given)
    found = next(iter(alike or given[place : place + 1]), None)
    if found is None:
        return replace(operand, text=f"input of {name}", node=None)
    return replace(operand, text=found.text, node=found.node)


def _tell_apart(operation: Operation, world: World) -> None:
    """Gives each argument a stand-in of its own where two are the same tensor: `scores(x, x)`."""
    seen: set[int] = set()
    for part in (*operation.args, *operation.kwargs.values()):
        if isinstance(part.value, Tensor):
            if id(part.value) in seen:
                part.value = world.twin(part.value)
            seen.add(id(part.value))


def _parts(operation: Operation) -> list[Part]:
    """The arguments that are tensors, those in lists too; `out` is none of them."""
    given = [*operation.args, *(part for name, part in operation.kwargs.items() if name != "out")]
    return [each for part in given[:_MOST_PARTS] for each in _flattened(part)]


def _flattened(part: Part) -> Iterator[Part]:
    if isinstance(part.value, Tensor):
        yield part
    elif isinstance(part.value, list | tuple):
        nodes = part.node.elts if isinstance(part.node, ast.List | ast.Tuple) else []
        is_whole = len(nodes) == len(part.value)  # pyright: ignore[reportUnknownArgumentType]  # a user's list
        for place, value in enumerate(part.value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # as above
            node = nodes[place] if is_whole else None
            text = code_of(node) if node is not None else f"{part.text}[{place}]"
            yield from _flattened(Part(node, value, text))


def _operands(parts: list[Part], world: World, names: Names, frame: Frame) -> tuple[Operand, ...]:
    """The operands, each tensor once."""
    named = Evaluator(frame.values, frame.names, NamedWorld(names.labels))
    evaluator = Evaluator(frame.values, frame.names, world)
    each = {id(part.value): part for part in reversed(parts) if isinstance(part.value, Tensor)}
    return tuple(_operand(part, world, names, named, evaluator) for part in reversed(each.values()))


def _operand(part: Part, world: World, names: Names, named: Evaluator, evaluator: Evaluator) -> Operand:
    tensor: Tensor = part.value
    original = world.originals.get(id(tensor))
    labels = names.labels(original) if original is not None else labels_by_origin(part.node, tensor, names, named)
    device = world.devices.get(id(tensor), tensor.device)
    dtype = original.dtype if original is not None else tensor.dtype
    placement = placement_of(original) if original is not None else placement_of_result(part.node, tensor, evaluator)
    if placement is not None and placement.is_known:
        labels = tuple(replace(label, mark=placement.mark(axis)) for axis, label in enumerate(labels))
    return Operand(part.text, labels, dtype, device, part.node, tensor, placement)


def labels_by_origin(node: ast.expr | None, tensor: Tensor, names: Names, named: Evaluator) -> tuple[Label, ...]:
    """The labels of a computed tensor: of the axes that it was made from, and by their sizes where those are not known."""
    sizes, world = sizes_of(tensor), named.world
    found: tuple[Label | None, ...] = (None,) * len(sizes)
    try:
        other = named.value(node) if node is not None and isinstance(world, NamedWorld) else None
        if isinstance(other, Tensor) and isinstance(world, NamedWorld) and other.dim() == len(sizes):
            found = world.labels_of(other, sizes)
    except Unknown:
        pass
    return tuple(label or names.label(size) for label, size in zip(found, sizes, strict=True))


# Expressions of which only a part can be had --------------------------------------------------------------------------


def _arguments_in(root: Root) -> list[ast.expr]:
    """The code of the arguments of an operation."""
    match root:
        case ast.BinOp(left=left, right=right) | ast.Compare(left=left, comparators=[right]):
            return [left, right]
        case ast.Subscript(value=value):
            return [value]
        case ast.AugAssign(target=target, value=value):
            return [target, value]
        case ast.Call(func=function, args=args, keywords=keywords):
            receiver = [function.value] if isinstance(function, ast.Attribute) else []
            return [*receiver, *args, *(keyword.value for keyword in keywords)]
        case _:
            return []


def _had(evaluator: Evaluator, node: ast.expr) -> list[Part]:
    try:
        value: Any = evaluator.value(node)
    except Unknown:
        return []
    return [Part(node, value, code_of(node))] if isinstance(value, Tensor) else []
