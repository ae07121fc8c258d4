"""The shapes of a layer's parameters, and the check of assignments."""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from dimtyped.errors import DeclarationError, TyingError, declaration_error
from dimtyped.names import shape_text, short_repr
from dimtyped.nn.tying import owner_of, tie_of
from dimtyped.runtime import by_framework

_NAME = re.compile(r"[A-Za-z_]\w*")
_MAKING = "_dim_making"


def check_assignment(layer: Any, name: str, parameter: torch.nn.Parameter) -> None:
    """Rejects a parameter whose shape is not the declared one.

    Frameworks may assign other shapes: FSDP registers flat views, quantizers packed tensors.

    Raises:
        TyingError: the shapes differ.
    """
    if _MAKING in layer.__dict__ or (type(parameter) is not torch.nn.Parameter and is_lazy(parameter)):
        return
    held: torch.Tensor | None = layer._parameters.get(name)
    _check_names(layer, name, parameter, held)
    if held is not None and held.shape == parameter.shape:  # as FSDP2 does at each call
        return
    expected = expected_shape(layer, name)
    if expected is None or tuple(parameter.shape) == expected or by_framework():
        return
    raise _wrong_shape(layer, name, parameter, expected)


def _check_names(layer: Any, name: str, parameter: torch.nn.Parameter, held: torch.Tensor | None) -> None:
    """Rejects another layer's square parameter whose two named sizes are this layer's in reverse order.

    Raises:
        TyingError: the names are reversed.
    """
    if parameter is held or parameter.dim() != 2 or parameter.shape[0] != parameter.shape[1]:
        return
    ours = _given_names(layer, name)
    owner = owner_of(parameter) if ours is not None else None
    theirs = _given_names(*owner) if owner is not None and owner[0] is not layer else None
    if ours is None or theirs is None or owner is None or ours[0] == ours[1] or theirs != ours[::-1] or by_framework():
        return
    where = f"{type(layer).__name__}.{name}"
    raise declaration_error(
        where,
        f"{where}: cannot be the {owner[1]} of {_layer_text(owner[0])}, whose axes are in reverse order\n"
        f"    must be  {named_shape(layer, name, tuple(parameter.shape))}    declared by {layer._dim_text()}\n"
        f"    got      {named_shape(*owner, tuple(parameter.shape))}",
        f"Both are {parameter.shape[0]}, so torch would compute with a transposed weight. Transpose the other layer's "
        f"weight where you use it, as in F.linear(x, other.{owner[1]}.T).",
        kind=TyingError,
        argument=name,
        dim=ours[0],
        expected=ours,
        actual=theirs,
    )


def _given_names(layer: Any, name: str) -> tuple[str, str] | None:
    """The names of a matrix's two axes, if both sizes were given as Dims."""
    given: Mapping[str, str] = layer.__dict__.get("_dim_roles", {})
    axes = (layer._dim_parameter_axes(name) or "").split() if given else ()
    return (given[axes[0]], given[axes[1]]) if len(axes) == 2 and all(axis in given for axis in axes) else None


def changed_in_place(layer: Any) -> tuple[str, tuple[int, ...], tuple[int, ...]] | None:
    """A parameter whose shape is no longer the declared one, as after `weight.data = ...`, with both shapes.

    Flattened and packed parameters of frameworks have another number of axes or a class of their own.
    """
    for name, parameter in layer._parameters.items():
        expected = expected_shape(layer, name) if type(parameter) is torch.nn.Parameter else None
        if expected is not None and len(expected) == parameter.dim() and tuple(parameter.shape) != expected:
            return name, tuple(parameter.shape), expected
    return None


def changed_text(layer: Any, name: str, shape: tuple[int, ...]) -> str:
    """The text for a parameter that was changed in place."""
    declared = named_shape(layer, name, expected_shape(layer, name) or ())
    return f"its {name} is {shape_text(shape)}, declared {declared}"


def changed_hint(layer: Any, name: str, shape: tuple[int, ...]) -> str:
    """The fix for a parameter that was changed in place."""
    if isinstance(layer, torch.nn.Embedding) or tie_of(layer, "weight") is not None:
        rows = shape[0] if name == "weight" else layer.weight.shape[0]
        return f"use embedding.resized({rows}) instead of assigning to `.data`: it also changes the sizes and the tied layers"
    return "make a new layer of these sizes instead of assigning to `.data`, which does not change the declared ones"


@contextmanager
def made_by_torch(layer: Any) -> Generator[None]:
    """A context for torch's constructor, whose parameters are not checked: they have the declared shapes."""
    outermost = _MAKING not in layer.__dict__
    layer.__dict__[_MAKING] = True
    try:
        yield
    finally:
        if outermost:
            del layer.__dict__[_MAKING]


def expected_shape(layer: Any, name: str) -> tuple[int, ...] | None:
    """The shape that the layer declares for a parameter; None if it declares none, or not yet."""
    axes = layer._dim_parameter_axes(name)
    if axes is None:
        return None
    try:
        sizes = layer._dim_sizes
    except AttributeError:  # torch's constructor has not set them yet
        return None
    expressions = [axis.rpartition("=")[2] for axis in axes.split()]
    return tuple(sizes[axis] if axis in sizes else _evaluated(axis, sizes) for axis in expressions)


def _evaluated(expression: str, sizes: Mapping[str, int]) -> int:
    return int(
        eval(_compiled(expression), {"__builtins__": {}}, dict(sizes))
    )  # the text of a declaration in this package


@functools.cache
def _compiled(expression: str) -> types.CodeType:
    return compile(expression, "<a parameter's axes>", "eval")


def named_shape(layer: Any, name: str, shape: tuple[int, ...]) -> str:
    """A parameter's shape with its dimensions' names: `(vocab=1000, hidden=256)`."""
    axes = layer._dim_parameter_axes(name)
    if axes is None or len(axes.split()) != len(shape):
        return shape_text(shape)
    labels = zip(axis_labels(layer, axes), shape, strict=True)
    return f"({', '.join(str(size) if label.isdigit() else f'{label}={size}' for label, size in labels)})"


def axis_labels(layer: Any, axes: str) -> list[str]:
    """The axes of a parameter with the user's names; in `kernel_height=3` the size only has a label."""
    return [axis_label(layer, axis) for axis in axes.split()]


def axis_label(layer: Any, axis: str) -> str:
    """The text of one axis, `3*hidden`, with the user's name."""
    name, is_size, _ = axis.partition("=")
    labels = layer._dim_labels
    return name if is_size else _NAME.sub(lambda found: labels.get(found[0], found[0]), name)


def tying_error(layer: Any, embedding: Any, ours: tuple[int, ...], theirs: tuple[int, ...]) -> DeclarationError:
    """The error for two weights that cannot be shared."""
    is_declared = hasattr(layer, "_dim_labels")
    labels = axis_labels(layer, layer._dim_parameter_axes("weight")) if is_declared else []
    return declaration_error(
        "tie",
        f"the weights of {_layer_text(layer)} and {_layer_text(embedding)} differ in shape: "
        f"{_named(layer, 'weight', ours)} and {_named(embedding, 'weight', theirs)}",
        _assignment_hint(layer, "weight", theirs, ours, (embedding, "weight")),
        kind=TyingError,
        argument="layer",
        dim=_first_difference(labels, ours, theirs),
        expected=theirs,
        actual=ours,
        bindings=_bindings(labels, ours),
    )


def _layer_text(layer: Any) -> str:
    return layer._dim_text() if hasattr(layer, "_dim_text") else short_repr(layer)


def _named(layer: Any, name: str, shape: tuple[int, ...]) -> str:
    return named_shape(layer, name, shape) if hasattr(layer, "_dim_text") else shape_text(shape)


def _wrong_shape(layer: Any, name: str, parameter: torch.nn.Parameter, expected: tuple[int, ...]) -> DeclarationError:
    where = f"{type(layer).__name__}.{name}"
    shape = tuple(parameter.shape)
    owner = owner_of(parameter)
    source, given = "", _named(layer, name, shape)
    if owner is not None:
        given = _named(owner[0], owner[1], shape)
        source = f", the {owner[1]} of {_layer_text(owner[0])}"
    labels = axis_labels(layer, layer._dim_parameter_axes(name))
    return declaration_error(
        where,
        f"cannot be assigned a parameter of shape {given}{source}\n"
        f"    must be  {named_shape(layer, name, expected)}    declared by {layer._dim_text()}",
        _assignment_hint(layer, name, shape, expected, owner),
        kind=TyingError,
        argument=name,
        dim=_first_difference(labels, shape, expected),
        expected=expected,
        actual=shape,
        bindings=_bindings(labels, expected),
    )


def _first_difference(labels: list[str], shape: tuple[int, ...], other: tuple[int, ...]) -> str:
    """The label of the first axis that differs; empty if the numbers of axes differ."""
    if len(shape) != len(other):
        return ""
    return next((label for label, a, b in zip(labels, shape, other, strict=False) if a != b), "")


def _bindings(labels: list[str], sizes: tuple[int, ...]) -> dict[str, int]:
    """The declared size of each axis that has a name."""
    return {label: size for label, size in zip(labels, sizes, strict=False) if not label.isdigit()}


def _assignment_hint(
    layer: Any, name: str, shape: tuple[int, ...], expected: tuple[int, ...], owner: tuple[Any, str] | None
) -> str:
    if isinstance(layer, torch.nn.Embedding) and name == "weight" and len(shape) == 2:
        return f"Declare Embedding({shape[0]}, {shape[1]}), or give it a matrix of the declared shape."
    is_embedding = owner is not None and isinstance(owner[0], torch.nn.Embedding)
    if name != "weight" or not is_embedding or len(shape) != 2 or len(expected) != 2:
        if len(shape) == 2 and shape == expected[::-1]:
            return "It is transposed: give it nn.Parameter(matrix.T.contiguous())."
        return "Give it a parameter of the declared shape, or declare the layer with the sizes of this one."
    if shape[0] == expected[0]:
        return (
            "An output layer can share the embedding's weight only if it has the embedding's width. Use "
            f"nn.TiedDecoder(embedding, hidden={expected[1]}, project=True), or declare Linear({shape[1]}, {shape[0]})."
        )
    return f"Declare Linear({shape[1]}, {shape[0]}), which has a weight of shape {shape_text(shape)}."
