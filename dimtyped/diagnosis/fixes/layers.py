"""Fixes that depend on the called layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from dimtyped.diagnosis.fixes.fix import Fix, FixContext, reshaped, sizes_of, subject, wanted_array
from dimtyped.diagnosis.fixes.tensor import value_at
from dimtyped.diagnosis.snapshots import Snapshot
from dimtyped.names import are_similar

_INPUTS = ("input", "query", "key", "value", "src", "tgt", "memory")
_CLASSIFIERS = (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss)
_CLASSIFYING = (torch.nn.functional.cross_entropy, torch.nn.functional.nll_loss)
_USUAL_MARK = 255
"""The value that usually marks pixels without a class."""
_IGNORED = -100
"""The label that torch ignores where none is given."""
_SPACES = ("length", "depth", "height", "width")
_NOTHING = Snapshot(type(None))
_CONVOLUTIONS = {
    "Conv1d": 1,
    "Conv2d": 2,
    "Conv3d": 3,
    "ConvTranspose1d": 1,
    "ConvTranspose2d": 2,
    "ConvTranspose3d": 3,
    "conv1d": 1,
    "conv2d": 2,
    "conv3d": 3,
}


def _wants_classes(context: FixContext) -> bool:
    """True for a loss of classes, the layer or the function."""
    return isinstance(context.owner, _CLASSIFIERS) or context.call.signature.function in _CLASSIFYING


def class_axis(context: FixContext) -> Iterator[Fix]:
    """Scores with the classes last, for a loss that expects them second."""
    value = context.argument("input")
    shape = sizes_of(value) if value is not None else None
    if not _wants_classes(context) or value is None or shape is None or len(shape) < 3:
        return
    order = (0, len(shape) - 1, *range(1, len(shape) - 1))
    code = f"input.permute({', '.join(map(str, order))})"
    moved = reshaped(value, tuple(shape[index] for index in order))
    yield Fix(f"The classes must be axis 1: `{code}` fits.", {"input": code}, {"input": moved})


def one_hot(context: FixContext) -> Iterator[Fix]:
    """A one-hot target where class indices are expected."""
    given, target = context.argument("input"), context.argument("target")
    if not _wants_classes(context) or given is None or target is None or target.shape != given.shape:
        return
    axis = min(1, len(given.shape or ()) - 1)
    code, shape = f"target.argmax({axis})", sizes_of(target) or ()
    made = Snapshot(torch.Tensor, dtype=torch.int64, shape=(*shape[:axis], *shape[axis + 1 :]))
    yield Fix(f"Is `target` one-hot? Class indices are expected: `{code}` fits.", {"target": code}, {"target": made})


def sequence_first(context: FixContext) -> Iterator[Fix]:
    """Inputs with the batch first, for an attention or transformer layer that was made without `batch_first`."""
    shapes = {name: sizes_of(context.argument(name) or _NOTHING) or () for name in _INPUTS}
    batched = {name: shape for name, shape in shapes.items() if len(shape) == 3}
    if getattr(context.owner, "batch_first", True) or isinstance(context.owner, torch.nn.RNNBase) or not batched:
        return
    if all(place not in _INPUTS for place in context.places):  # a mask shows its own order, not that of the inputs
        return
    code = {name: f"{name}.permute(1, 0, 2)" for name in batched}
    moved = {name: reshaped(context.call.values[name], (b, a, c)) for name, (a, b, c) in batched.items()}
    *first, last = (f"`{name}`" for name in batched)
    listed = f"{', '.join(first)} and {last}" if first else last
    kind = type(context.owner).__name__
    yield Fix(f"Is the batch first in {listed}? Then make this {kind}(..., batch_first=True).", code, moved)


def lookup(context: FixContext) -> Iterator[Fix]:
    """Integers where features are expected: ids that were not looked up in an embedding."""
    wrong, shape = context.mismatches[0], _shape_of_input(context)
    if shape and wrong.value.dtype in (torch.int64, torch.int32) and isinstance(wrong.expected, int):
        made = Snapshot(torch.Tensor, dtype=torch.float32, shape=(*shape, wrong.expected))
        text = f"If these are token ids, look them up first, in an nn.Embedding(vocab, {wrong.expected})."
        yield Fix(text, {}, {wrong.place: made}, is_general=True, is_other_form=True)


def one_hot_ids(context: FixContext) -> Iterator[Fix]:
    """Ids with a last axis as long as a vocabulary of the module."""
    for place in context.places:
        value, array = value_at(context, place), wanted_array(context, place)
        shape = sizes_of(value) if value is not None else None
        if value is None or not shape or array is None or array.dtypes is None or torch.int64 not in array.dtypes:
            continue
        if torch.float32 in array.dtypes or shape[-1] not in _vocabularies(context.owner):
            continue
        code = f"{subject(place)}.argmax(-1)"
        made = Snapshot(torch.Tensor, dtype=torch.int64, shape=shape[:-1])
        yield Fix(f"Is `{place}` one-hot? Ids are expected: `{code}` fits.", {place: code}, {place: made})


def _vocabularies(owner: object) -> set[int]:
    modules = owner.modules() if isinstance(owner, torch.nn.Module) else ()
    return {
        module.num_embeddings for module in modules if isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag)
    }


def channel_axis(context: FixContext) -> Iterator[Fix]:
    """Images with the channels last."""
    value = context.argument("input")
    name = type(context.owner).__name__ if context.owner is not None else context.call.signature.function.__name__
    spatial = _CONVOLUTIONS.get(name)
    shape = sizes_of(value) if value is not None else None
    if value is None or spatial is None or shape is None or len(shape) not in (spatial + 1, spatial + 2):
        return
    lead = len(shape) - spatial - 1
    order = (*range(lead), len(shape) - 1, *range(lead, len(shape) - 1))
    code = f"input.permute({', '.join(map(str, order))})"
    moved = reshaped(value, tuple(shape[index] for index in order))
    axes = ("the length", "height and width", "depth, height and width")[spatial - 1]
    yield Fix(f"The channels come before {axes}: `{code}` fits.", {"input": code}, {"input": moved})


def projection(context: FixContext) -> Iterator[Fix]:
    """A width that the layer was not made for: remake the layer, or put another one before it."""
    wrong, shape = context.mismatches[0], _shape_of_input(context)
    if wrong.axis is None or not shape:
        return
    made = _maker(context.owner, wrong.axis - len(shape), shape[wrong.axis], wrong.expected)
    if made is not None:
        changed = reshaped(wrong.value, (*shape[: wrong.axis], wrong.expected, *shape[wrong.axis + 1 :]))
        text = f"Make this layer with {_size_words(context)}, or put `{made}` before it."
        yield Fix(text, {wrong.place: f"{made}({wrong.place})"}, {wrong.place: changed}, is_general=True)


def flat_batch(context: FixContext) -> Iterator[Fix]:
    """A feature map whose batch was flattened too; the enclosing calls know the batch."""
    wrong, shape = context.mismatches[0], _shape_of_input(context)
    if len(shape) != 1 or not wrong.expected or shape[0] % wrong.expected:
        return
    batch = shape[0] // wrong.expected
    if batch > 1 and batch in context.outer.values():
        code = f"{wrong.place}.unflatten(0, ({batch}, {wrong.expected}))"
        text = f"The batch of {batch} was flattened too: `{code}` fits; flatten(1) keeps the batch."
        changed = reshaped(wrong.value, (batch, wrong.expected))
        yield Fix(text, {wrong.place: code}, {wrong.place: changed})


def concatenation(context: FixContext) -> Iterator[Fix]:
    """Only a part of the expected features, such as the embedding for a layer of `embed+context`."""
    wrong, shape = context.mismatches[0], _shape_of_input(context)
    whole = context.label(wrong.dim)
    if wrong.axis is None or not shape or not set("()*/-").isdisjoint(whole):
        return
    parts = whole.split("+")
    if len(parts) > 1 and context.meaning in parts:
        parts.remove(context.meaning)
        changed = reshaped(wrong.value, (*shape[: wrong.axis], wrong.expected, *shape[wrong.axis + 1 :]))
        text = f"It is `{context.meaning}` alone: concatenate it with `{'+'.join(parts)}` first, with torch.cat along this axis."
        yield Fix(text, {}, {wrong.place: changed}, is_other_form=True)


def folded_batch(context: FixContext) -> Iterator[Fix]:
    """More rows than the batch has, by a whole factor: a view(-1, ...) merged another axis into the batch."""
    wrong, owner = context.mismatches[0], context.owner
    is_result = wrong.place == "return" and isinstance(owner, torch.nn.Module)
    is_loss = isinstance(owner, torch.nn.modules.loss._Loss) and wrong.place == "target"
    sizes = (wrong.actual, wrong.expected) if is_result else (wrong.expected, wrong.actual)
    is_sized = wrong.kind == "size" and wrong.axis == 0 and all(isinstance(size, int) and size > 1 for size in sizes)
    if len(context.mismatches) != 1 or not (is_result or is_loss) or not is_sized or sizes[0] % sizes[1]:
        return
    text = (
        f"{sizes[0]} is {sizes[0] // sizes[1]} times {sizes[1]}: did a view(-1, ...) merge another axis into the batch? "
        "flatten(1) keeps the batch as it is."
    )
    shape = sizes_of(wrong.value) or (0,)
    changed = reshaped(wrong.value, (wrong.expected, *shape[1:]))
    yield Fix(text, {}, {wrong.place: changed}, is_general=True)


def single_feature(context: FixContext) -> Iterator[Fix]:
    """One feature or channel for a layer of several. Repeating it would run but invent data."""
    wrong, shape = context.mismatches[0], _shape_of_input(context)
    if wrong.axis is None or not shape or shape[wrong.axis] != 1:
        return
    changed = reshaped(wrong.value, (*shape[: wrong.axis], wrong.expected, *shape[wrong.axis + 1 :]))
    yield Fix(f"Make this layer with {_size_words(context)}.", {}, {wrong.place: changed}, is_general=True)


def _shape_of_input(context: FixContext) -> tuple[int, ...]:
    """The shape of a layer's input if only its width does not fit the layer; else an empty tuple."""
    wrong = context.mismatches[0]
    contract = getattr(context.owner, "contract", None)
    is_width = contract is not None and wrong.kind == "size" and wrong.dim in contract.sizes and wrong.place in _INPUTS
    return (sizes_of(wrong.value) or ()) if is_width and isinstance(wrong.expected, int) else ()


def _size_words(context: FixContext) -> str:
    """The size that the layer would have to be made with: `2*embed=256`."""
    wrong = context.mismatches[0]
    return f"{context.meaning or context.label(wrong.dim)}={wrong.actual}"


def _maker(layer: torch.nn.Module, axis: int, have: int, want: int) -> str | None:
    """The code of a layer that maps one width to the other."""
    spatial = _CONVOLUTIONS.get(type(layer).__name__)
    if spatial is not None:
        return f"nn.Conv{spatial}d({have}, {want}, 1)"
    return f"nn.Linear({have}, {want})" if axis == -1 and have > 0 else None


def advice(context: FixContext) -> Fix | None:
    """Advice on a size that torch rejects, or None; there is no other tensor to propose."""
    wrong = context.mismatches[0]
    text = ""
    if wrong.dim == "classes" and wrong.place == "target":
        text = _class_advice(context)
    elif wrong.dim == "batch" and "training" in str(wrong.expected):
        text = "DataLoader(..., drop_last=True) skips such a batch; in eval mode the layer needs no statistics of it."
    elif (kernel := _kernel(context)) and wrong.dim in _SPACES and str(wrong.expected).startswith("at least"):
        text = f"It is smaller than the kernel: give a larger input, a smaller {kernel} or more padding."
    return Fix(text, {}, {}, is_general=True) if text else None


def _class_advice(context: FixContext) -> str:
    """Advice on classes in a target that the scores do not have."""
    wrong, target = context.mismatches[0], context.call.values["target"].value
    count, worst = int(str(wrong.expected).rpartition(" ")[2]) + 1, wrong.actual
    ignored = _ignored_class(context)
    outside: Any = target[((target < 0) | (target >= count)) & (target != (worst if ignored is None else ignored))]
    if ignored is not None and (worst < 0 or worst == _USUAL_MARK) and bool((outside == worst).all()):
        return f"If {worst} marks positions to ignore, {_way_to_set(context, f'ignore_index={worst}')}."
    if worst == count and int(target.min()) >= 1:
        return "Are the classes numbered from 1? They must be numbered from 0: `target - 1` fits."
    least = f"give the layer before this one {worst + 1} classes" if worst >= 0 else "none may be negative"
    return f"Classes are numbered from 0: {least}."


def _ignored_class(context: FixContext) -> Any:
    """The class that the loss ignores: an argument of the function, an attribute of the layer. None: it ignores none."""
    given = context.argument("ignore_index")
    if given is None and not hasattr(context.owner, "ignore_index"):
        return None
    ignored = given.value if given is not None else context.owner.ignore_index
    return _IGNORED if ignored is None else ignored


def _way_to_set(context: FixContext, option: str) -> str:
    """What the user does to give an option: in the call of a function, or where the layer is made."""
    if context.owner is None:
        return f"call {context.call.signature.function.__name__}(..., {option})"
    return f"make this {type(context.owner).__name__}(..., {option})"


def _kernel(context: FixContext) -> str:
    """The word for the size of the window: an argument, or for a function that is given the weight, `kernel`."""
    names = {parameter.name for parameter in context.call.signature.parameters}
    if hasattr(context.owner, "kernel_size") or "kernel_size" in names:
        return "kernel_size"
    return "kernel" if {"weight", "stride"} <= names else ""


def misspelt(context: FixContext) -> Iterator[Fix]:
    """A name in the annotation that looks like a misspelling of another one."""
    for wrong in context.mismatches:
        for name in context.findings.bindings:
            if wrong.kind == "size" and are_similar(wrong.dim, name):
                text = f"Did you mean `{name}` where the annotation of `{wrong.place}` says `{wrong.dim}`?"
                yield Fix(text, {}, {}, {(wrong.place, wrong.dim): name})
