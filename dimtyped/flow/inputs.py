"""Inputs made from annotations: tensors of chosen sizes, and plain values for other parameters."""

import enum
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from dimtyped.annotations import (
    AnythingHint,
    ArrayHint,
    Hint,
    ItemsHint,
    Kind,
    MappingHint,
    Parameter,
    RecordHint,
    TupleHint,
    UnionHint,
    arrays_in,
)
from dimtyped.errors import DeclarationError
from dimtyped.flow.sizes import shapes_of

_DTYPES = (torch.float32, torch.int64, torch.bool, torch.complex64, torch.float64, torch.bfloat16, torch.float16)
_PLAIN: dict[Any, Any] = {bool: False, int: 2, float: 0.5, complex: 1j, str: "", type(None): None}
_LENGTHS = ("lengths", "length", "lens", "len")
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class Maker:
    """Makes the arguments of one call.

    Args:
        where: The function, as errors name it.
        parameters: Its parameters.
        values: The values that the `{...}` of an annotation read.
        device: The device of the tensors.
        dtype: The dtype of floats.
        option: Which of a union's annotations of tensors to take, if it has as many; else the first.
    """

    where: str
    parameters: tuple[Parameter, ...]
    values: Mapping[str, Any]
    device: torch.device
    dtype: torch.dtype
    option: int = 0

    def arrays(self, given: Iterable[str], *, optional: bool) -> list[ArrayHint]:
        """The annotations of the inputs."""
        return [array for p in self._made(given, optional=optional) for array in arrays_in(p.hint)]

    def make(self, given: Mapping[str, Any], sizes: Mapping[str, int], *, optional: bool) -> dict[str, Any]:
        """The arguments by name: those given, and one for each other parameter.

        Args:
            given: Arguments that are used as they are.
            sizes: A size for each name.
            optional: If True, also makes arguments whose default is None.

        Raises:
            DeclarationError: A parameter without a default has no annotation from which a value can be made.
        """
        made = {p.name: self._value(p, p.hint, sizes) for p in self._made(given, optional=optional)}
        return {p.name: made.get(p.name, given.get(p.name)) for p in self.parameters if p.name in {*made, *given}}

    def options(self, given: Iterable[str]) -> int:
        """The most annotations of tensors that a union of the inputs has; 1 if none is a union."""
        unions = (p.hint for p in self._made(given, optional=True) if isinstance(p.hint, UnionHint))
        return max((sum(bool(arrays_in(option)) for option in hint.options) for hint in unions), default=1) or 1

    def has_optional(self, given: Iterable[str]) -> bool:
        """True if there are tensors that a call may leave out."""
        return len(self.arrays(given, optional=True)) > len(self.arrays(given, optional=False))

    def _made(self, given: Iterable[str], *, optional: bool) -> list[Parameter]:
        left = [p for p in self.parameters if p.name not in set(given) and p.kind not in _VARIADIC]
        return [p for p in left if not p.has_default or (optional and p.default is None and arrays_in(p.hint))]

    def _value(self, parameter: Parameter, hint: Hint, sizes: Mapping[str, int]) -> Any:
        match hint:
            case ArrayHint():
                return self._tensor(parameter, hint, sizes)
            case UnionHint(options=options):
                of_tensors = [option for option in options if arrays_in(option)] or [options[0]]
                chosen = of_tensors[self.option if self.option < len(of_tensors) else 0]
                return self._value(parameter, chosen, sizes)
            case TupleHint(items=items):
                return tuple(self._value(parameter, item, sizes) for item in items)
            case ItemsHint(cls=cls, item=item):
                items = [self._value(parameter, item, sizes) for _ in range(2)]
                return cls(items) if cls in (tuple, set, frozenset) else items
            case MappingHint(value=value):
                return {key: self._value(parameter, value, sizes) for key in "ab"}
            case RecordHint(cls=cls, fields=fields):
                return cls(**{name: self._value(parameter, inner, sizes) for name, inner in fields})
            case _:
                return self._plain(parameter, hint)

    def _tensor(self, parameter: Parameter, array: ArrayHint, sizes: Mapping[str, int]) -> Any:
        shape = shapes_of(array, sizes, self.values)
        dtypes = [dtype for dtype in (self.dtype, *_DTYPES) if array.dtypes is None or dtype in array.dtypes]
        dtype = dtypes[0] if dtypes else next(iter(array.dtypes or ()))
        if array.packed:
            data = torch.zeros(shape[0] * shape[1], *shape[2:], dtype=dtype, device=self.device)
            return PackedSequence(data, torch.full((shape[1],), shape[0]))
        if dtype.is_floating_point or dtype.is_complex:
            return torch.rand(shape, dtype=dtype, device=self.device)
        filled = self._longest(parameter, array, sizes) if _is_lengths(parameter.name) else 1
        return torch.full(shape, filled, dtype=dtype, device=self.device)

    def _longest(self, parameter: Parameter, array: ArrayHint, sizes: Mapping[str, int]) -> int:
        """The size of the axis that lengths are along: the one behind the lengths' own, in another tensor."""
        own = [axis.name for axis in array.axes]
        for other in self.parameters:
            for candidate in arrays_in(other.hint):
                names = [axis.name for axis in candidate.axes if axis.kind is Kind.NAME]
                if other is not parameter and names[: len(own)] == own and len(names) > len(own):
                    return sizes.get(names[len(own)], 1)
        return 1

    def _plain(self, parameter: Parameter, hint: Hint) -> Any:
        annotation: Any = hint.annotation
        if isinstance(hint, AnythingHint):
            raise self._cannot_make(parameter, "has neither an annotation nor a default")
        if annotation in _PLAIN:
            return _PLAIN[annotation]
        if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
            return next(iter(annotation))
        if annotation is torch.device:
            return self.device
        if annotation is torch.dtype:
            return self.dtype
        raise self._cannot_make(parameter, f"is annotated {getattr(annotation, '__name__', annotation)}")

    def _cannot_make(self, parameter: Parameter, why: str) -> DeclarationError:
        name = parameter.name
        hint = f'{name}: Float[Tensor, "batch seq"]'
        return DeclarationError(
            f"{self.where}: no input can be made for `{name}`, which {why}\n"
            f"  Give it to check: check(target, {name}=...), or annotate it: {hint}."
        )


def sizes_in(parameters: Iterable[Parameter], given: Mapping[str, Any]) -> dict[str, int]:
    """The sizes that given tensors have, by the names of their annotations."""
    found: dict[str, int] = {}
    for parameter in parameters:
        value, hint = given.get(parameter.name), parameter.hint
        array = hint if isinstance(hint, ArrayHint) else next(iter(arrays_in(hint)), None)
        if (
            isinstance(value, Tensor)
            and array is not None
            and len(array.axes) == value.dim()
            and array.variadic is None
        ):
            sizes = zip(array.axes, value.shape, strict=True)
            found.update((axis.name, size) for axis, size in sizes if axis.kind is Kind.NAME)
    return found


def bind(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The given arguments by name.

    Raises:
        DeclarationError: The function does not take them.
    """
    signature = inspect.signature(function)
    try:
        return dict(signature.bind_partial(*args, **kwargs).arguments)
    except TypeError as error:
        text = f"{where}{signature} does not accept the arguments given to check: {error}"
        raise DeclarationError(f"{text}\n  Give check(target, ...) the arguments of a call.") from None


def called(function: Any, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments by name as positional and keyword arguments of a call."""
    bound = inspect.BoundArguments(inspect.signature(function), dict(arguments))
    return bound.args, bound.kwargs


def _is_lengths(name: str) -> bool:
    return "length" in name or name.rpartition("_")[2] in _LENGTHS
