"""Evaluates the user's expressions on shapes alone: on stand-ins for the tensors, without running code of the user's."""

from __future__ import annotations

import ast
import builtins
import operator
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from dimtyped.diagnosis.code_edits import code_of
from dimtyped.diagnosis.torch_errors import layers
from dimtyped.diagnosis.torch_errors.attributes import attribute_of
from dimtyped.diagnosis.torch_errors.callables import (
    ATTRIBUTES,
    BINARY,
    FACTORIES,
    NEVER,
    UNARY,
    is_pure,
    may_run_as_operation,
    method_of_tensors,
    name_of,
    without_check,
)
from dimtyped.diagnosis.torch_errors.light import made as made_light
from dimtyped.diagnosis.torch_errors.operation import Operation, Part
from dimtyped.diagnosis.torch_errors.stand_ins import Unknown, World

_CONTAINERS = (torch.nn.ModuleList, torch.nn.Sequential, torch.nn.ModuleDict)


class Evaluator:
    """Evaluates expressions of one frame.

    Args:
        values: The frame's variables.
        names: Its globals.
        world: Makes the stand-ins for the tensors.
    """

    def __init__(self, values: Mapping[str, Any], names: Mapping[str, Any], world: World) -> None:
        self._values = values
        self._names = names
        self.world = world

    def value(self, node: ast.expr) -> Any:
        """The value of an expression.

        Raises:
            Unknown: it cannot be known from shapes alone.
        """
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self.world.value(self._named(name))
            case ast.Attribute(value=inner, attr=name):
                return self._attribute(self.value(inner), name)
            case ast.Tuple(elts=items) | ast.List(elts=items):
                made = self._items(items)
                return tuple(made) if isinstance(node, ast.Tuple) else made
            case ast.Slice(lower=lower, upper=upper, step=step):
                return slice(*(part and self.value(part) for part in (lower, upper, step)))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self._truth(test) else orelse)
            case ast.UnaryOp() | ast.BinOp() | ast.Compare() | ast.Subscript() | ast.Call():
                return self._result(node)
            case _:
                raise Unknown

    def operation(self, node: ast.expr | ast.AugAssign | ast.Assign) -> Operation:
        """The last step of an expression, or of a statement that writes to a tensor; not run yet.

        Raises:
            Unknown: an argument cannot be known.
        """
        match node:
            case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
                if type(op) not in BINARY:
                    raise Unknown
                name, function = BINARY[type(op)]
                return Operation(name, function, [self._part(left), self._part(right)])
            case ast.AugAssign(target=ast.Name() | ast.Attribute() | ast.Subscript() as target, op=op, value=value):
                in_place: Callable[..., Any] = getattr(operator, f"i{BINARY[type(op)][0]}")
                return Operation("iop", in_place, [self._part(target), self._part(value)], is_pure=False)
            case ast.Assign(targets=[ast.Subscript(value=target, slice=index) as place], value=value):
                parts = [self._part(part) for part in (target, index, value)]
                return Operation("setitem", _assign, [*parts, *self._target(place)], is_pure=False)
            case ast.UnaryOp(op=op, operand=operand):
                return Operation(name_of(UNARY[type(op)]), UNARY[type(op)], [self._part(operand)])
            case ast.Subscript(value=value, slice=index):
                return Operation("getitem", self._item, [self._part(value), self._part(index)])
            case ast.Call():
                return self._call(node)
            case _:
                raise Unknown

    def _target(self, place: ast.Subscript) -> list[Part]:
        """The part that is written to; an empty list if the index does not fit."""
        try:
            return [self._part(place)]
        except Unknown:
            return []

    # Parts ------------------------------------------------------------------------------------------------------------

    def _part(self, node: ast.expr) -> Part:
        return Part(node, self.value(node), code_of(node))

    def _result(self, node: ast.expr) -> Any:
        operation = self.operation(node)
        if not operation.is_pure:
            raise Unknown
        try:
            found = operation()
        except Unknown:
            raise
        except Exception as error:  # the operators of an inner part did not raise for the user
            raise Unknown from error
        return self._placed(found, operation)

    def _placed(self, found: Any, operation: Operation) -> Any:
        """The result, with the device that it would be on."""
        given = [part.value for part in (*operation.args, *operation.kwargs.values()) if isinstance(part.value, Tensor)]
        devices = [self.world.devices[id(tensor)] for tensor in given if id(tensor) in self.world.devices]
        for tensor in found if isinstance(found, tuple | list) else (found,):  # pyright: ignore[reportUnknownVariableType]  # any result
            if isinstance(tensor, Tensor) and id(tensor) not in self.world.devices:
                self.world.place(tensor, devices[0] if devices else torch.device("cpu"))
        return found

    def _named(self, name: str) -> Any:
        for names in (self._values, self._names, vars(builtins)):
            if name in names:
                return names[name]
        raise Unknown

    def _items(self, nodes: list[ast.expr]) -> list[Any]:
        made: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                made += self._iterated(node.value)
            else:
                made.append(self.value(node))
        return made

    def _iterated(self, node: ast.expr) -> list[Any]:
        value = self.value(node)
        if not isinstance(value, list | tuple):
            raise Unknown
        return list(cast("list[Any]", value))

    def _truth(self, node: ast.expr) -> bool:
        value = self.value(node)
        if not isinstance(value, bool | int | str | None):
            raise Unknown
        return bool(value)

    def _attribute(self, value: Any, name: str) -> Any:
        if not isinstance(value, Tensor):
            return self.world.value(attribute_of(value, name))
        if name == "device":
            return self.world.devices.get(id(value), value.device)
        if name in ("T", "H") and value.dim() > 2:
            return value.permute(*reversed(range(value.dim())))  # without torch's warning
        original = self.world.originals.get(id(value))
        if name not in ATTRIBUTES:
            if original is not None and name in vars(original):  # a user's own attribute on a tensor
                return self.world.value(vars(original)[name])
            raise Unknown
        return self._of(value, getattr(value, name))

    def _of(self, tensor: Tensor, found: Any) -> Any:
        if isinstance(found, Tensor) and id(found) not in self.world.devices:
            self.world.place(found, self.world.devices.get(id(tensor), tensor.device))
        return found

    def _item(self, value: Any, index: Any) -> Any:
        if isinstance(value, Tensor):
            return value[index]
        if isinstance(value, _CONTAINERS):
            key = str(index % len(value) if isinstance(index, int) else index)
            if key not in value._modules:
                raise Unknown
            return value._modules[key]
        is_plain = type(value) in (list, dict, str, torch.Size) or (
            isinstance(value, tuple) and type(value).__getitem__ is tuple.__getitem__  # pyright: ignore[reportUnknownMemberType]  # any tuple
        )
        if not is_plain:
            raise Unknown
        return self.world.value(value[index])

    # Calls ------------------------------------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Operation:
        kwargs = self._keywords(node)
        if isinstance(node.func, ast.Attribute):
            receiver = self.value(node.func.value)
            if isinstance(receiver, Tensor):
                return self._method(receiver, node.func, self.arguments(node), kwargs)
            if isinstance(receiver, torch.Size | tuple) and node.func.attr in ("numel", "index", "count"):
                return Operation(node.func.attr, getattr(receiver, node.func.attr), self.arguments(node), kwargs)  # pyright: ignore[reportUnknownArgumentType]  # any tuple
        function = without_check(self.value(node.func))
        args = self.arguments(node)
        if isinstance(function, torch.nn.Module):
            return self._layer(function, code_of(node.func), args)
        if name_of(function) in FACTORIES and may_run_as_operation(function):
            return Operation(name_of(function), self._factory(function), args, kwargs)
        if is_pure(function) or may_run_as_operation(function):
            return Operation(name_of(function), function, args, kwargs, is_pure(function))
        raise Unknown

    def arguments(self, node: ast.Call) -> list[Part]:
        """The positional arguments of a call."""
        parts: list[Part] = []
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                text = code_of(argument.value)
                parts += [Part(None, value, f"{text}[{i}]") for i, value in enumerate(self._iterated(argument.value))]
            else:
                parts.append(self._part(argument))
        return parts

    def _keywords(self, node: ast.Call) -> dict[str, Part]:
        parts: dict[str, Part] = {}
        for keyword in node.keywords:
            if keyword.arg is not None:
                parts[keyword.arg] = self._part(keyword.value)
                continue
            held, text = self.value(keyword.value), code_of(keyword.value)
            if not isinstance(held, dict):
                raise Unknown
            for name, value in cast("dict[str, Any]", held).items():
                parts[name] = Part(None, value, f"{text}[{name!r}]")
        return parts

    def _method(
        self, receiver: Tensor, function: ast.Attribute, args: list[Part], kwargs: dict[str, Part]
    ) -> Operation:
        name = function.attr
        method = method_of_tensors(name)
        if method is None:
            raise Unknown
        first = Part(function.value, receiver, code_of(function.value))
        if name in NEVER:
            return Operation(name, _unknown, [first, *args], kwargs, is_pure=False)
        if name in ("to", "cuda", "cpu", "type_as"):
            return Operation(name, self._moved(name), [first, *args], kwargs)
        return Operation(name, method, [first, *args], kwargs, is_pure(method))

    def _moved(self, name: str) -> Callable[..., Tensor]:
        """A method that changes a tensor's device or dtype: here the device is only noted."""

        def move(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            given = [*args, *kwargs.values()]
            other = next((value for value in given if isinstance(value, Tensor)), None)
            dtype = other.dtype if other is not None else next((v for v in given if isinstance(v, torch.dtype)), None)
            made = (
                made_light(tensor.shape, dtype or tensor.dtype) if tensor.is_meta else tensor.to(dtype or tensor.dtype)
            )
            made = tensor.view_as(tensor) if made is tensor else made
            device = self.world.devices.get(id(other)) if other is not None else _device_in(name, given)
            self.world.place(made, device or self.world.devices.get(id(tensor), tensor.device))
            return made

        return move

    def _factory(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that makes a tensor, which is made without numbers here."""

        def make(*args: Any, **kwargs: Any) -> Any:
            device = kwargs.pop("device", None)
            kwargs.pop("generator", None)
            kwargs.pop("pin_memory", None)
            made = function(*args, **kwargs, device="meta")
            self.world.place(made, torch.device(device) if device is not None else torch.get_default_device())
            return made

        return make

    def _layer(self, layer: torch.nn.Module, text: str, args: list[Part]) -> Operation:
        parameters = layers.parameters_of(layer)
        held = {name: self.world.stand_in(parameter) for name, parameter in parameters.items()}
        parts = {name: Part(None, value, f"{text}.{name}") for name, value in held.items()}

        def run(*values: Any, **_: Any) -> Any:
            return layers.result_of(layer, list(values), held)

        return Operation(f"layer {type(layer).__name__}", run, args, parts)


def _unknown(*_: Any, **__: Any) -> Any:
    """Stands in for a function that must not run."""
    raise Unknown


def _assign(target: Any, index: Any, value: Any, _: Any = None) -> None:
    target[index] = value


def _device_in(name: str, given: list[Any]) -> torch.device | None:
    if name in ("cuda", "cpu"):
        return torch.device(name)
    found = next((value for value in given if isinstance(value, torch.device | str | int)), None)
    return torch.device(found) if found is not None and not isinstance(found, bool) else None
