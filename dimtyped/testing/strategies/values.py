"""A value for each hint: tensors that fit together, containers of them, and plain values."""

from __future__ import annotations

import collections
from dataclasses import dataclass
from typing import Any, cast

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from dimtyped.annotations import (
    AnythingHint,
    ArrayHint,
    ClassHint,
    Hint,
    ItemsHint,
    MappingHint,
    Parameter,
    RecordHint,
    TupleHint,
    UnionHint,
)
from dimtyped.errors import DeclarationError
from dimtyped.testing.strategies.fill import Fill, ValueConstraint
from dimtyped.testing.strategies.lengths import is_lengths, padded_axis
from dimtyped.testing.strategies.packing import draw_packed
from dimtyped.testing.strategies.sizes import Sides, Sizes, draw_shape
from dimtyped.testing.strategies.target import Target
from dimtyped.testing.strategies.tensors import VOCABULARY, draw_tensor, rare_dtypes

_DTYPES = (
    torch.float32,
    torch.int64,
    torch.bool,
    torch.complex64,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.int32,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.complex128,
)
_ABOVE_ZERO = ("var", "variance", "variances", "std", "stddev", "sigma", "sigmas", "scale", "scales", "temperature")
MOST_PLAIN = 4
"""The highest plain integer that is drawn."""
_ITEMS = 3
_WIDTH = 3
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    type(None): st.none(),
    bool: st.booleans(),
    int: st.integers(1, MOST_PLAIN),
    float: st.sampled_from([0.5, 1.0, 2.0]),
    complex: st.sampled_from([1j, 1 + 0j]),
    str: st.sampled_from(["text", ""]),
    torch.device: st.just(torch.device("cpu")),
    torch.dtype: st.just(torch.float32),
}


MOSTLY = st.sampled_from((False, True, True, True))
"""Draws True mostly, and False now and then."""


@dataclass
class World:
    """The state that the values of one call share."""

    draw: st.DrawFn
    target: Target
    sizes: Sizes
    sides: Sides


def draw_value(world: World, parameter: Parameter, hint: Hint) -> Any:
    """A value that fits a hint of a parameter."""
    draw = world.draw
    match hint:
        case ArrayHint():
            shape = draw_shape(draw, hint, world.sizes, world.sides)
            fill = fill_of(world.target, world.sizes, parameter.name, hint)
            if hint.packed:
                return draw_packed(draw, shape, fill, world.target.device)
            made = draw_tensor(draw, hint, shape, fill, world.target.device, layouts=world.target.layouts)
            is_padding = parameter.name in world.target.likely and made.dtype is torch.bool and made.dim() > 0
            return _padded_behind(made, is_real="pad" not in parameter.name) if is_padding else made
        case UnionHint(options=options):
            return draw_value(world, parameter, _drawn_option(world, parameter, options))
        case TupleHint(items=items):
            return tuple(draw_value(world, parameter, item) for item in items)
        case ItemsHint(cls=cls, item=item):
            count = drawn_count(world, parameter, st.integers(1, _ITEMS))
            return collected(cls, [draw_value(world, parameter, item) for _ in range(count)])
        case MappingHint(key=key, value=value):
            keys = _keys(world, parameter, key)
            return {key: draw_value(world, parameter, value) for key in keys}
        case RecordHint(cls=cls, fields=fields):
            made = {name: draw_value(world, parameter, inner) for name, inner in fields}
            return _with_keys(hint.annotation, made) if hint.has_keys else cls(**made)
        case _:
            return draw(plain_values(world.target, world.sizes, parameter, hint))


def _with_keys(annotation: Any, values: dict[str, Any]) -> dict[str, Any]:
    """A TypedDict of these values; a key that may be left out is, where its value is None."""
    required = getattr(annotation, "__required_keys__", values)
    return {name: value for name, value in values.items() if value is not None or name in required}


def _padded_behind(mask: Tensor, *, is_real: bool) -> Tensor:
    """The mask with the same number of real places in each sequence, at least one, all in front: the usual padding."""
    counts = (mask == is_real).sum(-1, keepdim=True).clamp(min=1)
    places = torch.arange(mask.shape[-1], device=mask.device).expand(mask.shape)
    return (places < counts) == is_real


def _drawn_option(world: World, parameter: Parameter, options: tuple[Hint, ...]) -> Hint:
    """One of the options of a union, None first."""
    nothing = [option for option in options if isinstance(option, ClassHint) and option.cls is type(None)]
    others = [option for option in options if option not in nothing]
    if nothing and others and parameter.name in world.target.likely:
        return world.draw(st.sampled_from(others)) if world.draw(MOSTLY) else nothing[0]
    return world.draw(st.sampled_from([*nothing, *others]))


def drawn_count(world: World, parameter: Parameter, usual: st.SearchStrategy[int]) -> int:
    """The number of items in the list of a parameter."""
    given = world.target.lengths.get(parameter.name)
    return world.draw(st.sampled_from(given) if given is not None else usual)


def fill_of(target: Target, sizes: Sizes, name: str, hint: ArrayHint) -> Fill:
    """The numbers that a tensor of a parameter may hold: lengths are at least 1 and fit, ids are in the vocabulary."""
    holds = target.holds.get(name, ValueConstraint())
    dtypes = (holds.dtype or target.dtype, *_DTYPES)
    admitted = [dtype for dtype in dtypes if hint.dtypes is None or dtype in hint.dtypes]
    chosen = admitted[0] if admitted else rare_dtypes(hint)[0]
    if chosen.is_floating_point or chosen.is_complex or chosen is torch.bool:
        return Fill(chosen, span=holds.span or span_of(name))
    if holds.below is not None:
        return Fill(chosen, holds.low, _bound(target, sizes, name, holds.below), once=holds.once)
    along = padded_axis(target, name, hint) if is_lengths(name) else ""
    if along:
        longest = sizes.singles[along]
        return Fill(chosen, min(1, longest), longest + 1, reaches=True)
    classes = [size for name, size in sizes.singles.items() if name in VOCABULARY]
    return Fill(chosen, 0, min([target.ids, *classes]), once=holds.once)


def _bound(target: Target, sizes: Sizes, parameter: str, below: int | str) -> int:
    """The upper bound of the integers of a parameter.

    Raises:
        DeclarationError: it is a name that no axis has.
    """
    if isinstance(below, int):
        return below
    if below not in sizes.singles:
        raise DeclarationError(
            f"values: `{parameter}` is to be below `{below}`, but no axis of {target.name} has this name\n"
            f"  It has {', '.join(sizes.singles)}; or give a number, values={{'{parameter}': 10}}."
        )
    return sizes.singles[below]


def span_of(name: str) -> str:
    """The span of the floats for a parameter of this name: a variance is above 0, a probability between 0 and 1."""
    words = name.rstrip("_").split("_")
    if any(word.startswith("prob") for word in words):
        return "unit"
    return "positive" if words[-1] in _ABOVE_ZERO else ""


def plain_values(target: Target, sizes: Sizes, parameter: Parameter, hint: Hint) -> st.SearchStrategy[Any]:
    """Values without tensors.

    Raises:
        DeclarationError: the parameter has no annotation.
    """
    match hint:
        case AnythingHint():
            raise DeclarationError(
                f"{target.signature.where}: `{parameter.name}` has neither an annotation nor a default\n"
                f"  Annotate it: {parameter.name}: int."
            )
        case ClassHint(cls=cls):
            plain = cls[0] if isinstance(cls, tuple) else cls
            holds = target.holds.get(parameter.name)
            if plain is int and holds is not None and holds.below is not None:
                return st.integers(holds.low, _bound(target, sizes, parameter.name, holds.below) - 1)
            _reject_module(target, parameter, plain)
            if plain is PackedSequence:
                return _packed_sequences(target, sizes)
            if plain is Tensor:
                return st.integers(1, 3).map(torch.zeros)
            return _PLAIN[plain] if plain in _PLAIN else st.from_type(plain)
        case _:
            return st.from_type(hint.annotation)


def _reject_module(target: Target, parameter: Parameter, cls: type) -> None:
    """Raises for a parameter that takes a module or an optimizer: its sizes are unknown, so none can be made."""
    if issubclass(cls, torch.nn.Module | torch.optim.Optimizer):
        name, function = parameter.name, target.signature.where.rpartition(".")[2]
        raise DeclarationError(
            f"{target.name}: `{name}` is a {cls.__name__}, which cannot be made: only you know its sizes\n"
            f"  Give it: functools.partial({function}, {name}={cls.__name__}(...))."
        )


def collected(cls: type, items: list[Any]) -> Any:
    """Items as a collection of the annotated class."""
    return cls(items) if cls in (tuple, set, frozenset, collections.deque) else items


def _keys(world: World, parameter: Parameter, key: Hint) -> list[Any]:
    count = world.draw(st.integers(1, _ITEMS))
    if isinstance(key, ClassHint) and key.cls is str:
        return list("abc"[:count])
    strategy = plain_values(world.target, world.sizes, parameter, key)
    return world.draw(st.lists(strategy, min_size=1, max_size=count, unique=True))


def _packed_sequences(target: Target, sizes: Sizes) -> st.SearchStrategy[PackedSequence]:
    """Packed sequences with the width of the first recurrent layer, as many as `batch` says."""
    modules = cast("torch.nn.Module", target.owner).modules() if target.owner is not None else ()
    layer = next((module for module in modules if isinstance(module, torch.nn.RNNBase)), None)
    width = layer.input_size if layer is not None else sizes.singles.get("embed", _WIDTH)
    count = sizes.singles.get("batch")
    lengths = st.lists(st.integers(1, 5), min_size=count or 1, max_size=count or _ITEMS)

    def packed(lengths: list[int], seed: int) -> PackedSequence:
        padded = Fill(target.dtype).make((max(lengths), len(lengths), width), seed).to(target.device)
        return pack_padded_sequence(padded, torch.tensor(lengths), enforce_sorted=False)

    return st.builds(packed, lengths, st.integers(0, 99))
