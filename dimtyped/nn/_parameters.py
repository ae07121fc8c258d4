"""The shapes of a layer's parameters: what may be assigned, and what a checkpoint must hold."""

from __future__ import annotations

from typing import Any

import torch

from dimtyped._describe import shape_text
from dimtyped._errors import TyingError
from dimtyped._scope import short_repr
from dimtyped.nn._caller import by_framework
from dimtyped.nn._ties import owner_of

def check_assignment(layer: Any, name: str, parameter: torch.nn.Parameter) -> None:
    """Refuses a parameter whose shape is not the declared one.

    Frameworks may: FSDP registers flat views, quantisers packed ones. They know what they do.

    Raises:
        TyingError: the shapes differ.
    """
    expected = expected_shape(layer, name)
    if expected is None or tuple(parameter.shape) == expected or by_framework():
        return
    raise _wrong_shape(layer, name, parameter, expected)


def expected_shape(layer: Any, name: str) -> tuple[int, ...] | None:
    """The shape that the layer declares for a parameter; None where it declares none, or not yet."""
    axes = layer._dim_parameter_axes(name)
    if axes is None:
        return None
    try:
        sizes = layer._dim_sizes
    except AttributeError:  # torch's constructor has not set them yet
        return None
    expressions = [axis.rpartition("=")[2] for axis in axes.split()]
    return tuple(int(eval(axis, {"__builtins__": {}}, sizes)) for axis in expressions)  # our own declaration's text


def named_shape(layer: Any, name: str, shape: tuple[int, ...]) -> str:
    """A parameter's shape with its dimensions' names: `(vocab=1000, hidden=256)`."""
    axes = layer._dim_parameter_axes(name)
    if axes is None or len(axes.split()) != len(shape):
        return shape_text(shape)
    return f"({', '.join(f'{label}={size}' for label, size in zip(axis_labels(layer, axes), shape, strict=True))})"


def axis_labels(layer: Any, axes: str) -> list[str]:
    """The axes of a parameter by the names that the user gave; `kernel_height=3` is a size that only has a label."""
    labels = layer._dim_labels
    return [labels.get(axis, axis).partition("=")[0] for axis in axes.split()]


def explain_sizes(layer: Any, state_dict: Any, prefix: str, error_msgs: list[str]) -> None:
    """Adds the dimension's name to torch's own words on a checkpoint that does not fit."""
    for index, message in enumerate(error_msgs):
        for name in layer._parameters:
            if message.startswith(f"size mismatch for {prefix}{name}:") and "in the checkpoint, " not in message:
                error_msgs[index] = message + _by_dimension(layer, name, state_dict[prefix + name])


def _by_dimension(layer: Any, name: str, saved: torch.Tensor) -> str:
    expected = expected_shape(layer, name)
    axes = layer._dim_parameter_axes(name)
    if expected is None or len(expected) != saved.dim():
        return ""
    wrong = [
        f"{label}: {have} in the checkpoint, {want} in the model"
        for label, have, want in zip(axis_labels(layer, axes), saved.shape, expected, strict=True)
        if have != want
    ]
    return f"\n\t  {'; '.join(wrong)}" if wrong else ""


def tying_error(layer: Any, embedding: Any, ours: tuple[int, ...], theirs: tuple[int, ...]) -> TyingError:
    """The error for two weights that cannot be one."""
    hint = _assignment_hint(layer, "weight", theirs, ours, (embedding, "weight"))
    error = TyingError(
        f"tie: the weights of {_layer_text(layer)} and {_layer_text(embedding)} differ in shape: "
        f"{_named(layer, ours)} and {_named(embedding, theirs)}\n\n  {hint}"
    )
    error.where, error.argument, error.hint, error.expected, error.actual = "tie", "layer", hint, theirs, ours
    wrong = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), None)
    if wrong is not None and hasattr(layer, "_dim_labels"):
        error.dim = axis_labels(layer, layer._dim_parameter_axes("weight"))[wrong]
    return error


def _layer_text(layer: Any) -> str:
    return layer._dim_text() if hasattr(layer, "_dim_text") else short_repr(layer)


def _named(layer: Any, shape: tuple[int, ...]) -> str:
    return named_shape(layer, "weight", shape) if hasattr(layer, "_dim_text") else shape_text(shape)


def _wrong_shape(layer: Any, name: str, parameter: torch.nn.Parameter, expected: tuple[int, ...]) -> TyingError:
    where = f"{type(layer).__name__}.{name}"
    shape = tuple(parameter.shape)
    owner = owner_of(parameter)
    source, given = "", named_shape(layer, name, shape) if len(shape) == len(expected) else shape_text(shape)
    if owner is not None:
        given = named_shape(owner[0], owner[1], shape)
        source = f", the {owner[1]} of {owner[0]._dim_text()}"
    hint = _assignment_hint(layer, name, shape, expected, owner)
    error = TyingError(
        f"{where}: cannot be assigned a parameter of shape {given}{source}\n"
        f"    must be  {named_shape(layer, name, expected)}    declared by {layer._dim_text()}"
        + (f"\n\n  {hint}" if hint else "")
    )
    labels = axis_labels(layer, layer._dim_parameter_axes(name))
    wrong = [i for i, (a, b) in enumerate(zip(shape, expected)) if a != b] if len(shape) == len(expected) else []
    error.where, error.argument, error.hint = where, name, hint
    error.dim = labels[wrong[0]] if wrong else ""
    error.expected, error.actual = expected, shape
    return error


def _assignment_hint(
    layer: Any, name: str, shape: tuple[int, ...], expected: tuple[int, ...], owner: tuple[Any, str] | None
) -> str:
    is_embedding = owner is not None and isinstance(owner[0], torch.nn.Embedding)
    if name != "weight" or not is_embedding or len(shape) != 2 or len(expected) != 2:
        return "Give it a parameter of the declared shape, or declare the layer with the sizes of this one."
    if shape[0] == expected[0]:
        return (
            "An output layer can share the embedding's weight only at the embedding's width. Use "
            f"nn.TiedDecoder(embedding, hidden={expected[1]}, project=True), or declare Linear({shape[1]}, {shape[0]})."
        )
    return f"Declare Linear({shape[1]}, {shape[0]}), which has a weight of shape {shape_text(shape)}."
