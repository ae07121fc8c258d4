"""An example call as data: for each axis of each tensor, the name that is its size."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from dimtyped.annotations import ArrayHint, Axis, Kind, linear, unknown_names
from dimtyped.diagnosis import annotated_tensors
from dimtyped.engine import CheckedFunction, entry_of
from dimtyped.errors import DeclarationError, with_fields

_PLACEHOLDER = re.compile(r"\{(.*?)\}")


@dataclass(frozen=True, slots=True)
class Dynamic:
    """A size that changes from call to call: `factor * name + offset`."""

    name: str
    factor: int = 1
    offset: int = 0


ANY = Dynamic("")
"""A size that has no name: torch finds out whether it changes."""
AxisSize: TypeAlias = Dynamic | None
"""The size of one axis. None: it never changes."""
TensorSizes: TypeAlias = tuple[Tensor, tuple[AxisSize, ...]]
"""A tensor, and the sizes of its axes."""


@dataclass(frozen=True)
class ExampleCall:
    """The sizes of one call, by the names of its annotations.

    Attributes:
        where: The function, as errors name it.
        arguments: The arguments by the name of their parameter.
        sizes: The size of each name in this call.
        declared: The names whose size never changes.
        axes: The sizes of the axes of each annotated tensor of each argument, in the order in which the argument holds them;
            one tensor may be given several times, with other annotations.
    """

    where: str
    arguments: Mapping[str, Any]
    sizes: Mapping[str, int]
    declared: frozenset[str]
    axes: Mapping[str, Sequence[TensorSizes]] = field(default_factory=dict[str, "Sequence[TensorSizes]"])

    @property
    def names(self) -> tuple[str, ...]:
        """The names whose size changes from call to call, in order."""
        known = (size for tensors in self.axes.values() for _, sizes in tensors for size in sizes if size is not None)
        return tuple(dict.fromkeys(size.name for size in known if size.name))

    def map(self, write: Callable[[Tensor, tuple[AxisSize, ...]], Any]) -> dict[str, Any]:
        """The arguments with each tensor replaced by what `write` gives for it, and other values by None."""
        return {
            name: _mapped(value, functools.partial(_written, write, list(self.axes.get(name, ()))))
            for name, value in self.arguments.items()
        }


def _written(write: Callable[[Tensor, tuple[AxisSize, ...]], Any], annotated: list[TensorSizes], tensor: Tensor) -> Any:
    """What `write` gives for a tensor: for one that is given several times, with each annotation in turn."""
    place = next((place for place, (each, _) in enumerate(annotated) if each is tensor), None)
    return write(tensor, (None,) * tensor.dim() if place is None else annotated.pop(place)[1])  # None: static


def _mapped(value: Any, written: Callable[[Tensor], Any]) -> Any:
    if isinstance(value, Tensor):
        return written(value)
    if isinstance(value, dict):
        return {key: _mapped(each, written) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(each, written) for each in value))
    if isinstance(value, list | tuple):
        return type(value)(_mapped(each, written) for each in value)
    if (node := pytree.SUPPORTED_NODES.get(type(value))) is not None:  # a dataclass that was registered
        return [_mapped(each, written) for each in node.flatten_fn(value)[0]]
    return None


def read_call(target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ExampleCall:
    """The sizes of a call of a module or a typed function.

    Raises:
        DeclarationError: The target is neither, or has no annotations that are checked.
        DimensionError: The call does not fit its annotations.
        TypeError: The target does not take these arguments.
    """
    checked, owner = _checked_of(target)
    given = (target, *args) if owner is not None else args
    arguments = dict(inspect.signature(checked.declaration.function).bind(*given, **kwargs).arguments)
    values = checked.declaration.values_of(given, kwargs)
    error = checked.explainer.find_error(values)
    if error is not None:
        raise error
    declaration = checked.declaration
    parameters = declaration.signature.parameters
    named = dict(zip((parameter.name for parameter in parameters), values, strict=True))
    found = checked.explainer.findings_of(named)
    declared = frozenset(declaration.declared(owner))
    sizes = {name: int(binding.size) for name, binding in found.bindings.items()}
    reader = _Reader(sizes, declared, declaration.paths(values))
    axes: dict[str, list[TensorSizes]] = {}
    for parameter in parameters:
        value = named[parameter.name]
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            pairs = [pair for each in value for pair in annotated_tensors(parameter.hint, each)]
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            pairs = [pair for each in value.values() for pair in annotated_tensors(parameter.hint, each)]
        else:
            pairs = list(annotated_tensors(parameter.hint, value))
        axes[parameter.name] = [(tensor, tuple(reader.read(array, tensor))) for array, tensor in pairs]
    if owner is not None:
        arguments.pop(next(iter(arguments)))
    return ExampleCall(checked.signature.where, arguments, sizes, declared, axes)


def _checked_of(target: Any) -> tuple[CheckedFunction, torch.nn.Module | None]:
    """The checked function of a target, and the module where it is one's `forward`."""
    is_module = isinstance(target, torch.nn.Module)
    checked = entry_of(inspect.unwrap(type(target).forward, stop=_is_checked) if is_module else target)
    if checked is None:
        name = f"{type(target).__name__}.forward" if is_module else repr(target)
        hint = "annotate it in jaxtyping: in a dimtyped.nn.Module, or under @typed; with DIMTYPED=off nothing is known of it"
        raise with_fields(
            DeclarationError(f"{name} has no annotations that are checked\n  {hint[0].upper()}{hint[1:]}."),
            where=name,
            expected="an annotated forward or a typed function",
            actual=name,
            hint=hint,
        )
    return checked, target if is_module else None


def _is_checked(function: Any) -> bool:
    return entry_of(function) is not None


@dataclass(frozen=True)
class _Reader:
    """Reads annotations in one call.

    Attributes:
        sizes: The size of each name.
        declared: The names whose size never changes.
        paths: The values that `{...}` in an annotation reads.
    """

    sizes: Mapping[str, int]
    declared: frozenset[str]
    paths: Mapping[str, Any]

    def read(self, array: ArrayHint, tensor: Tensor) -> Iterator[AxisSize]:
        """The size of each axis of a tensor that fits its annotation."""
        many = array.variadic
        before = array.axes if many is None else array.axes[:many]
        behind = () if many is None else array.axes[many + 1 :]
        between = tensor.dim() - len(before) - len(behind)
        shape = tuple(tensor.shape)
        for axis, size in zip(before, shape, strict=False):
            yield self._size(axis, size)
        for index in range(between if many is not None else 0):
            place = len(before) + index
            # broadcast runs are aligned at their last axis
            number = between - 1 - index if array.axes[len(before)].broadcast else index
            yield self._of_run(array.axes[len(before)], number, shape[place])
        for axis, size in zip(behind, shape[len(shape) - len(behind) :], strict=True):
            yield self._size(axis, size)

    def _of_run(self, axis: Axis, number: int, size: int) -> AxisSize:
        if axis.kind is not Kind.NAME:
            return ANY
        if axis.broadcast:
            return None if size == 1 else ANY
        return None if axis.name in self.declared else Dynamic(f"{axis.name}_{number}")

    def _size(self, axis: Axis, size: int) -> AxisSize:
        if axis.broadcast and size == 1:
            return None
        match axis.kind:
            case Kind.ANY:
                return ANY
            case Kind.SIZE:
                return None
            case Kind.NAME:
                return None if axis.name in self.declared else Dynamic(axis.name)
            case Kind.EXPRESSION:
                return self._of_expression(axis.name)

    def _of_expression(self, expression: str) -> AxisSize:
        text = _PLACEHOLDER.sub(
            lambda part: str(eval(part[1], {}, dict(self.paths))), expression
        )  # the annotation's own
        free = unknown_names(text, self.declared)
        if not free:
            return None
        found = linear(text, free[0]) if len(free) == 1 else None
        if found is None:
            return ANY
        factor, offset = (
            eval(part, {name: self.sizes[name] for name in self.declared & self.sizes.keys()}) for part in found
        )
        return Dynamic(free[0], factor, offset) if factor > 0 else ANY
