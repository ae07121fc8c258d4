"""Names for the axes of the user's tensors: from the typed calls around the error, and what their modules declare."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dimtyped.annotations import ArrayHint, Axis, Kind
from dimtyped.diagnosis.annotated_values import annotated_tensors, spread_axes
from dimtyped.diagnosis.enclosing_calls import Declared, typed_calls
from dimtyped.diagnosis.mismatch import Call, Findings
from dimtyped.diagnosis.snapshots import snapshot
from dimtyped.diagnosis.torch_errors.frames import Frame
from dimtyped.diagnosis.torch_errors.stand_ins import Label, sizes_of
from dimtyped.names import Scope, is_scope, labels_of, scope_of

_MOST_CALLS = 6
_LAYERS = {
    torch.nn.Linear: {"weight": ("out_features", "in_features"), "bias": ("out_features",)},
    torch.nn.Embedding: {"weight": ("vocab", "embed")},
    torch.nn.modules.conv._ConvNd: {"weight": ("out_channels", "in_channels"), "bias": ("out_channels",)},  # pyright: ignore[reportPrivateUsage]  # the class that all convolutions share
}
"""Names of the first axes of the parameters of plain layers, which declare none."""


@dataclass
class CallNames:
    """The names of one typed call.

    Args:
        where: The function.
        is_users: True for a user's function, False for a layer's.
        owner: The module whose method it is, if any.
        sizes: Each name with its size, those that the module declares too.
        origins: Where each name has its size from.
        arguments: The names of the axes of each tensor that was given, by its id.
        products: Pairs of names that stand side by side in an annotation.
        declared: The names that the module declares.
    """

    where: str
    is_users: bool
    owner: Any
    sizes: dict[str, int]
    origins: dict[str, str] = field(default_factory=dict[str, str])
    arguments: dict[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])
    products: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    declared: frozenset[str] = frozenset()


class Names:
    """Names the axes of tensors.

    Args:
        calls: The typed calls around the error, nearest first; their names count in this order, users' functions first.
    """

    def __init__(self, calls: Iterable[CallNames]) -> None:
        found = list(calls)
        self.calls = [*(call for call in found if call.is_users), *(call for call in found if not call.is_users)]

    def labels(self, tensor: Tensor) -> tuple[Label, ...]:
        """The labels of one of the user's tensors: those of its annotation where it was an argument, else by its sizes."""
        sizes = sizes_of(tensor)
        for call in self.calls:
            names = call.arguments.get(id(tensor), ())
            if len(names) == len(sizes):
                return tuple(_labelled(name, self.label(size)) for name, size in zip(names, sizes, strict=True))
        return tuple(self.label(size, may_be_product=not isinstance(tensor, torch.nn.Parameter)) for size in sizes)

    def label(self, size: int, *, may_be_product: bool = True) -> Label:
        """The label of an axis of which only the size is known; a parameter's axis is no product of a call's."""
        if size <= 1:
            return Label(size)
        for call in self.calls:
            names = tuple(name for name, other in call.sizes.items() if other == size)
            if names:
                return Label(size, names)
        return Label(size, self._product(size) if may_be_product else ())

    def _product(self, size: int) -> tuple[str, ...]:
        """The one product of neighbors in an annotation that has this size, as `x.view(-1, vocab)` makes it."""
        found: set[str] = set()
        for call in self.calls:
            for left, right in call.products:
                sizes = call.sizes.get(left, 0), call.sizes.get(right, 0)
                if min(sizes) > 1 and sizes[0] * sizes[1] == size:
                    found.add(f"{left}*{right}")
        return tuple(found) if len(found) == 1 else ()

    def bindings(self) -> dict[str, int]:
        """Every name with its size; of a name that several calls use, the nearest call's."""
        return {name: size for call in reversed(self.calls) for name, size in call.sizes.items()}

    @property
    def declared(self) -> frozenset[str]:
        """The names that a module declares."""
        return frozenset(name for call in self.calls for name in call.declared)

    def origins(self, names: Iterable[str]) -> dict[str, str]:
        """Where these names have their sizes from."""
        known = {name: origin for call in reversed(self.calls) for name, origin in call.origins.items()}
        return {name: known[name] for name in names if name in known}


def _labelled(name: str, by_size: Label) -> Label:
    if not name:
        return by_size
    return Label(by_size.size, () if name.isdigit() else (name,))


def names_around(frames: list[Frame]) -> Names:
    """The names of the typed calls among these frames."""
    running = [frame for frame in frames if frame.is_wrapper]
    calls = typed_calls((frame.code, frame.names, frame.values) for frame in running[: 2 * _MOST_CALLS])
    found = (_names_of(declared, values) for declared, values in calls)
    return Names(call for call, _ in zip(found, range(_MOST_CALLS), strict=False))


def parameter_names(layer: torch.nn.Module, parameter: str) -> tuple[str, ...]:
    """Names of the first axes of a layer's parameter, where it is a plain one of torch's."""
    for cls, names in _LAYERS.items():
        if isinstance(layer, cls):
            words = names.get(parameter, ())
            known: Mapping[str, str] = labels_of(layer)
            return tuple(known.get(word, word) for word in words)
    return ()


def _names_of(declared: Declared, values: Mapping[str, Any]) -> CallNames:
    signature, owner = declared.signature, declared.owner(tuple(values.values()))
    seen = {name: snapshot(value) for name, value in values.items()}
    found = Call(signature, declared.declared(owner), seen, paths=values, owner=owner).check()
    fixed = frozenset(name for name, binding in found.bindings.items() if binding.is_declared)
    call = CallNames(signature.where, declared.is_users, owner, {}, declared=fixed)
    for name, size, origin in (*_bound(found), *_derived(owner)):
        if isinstance(size, int) and name not in call.sizes:
            call.sizes[name], call.origins[name] = int(size), origin
    for parameter in signature.parameters:
        for array, tensor in annotated_tensors(parameter.hint, values.get(parameter.name)):
            words = spread_axes(array.axes, tensor.dim())
            if words is not None:
                call.arguments.setdefault(id(tensor), _words(words, tensor, call.sizes))
            call.products += _neighbors(array)
    return call


def _bound(found: Findings) -> Iterator[tuple[str, Any, str]]:
    bindings = sorted(found.bindings.items(), key=lambda item: item[1].is_declared)  # those of the call first
    for name, binding in bindings:
        yield name, binding.size, binding.place if binding.is_declared else f"from `{binding.place}`"


def _derived(owner: Any) -> Iterator[tuple[str, Any, str]]:
    """The expressions that a module declares: `2*hidden`."""
    scope: Scope | None = scope_of(owner) if is_scope(owner) else None
    for claim in scope.deciding if scope is not None else ():
        if not claim.name.isidentifier():
            yield claim.name, claim.size, f"declared by {type(owner).__name__}.{claim.owner}"


def _words(words: list[tuple[int, Axis]], tensor: Tensor, sizes: Mapping[str, int]) -> tuple[str, ...]:
    """The name of each axis, or its number; empty where the annotation has neither."""
    names = [""] * tensor.dim()
    for place, axis in words:
        if axis.kind is Kind.NAME and sizes.get(axis.name) == tensor.shape[place]:
            names[place] = axis.name
        elif axis.kind is Kind.SIZE:
            names[place] = str(axis.size)
        elif axis.kind is Kind.EXPRESSION and "{" not in axis.text:
            names[place] = axis.label or axis.name
    return tuple(names)


def _neighbors(array: ArrayHint) -> Iterator[tuple[str, str]]:
    axes = array.axes
    for left, right in itertools.pairwise(axes):
        if left.kind is Kind.NAME and right.kind is Kind.NAME and not left.many and not right.many:
            yield left.name, right.name
