"""Random right calls of layers, each size known by its name, and the same calls with one size broken."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch.utils import _pytree as pytree

from dimtyped import DimensionError, nn

SIZES = st.integers(1, 4)


@dataclass(frozen=True)
class Index:
    """Numbers of classes, in a tensor of these axes."""

    axes: str
    high: int


@dataclass(frozen=True)
class Place:
    """One axis of one argument, or of one part of it."""

    argument: str
    part: int
    axis: int
    name: str


@dataclass(frozen=True)
class Call:
    """One way to make a layer and one way to call it.

    Args:
        kind: The layer's name in `torch.nn`.
        arguments: What its constructor is given.
        sizes: The size of each name.
        shapes: The axes of each argument of `forward`, by these names or expressions over them.
        declared: The names that the constructor fixes.
    """

    kind: str
    arguments: dict[str, Any]
    sizes: dict[str, int]
    shapes: dict[str, Any]
    declared: tuple[str, ...] = ()
    training: bool = True
    constants: dict[str, Any] = field(default_factory=dict)

    def typed(self) -> torch.nn.Module:
        return self._make(nn)

    def plain(self) -> torch.nn.Module:
        return self._make(torch.nn)

    def _make(self, namespace: Any) -> torch.nn.Module:
        torch.manual_seed(0)
        return getattr(namespace, self.kind)(**self.arguments).train(self.training)

    def inputs(self, broken: Place | None = None, size: int = 0) -> dict[str, Any]:
        """What the layer is called with; `size` in place of the right one at one place."""
        torch.manual_seed(1)
        return {name: self._value(name, shape, broken, size) for name, shape in self.shapes.items()} | self.constants

    def _value(self, argument: str, shape: Any, broken: Place | None, size: int) -> Any:
        parts = [
            self._tensor(Place(argument, part, -1, ""), axes, broken, size) for part, axes in enumerate(_parts(shape))
        ]
        return tuple(parts) if isinstance(shape, tuple) else parts[0]

    def _tensor(self, at: Place, axes: str | Index, broken: Place | None, size: int) -> torch.Tensor:
        shape = [self.size_of(name) for name in _names(axes)]
        if broken is not None and (broken.argument, broken.part) == (at.argument, at.part):
            shape[broken.axis] = size
        if isinstance(axes, Index):
            return torch.randint(0, axes.high, shape)
        return torch.rand(shape, requires_grad=at.argument != "target")  # some losses have no gradient of it

    def size_of(self, name: str) -> int:
        return int(eval(name, {}, self.sizes))

    def places(self) -> list[Place]:
        """Every axis whose size something else fixes: the constructor, or another argument."""
        uses = Counter(word for place in self._axes() for word in set(_words(place.name)))
        return [
            place
            for place in self._axes()
            if all(word in self.declared or uses[word] > 1 for word in _words(place.name))
        ]

    def _axes(self) -> Iterator[Place]:
        for argument, shape in self.shapes.items():
            for part, axes in enumerate(_parts(shape)):
                for axis, name in enumerate(_names(axes)):
                    yield Place(argument, part, axis, name)


def _parts(shape: Any) -> tuple[Any, ...]:
    return shape if isinstance(shape, tuple) else (shape,)


def _names(axes: str | Index) -> list[str]:
    return (axes.axes if isinstance(axes, Index) else axes).split()


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z_]\w*", name)


def outcome(layer: torch.nn.Module, inputs: dict[str, Any], args: tuple[Any, ...] = ()) -> list[Any]:
    """What a call gives, and its gradients."""
    torch.manual_seed(2)
    results = [leaf for leaf in pytree.tree_leaves(layer(*args, **inputs)) if isinstance(leaf, torch.Tensor)]
    total = torch.stack([result.double().sum() for result in results]).sum()
    if total.requires_grad:
        total.backward()
    given = [leaf for leaf in pytree.tree_leaves((args, inputs)) if isinstance(leaf, torch.Tensor)]
    return [*results, *(leaf.grad for leaf in given), *(parameter.grad for parameter in layer.parameters())]


def assert_accepted(call: Call) -> None:
    """The call gives torch's numbers, bit for bit."""
    assert_same(outcome(call.typed(), call.inputs()), outcome(call.plain(), call.inputs()))


def assert_same(ours: list[Any], theirs: list[Any]) -> None:
    """Two outcomes are the same, bit for bit."""
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        assert (our is None) == (their is None)
        assert our is None or torch.equal(our.nan_to_num(), their.nan_to_num())


def assert_refused(call: Call, place: Place, size: int, *, check_after_error: bool = True) -> DimensionError:
    """The call with one size broken is refused by the name of what was broken."""
    with pytest.raises(DimensionError) as refused:
        call.typed()(**call.inputs(place, size))
    error = refused.value
    assert set(_words(place.name)) & set(_words(error.dim)), (place, error)
    assert error.argument in call.shapes
    assert error.dim in str(error)
    if check_after_error:
        with pytest.raises(Exception) as theirs:  # noqa: PT011  # of whatever kind
            call.plain()(**call.inputs(place, size))
        assert isinstance(error, theirs.type)
    return error


def broken(call: Call) -> st.SearchStrategy[tuple[Place, int]]:
    """A place of the call, and a size that does not belong there; never 1, which torch may broadcast."""
    return st.sampled_from(call.places()).flatmap(
        lambda place: st.tuples(st.just(place), st.integers(call.size_of(place.name) + 1, call.size_of(place.name) + 3))
    )
