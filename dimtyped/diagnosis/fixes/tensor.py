"""Changes of one tensor: other axes, another dtype, another type of value."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from dimtyped.annotations import (
    TORCH_DTYPES,
    ArrayHint,
    Axis,
    Hint,
    Kind,
    TupleHint,
    arrays_in,
    evaluate,
    unknown_names,
)
from dimtyped.diagnosis.fixes.fix import FixContext, computed, reshaped, sizes_of, subject, wanted_array
from dimtyped.diagnosis.mismatch import is_within
from dimtyped.diagnosis.snapshots import Snapshot

_MOST_AXES = 5  # with more axes, a reader can no longer check a guessed order
_SHORT = (torch.float16, torch.bfloat16)
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
_FLOATS = (torch.float32, torch.float64, *_SHORT)
_COMPLEX = (torch.complex64, torch.complex128)
_USUAL = frozenset({torch.bool, *_INTEGERS, *_FLOATS, *_COMPLEX})  # the ones that torch converts
_METHODS = {
    "long": torch.int64,
    "float": torch.float32,
    "bool": torch.bool,
    "int": torch.int32,
    "double": torch.float64,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
}


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one value.

    Args:
        code: Its code, `{}` for the value: `{}.permute(1, 0, 2)`.
        text: The sentence, `{}` for that code.
        value: The changed value.
        is_item: True for a part of a list, which must fit without further changes.
    """

    code: str
    text: str
    value: Snapshot
    is_item: bool = False


def changes_at(context: FixContext, place: str, value: Snapshot) -> Iterator[Change]:
    """All changes to try at one place, the likeliest first."""
    for base in _bases(context, place, value):
        array = wanted_array(context, place) or _nearest_array(context, place, base.value)
        if array is None or sizes_of(base.value) is None:
            yield base
            continue
        for cast in _casts(context, array, base.value):
            yield _joined(base, cast, _kept(cast.value))
            if not base.is_item and not _makes_indices(base.value, cast.value):
                shapes = _reshapes(context, array, cast.value, is_result=is_within(place, "return"))
                yield from (_joined(base, cast, shape) for shape in shapes)


def axis_changes(context: FixContext, place: str, value: Snapshot) -> Iterator[Change]:
    """The changes that reorder axes, or add or remove one of size 1."""
    array = wanted_array(context, place)
    if array is not None and sizes_of(value) is not None:
        yield from _permutations(value)
        yield from _squeezes(context, array, value)


def _joined(base: Change, cast: Change, shape: Change) -> Change:
    """The changes in a row, as one change with one sentence."""
    parts = [change for change in (base, shape, cast) if change.code != "{}"]
    code = "{}"
    for part in parts:
        code = part.code.replace("{}", code)
    text = parts[0].text if len(parts) == 1 else "Both the shape and the dtype differ: `{}` fits."
    if len(parts) > 1 and base.code != "{}":
        text = base.text
    return Change(code, text if parts else "", shape.value)


def _kept(value: Snapshot) -> Change:
    return Change("{}", "", value)


# Another kind of value ------------------------------------------------------------------------------------------------


def _bases(context: FixContext, place: str, value: Snapshot) -> Iterator[Change]:
    """The value itself, or the tensor in it."""
    mismatches = context.at(place)
    if not mismatches or mismatches[0].kind != "type":
        yield _kept(value)
        return
    hint = mismatches[0].hint
    if value.shape is not None:
        yield Change("[{}]", "A list is expected: `{}` fits.", Snapshot(list, items=((0, value),)))
        yield Change("({},)", "A tuple is expected: `{}` fits.", Snapshot(tuple, items=((0, value),)))
        return
    if value.items is not None and issubclass(value.cls, list | tuple):
        yield from _of_items(value, hint)
    yield from _of_numbers(value)


def _of_items(value: Snapshot, hint: Hint) -> Iterator[Change]:
    kind = value.cls.__name__
    items = value.items or ()
    for cls in (tuple, list):
        yield Change(f"{cls.__name__}({{}})", f"A {cls.__name__} is expected: `{{}}` fits.", Snapshot(cls, items=items))
    if isinstance(hint, TupleHint):
        return
    for index, item in items:
        of_layer = " A recurrent layer returns (output, state)." if len(items) == 2 and index == 0 else ""
        text = f"It is a {kind}, not the tensor in it: `{{}}` fits.{of_layer}"
        yield Change(f"{{}}[{index}]", text, item, is_item=True)
    first = items[0][1] if items else None
    if first is not None and first.shape is not None and len({(i.shape, i.dtype) for _, i in items}) == 1:
        stacked = Snapshot(torch.Tensor, dtype=first.dtype, shape=(len(items), *first.shape))
        yield Change("torch.stack({})", f"It is a {kind} of tensors of one shape: `{{}}` fits.", stacked)
    yield from _concatenations(kind, [item for _, item in items])


def _concatenations(kind: str, items: list[Snapshot]) -> Iterator[Change]:
    """Tensors that differ along at most one axis, concatenated along it."""
    shapes = [sizes_of(item) for item in items]
    first = shapes[0] if len(shapes) > 1 else None
    if first is None or len({item.dtype for item in items}) > 1:
        return
    for axis in range(len(first)):
        rests = {shape and (shape[:axis], shape[axis + 1 :]) for shape in shapes}
        if rests == {(first[:axis], first[axis + 1 :])}:
            joined = (*first[:axis], sum(shape[axis] for shape in shapes if shape), *first[axis + 1 :])
            made = Snapshot(torch.Tensor, dtype=items[0].dtype, shape=joined)
            yield Change(f"torch.cat({{}}, {axis})", f"It is a {kind} of parts: `{{}}` fits.", made, is_item=True)


def _of_numbers(value: Snapshot) -> Iterator[Change]:
    """Numbers and arrays of NumPy's as tensors."""
    if value.cls.__module__ == "numpy" and value.cls.__name__ == "ndarray" and value.value is not None:
        dtype = TORCH_DTYPES.get(str(value.value.dtype))
        if dtype is not None:
            made = Snapshot(torch.Tensor, dtype=dtype, shape=tuple(value.value.shape))
            yield Change("torch.from_numpy({})", "It is a NumPy array: `{}` fits.", made)
        return
    found = _numbers_in(value)
    if found is not None:
        kinds, shape = found
        dtype = torch.float32 if float in kinds else torch.int64 if int in kinds else torch.bool
        made = Snapshot(torch.Tensor, dtype=dtype, shape=shape)
        yield Change("torch.tensor({})", "It is not a tensor yet: `{}` fits.", made)


def _numbers_in(value: Snapshot) -> tuple[frozenset[type], tuple[int, ...]] | None:
    """The number types in nested lists and their shape; None if the lists are ragged or hold other values."""
    if value.cls in (bool, int, float):
        return frozenset({value.cls}), ()
    if value.items is None or not issubclass(value.cls, list | tuple) or not value.items:
        return None
    inner = [_numbers_in(item) for _, item in value.items]
    if any(found is None or found[1] != (inner[0] or ((), ()))[1] for found in inner):
        return None
    kinds = frozenset(kind for found in inner if found is not None for kind in found[0])
    return kinds, (len(inner), *(inner[0] or ((), ()))[1])


def _nearest_array(context: FixContext, place: str, value: Snapshot) -> ArrayHint | None:
    mismatches = context.at(place)
    hint = mismatches[0].hint if mismatches else context.hint(place)
    arrays = arrays_in(hint) if hint is not None else ()
    rank = len(value.shape or ())
    return min(arrays, key=lambda array: abs(len(array.axes) - rank), default=None)


# Another dtype --------------------------------------------------------------------------------------------------------


def _casts(context: FixContext, array: ArrayHint, value: Snapshot) -> Iterator[Change]:
    if array.dtypes is None or value.dtype in array.dtypes or value.dtype is None:
        yield _kept(value)
        return
    if value.dtype.is_complex or value.dtype not in _USUAL:  # a cast would drop the imaginary part
        return
    named = [(f"{{}}.{method}()", dtype) for method, dtype in _METHODS.items() if dtype in array.dtypes]
    named.sort(key=lambda cast: cast[1] is not torch.bool)  # a mask of ints holds 0 and 1
    others = sorted((str(dtype), dtype) for dtype in (array.dtypes & _USUAL) - set(_METHODS.values()))
    for code, dtype in (*named, *((f"{{}}.to({name})", dtype) for name, dtype in others))[:1]:
        yield Change(
            code, _cast_text(context, value.dtype, dtype), Snapshot(computed(value), dtype=dtype, shape=value.shape)
        )


def _makes_indices(before: Snapshot, after: Snapshot) -> bool:
    """True if the cast turns floats into integers. With a wrong shape too, they are hardly indices."""
    return bool(before.dtype and after.dtype and before.dtype.is_floating_point and not after.dtype.is_floating_point)


def _cast_text(context: FixContext, before: torch.dtype, after: torch.dtype) -> str:
    if before in _SHORT and _is_autocast():
        given = str(before).removeprefix("torch.")
        return f"Autocast makes it {given}: `{{}}` fits, or annotate it Float, which accepts both."
    if before.is_floating_point and not after.is_floating_point and after is not torch.bool:
        return "If these are indices, `{}` fits; a float tensor such as a state is not an index."
    if hasattr(context.owner, "contract") and before.is_floating_point and {before, after} & {*_SHORT}:
        return "`{}` fits; torch.autocast converts automatically."
    if before is torch.float64 and after is torch.float32:
        return "NumPy's default is float64: `{}` fits."
    if after is torch.bool:
        return "`{}` fits, True for every value but 0."
    return "`{}` fits."


def _is_autocast() -> bool:
    return any(torch.is_autocast_enabled(device) for device in ("cpu", "cuda"))


# Other axes -----------------------------------------------------------------------------------------------------------


def _reshapes(context: FixContext, array: ArrayHint, value: Snapshot, *, is_result: bool) -> Iterator[Change]:
    yield from _permutations(value)
    yield from _squeezes(context, array, value, is_result=is_result)
    yield from _joins(context, array, value)
    yield from _splits(context, array, value)
    yield from _repeats(context, array, value)
    yield from _means(context, array, value)


def _permutations(value: Snapshot) -> Iterator[Change]:
    shape = sizes_of(value) or ()
    if not 2 <= len(shape) <= _MOST_AXES:
        return
    orders = sorted(itertools.permutations(range(len(shape))), key=lambda order: (_inversions(order), order))
    for order in orders[1:]:
        permuted = reshaped(value, tuple(shape[index] for index in order))
        if len(shape) == 2:
            yield Change("{}.T", "It is transposed: `{}` fits.", permuted)
        else:
            swapped = sum(index != at for at, index in enumerate(order)) == 2
            why = "Two axes are swapped" if swapped else "The axes are in another order"
            yield Change(f"{{}}.permute({', '.join(map(str, order))})", f"{why}: `{{}}` fits.", permuted)


def _inversions(order: tuple[int, ...]) -> int:
    """The number of pairs of axes in reverse order."""
    return sum(a > b for a, b in itertools.combinations(order, 2))


def _squeezes(context: FixContext, array: ArrayHint, value: Snapshot, *, is_result: bool = False) -> Iterator[Change]:
    """Removes an extra axis of size 1, or adds a missing one."""
    shape = sizes_of(value) or ()
    for axis, size in enumerate(shape):
        if size == 1:
            rest = shape[:axis] + shape[axis + 1 :]
            yield Change(f"{{}}.squeeze({axis})", "There is an extra axis of size 1: `{}` fits.", reshaped(value, rest))
    if len(shape) < _wanted_rank(context, array):
        for axis in range(len(shape) + 1):
            named = array.variadic is None and axis < len(array.axes) and array.axes[axis].kind is Kind.NAME
            name = array.axes[axis].name if named else ""
            text = f"The axis `{name}` is missing" if name else "An axis is missing"
            text = f"{text}: `{{}}` adds one of size 1."
            if is_result and named and known_size(context, array.axes[axis]) == 1:
                text = f"`{name}` is 1 here: did a squeeze() remove it? Give squeeze() the axis to remove."
            longer = (*shape[:axis], 1, *shape[axis:])
            yield Change(f"{{}}.unsqueeze({axis})", text, reshaped(value, longer))


def _wanted_rank(context: FixContext, array: ArrayHint) -> int:
    """The number of axes that a tensor must have; 0 if unknown."""
    if array.variadic is None:
        return len(array.axes)
    run = context.findings.runs.get(array.axes[array.variadic].name)
    return len(array.axes) - 1 + len(run.size[1]) if run is not None else 0


def _joins(context: FixContext, array: ArrayHint, value: Snapshot) -> Iterator[Change]:
    """Flattens neighboring axes, such as `heads` and `head_dim` after attention; the last ones first."""
    shape = (sizes_of(value) or ()) if value.dtype in _USUAL else ()  # it may copy
    sizes = _declared_sizes(context, array)
    for count, start in itertools.product(range(2, len(shape) + 1), reversed(range(len(shape)))):
        stop = start + count
        wanted = (
            {known_size(context, array.axes[start])} if array.variadic is None and start < len(array.axes) else sizes
        )
        if stop > len(shape) or math.prod(shape[start:stop]) not in wanted:  # else any shape would fit
            continue
        flat = (*shape[:start], math.prod(shape[start:stop]), *shape[stop:])
        code = f"{{}}.flatten({start})" if stop == len(shape) else f"{{}}.flatten({start}, {stop - 1})"
        axes = " and ".join(map(str, range(start, stop))) if count == 2 else f"{start} to {stop - 1}"
        yield Change(code, f"Axes {axes} should be one axis: `{{}}` fits.", reshaped(value, flat))


def _splits(context: FixContext, array: ArrayHint, value: Snapshot) -> Iterator[Change]:
    """Splits one axis into two, one of them of a known size."""
    shape = sizes_of(value) or ()
    if array.variadic is not None or len(array.axes) != len(shape) + 1:
        return
    for axis, size in enumerate(shape):
        first, second = _both(size, known_size(context, array.axes[axis]), known_size(context, array.axes[axis + 1]))
        if first * second == size and size > 0:
            split = (*shape[:axis], first, second, *shape[axis + 1 :])
            text = f"Axis {axis} should be split into {first} by {second}: `{{}}` fits."
            yield Change(f"{{}}.unflatten({axis}, ({first}, {second}))", text, reshaped(value, split))


def _both(size: int, left: int, right: int) -> tuple[int, int]:
    """Two factors of a size; a given 0 stands for an unknown factor."""
    if left and right:
        return left, right
    known = left or right or 1
    return (known, size // known) if left else (size // known, known)


def _repeats(context: FixContext, array: ArrayHint, value: Snapshot) -> Iterator[Change]:
    """Repeats an axis of size 1, or along a missing axis whose size is known."""
    shape = sizes_of(value) or ()
    if array.variadic is not None:
        return
    if len(array.axes) == len(shape):
        for axis, size in enumerate(shape):
            wanted = known_size(context, array.axes[axis])
            if size == 1 and wanted > 1:
                yield _repeat(value, shape, axis, wanted, "{}")
    elif len(array.axes) == len(shape) + 1:
        for axis in range(len(shape) + 1):
            wanted = known_size(context, array.axes[axis])
            if wanted > 1:
                longer = (*shape[:axis], 1, *shape[axis:])
                yield _repeat(value, longer, axis, wanted, f"{{}}.unsqueeze({axis})")


def _repeat(value: Snapshot, shape: tuple[int, ...], axis: int, wanted: int, code: str) -> Change:
    expanded = (*shape[:axis], wanted, *shape[axis + 1 :])
    sizes = ", ".join(str(wanted) if index == axis else "-1" for index in range(len(shape)))
    text = (
        "An axis of size 1 can be repeated: `{}` fits."
        if code == "{}"
        else "An axis is missing: `{}` repeats it along a new one."
    )
    return Change(f"{code}.expand({sizes})", text, reshaped(value, expanded))


def _means(context: FixContext, array: ArrayHint, value: Snapshot) -> Iterator[Change]:
    """Takes the mean over an extra axis, if exactly one axis can be left out: a mean was forgotten."""
    shape = sizes_of(value) or ()
    if array.variadic is not None or len(shape) != len(array.axes) + 1 or value.dtype not in _FLOATS:
        return
    rests = {axis: shape[:axis] + shape[axis + 1 :] for axis in range(len(shape))}
    fitting = [
        axis
        for axis, rest in rests.items()
        if all(_may_be(context, *pair) for pair in zip(array.axes, rest, strict=True))
    ]
    if len(fitting) == 1:
        text = f"Axis {fitting[0]} is one too many: was a mean over it forgotten, `{{}}`?"
        yield Change(f"{{}}.mean({fitting[0]})", text, reshaped(value, rests[fitting[0]]))


def _may_be(context: FixContext, axis: Axis, size: int) -> bool:
    """True if an axis may have this size: its size is the same, or not known."""
    known = known_size(context, axis)
    return not known or known == size


def known_size(context: FixContext, axis: Axis) -> int:
    """The size that an axis of an annotation must have, 0 if it is not known."""
    if axis.kind is Kind.SIZE:
        return axis.size
    if axis.kind is Kind.EXPRESSION:
        return _size_of_expression(context, axis)
    known = context.known(axis.name) if axis.kind is Kind.NAME else None
    return known.size if known is not None and isinstance(known.size, int) else 0


def _size_of_expression(context: FixContext, axis: Axis) -> int:
    """The size of `heads*width` if every name in it has one, else 0. What `{...}` reads is not looked at."""
    sizes = {name: binding.size for name, binding in context.findings.bindings.items()}
    if "{" in axis.name or unknown_names(axis.name, sizes):
        return 0
    try:
        size = evaluate(axis.name, (), sizes)
    except (ArithmeticError, LookupError, NameError, TypeError, ValueError):
        return 0
    return size if type(size) is int and size > 0 else 0


def _declared_sizes(context: FixContext, array: ArrayHint) -> set[int]:
    return {known_size(context, axis) for axis in array.axes if not axis.many} - {0, 1}


def written(place: str, change: Change) -> str:
    """The code of a change at a place."""
    return change.code.replace("{}", subject(place))


def sentence_of(place: str, change: Change) -> str:
    """The sentence of a change at a place."""
    return change.text.replace("{}", written(place, change))


def value_at(context: FixContext, place: str) -> Snapshot | None:
    """The value at a place, if it has one."""
    mismatches = context.at(place)
    if mismatches:
        return mismatches[0].value
    value: Any = context.call.result if place == "return" else context.argument(place)
    return value
