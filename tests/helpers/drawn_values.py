"""Random values for an annotation: right, and wrong in one or more ways."""

import dataclasses
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from tests.helpers.drawn_hints import (
    FEW_SIZES,
    FITTING,
    SIZES,
    TORCH_DTYPES,
    Alias,
    Array,
    Items,
    OneOf,
    Padded,
    Plain,
    Record,
    Row,
    Table,
    filled,
    inside,
)


@dataclass
class World:
    """What each name is in one call, and which of its values have a flaw, by the order in which they are made."""

    sizes: Mapping[str, int]
    runs: Mapping[str, tuple[int, ...]]
    values: dict[str, Any]
    flaws: Sequence[int] = ()
    made: int = 0


def value_of(draw: Any, hint: Any, world: World) -> Any:
    """A value that fits, unless one of the flaws falls here."""
    world.made += 1
    if world.made - 1 in world.flaws:
        return flawed(draw, hint, world)
    match hint:
        case Array():
            return tensor(draw, hint, shape_of(draw, hint, world))
        case Plain(fitting=fitting):
            return draw(st.sampled_from(fitting))
        case OneOf(options=options):
            return value_of(draw, draw(st.sampled_from(options)), world)
        case Row(items=items):
            return tuple(value_of(draw, item, world) for item in items)
        case Items(cls=cls, item=item):
            values = [value_of(draw, item, world) for _ in range(draw(st.integers(0, most_items(hint))))]
            return tuple(values) if cls is tuple or (cls is Sequence and draw(st.booleans())) else values
        case Table(value=inner):
            return {key: value_of(draw, inner, world) for key in "xyz"[: draw(st.integers(0, most_items(hint)))]}
        case Record(fields=fields, cls=cls):
            return record_of(draw, cls, [value_of(draw, inner, world) for inner in fields])
        case Alias(item=item):
            return value_of(draw, item, world)
        case Padded(item=item):
            return packed(draw, value_of(draw, item, world))


def record_of(draw: Any, cls: Any, values: list[Any]) -> Any:
    """A record of these values; a dictionary may leave out what its class does not require."""
    if not typing.is_typeddict(cls):
        return cls(*values)
    pairs = zip(cls.__annotations__, values, strict=True)
    return {name: value for name, value in pairs if name in cls.__required_keys__ or draw(st.booleans())}


def packed(draw: Any, value: Any) -> Any:
    """A tensor as sequences of random lengths, the first one whole; as it is if it cannot be packed."""
    if not isinstance(value, Tensor) or value.dim() < 2 or 0 in value.shape:
        return value
    rows, longest = value.shape[:2]
    lengths = [longest, *(draw(st.integers(1, longest)) for _ in range(rows - 1))]
    floats = pack_sequence([torch.zeros(n, *value.shape[2:]) for n in lengths], enforce_sorted=False)
    data = torch.empty(floats.data.shape, dtype=value.dtype)  # torch packs some dtypes only
    return PackedSequence(data, floats.batch_sizes, floats.sorted_indices, floats.unsorted_indices)


def most_items(hint: Any) -> int:
    """Without tensors in it a container is beartype's, which looks at one item and picks it by chance."""
    return 3 if any(isinstance(part, Array) for part in inside(hint)) else 1


def flawed(draw: Any, hint: Any, world: World) -> Any:
    """A value with a flaw, somewhere in it or as a whole; now and then it fits all the same."""
    if isinstance(hint, Array) and draw(st.integers(0, 3)):
        shape = list(shape_of(draw, hint, world))
        change = draw(st.sampled_from(["size", "size", "size", "longer", "shorter", "dtype", "dtype"]))
        index = draw(st.integers(0, max(len(shape) - 1, 0)))
        if change == "size" and shape:
            shape[index] = (shape[index] + draw(st.integers(1, 4))) % 5
        elif change == "longer":
            shape.insert(index, draw(SIZES))
        elif change == "shorter" and shape:
            del shape[index]
        dtype = draw(st.sampled_from(TORCH_DTYPES)) if change == "dtype" else None
        return tensor(draw, hint, tuple(shape), dtype)
    if isinstance(hint, Row) and draw(st.booleans()):
        return tuple(value_of(draw, item, world) for item in hint.items[:-1])
    one = torch.zeros(draw(FEW_SIZES))
    return draw(st.sampled_from([None, 3, "text", one, [one], (one,), {"x": one}, {3: one}, one.numpy()]))


def shape_of(draw: Any, hint: Array, world: World) -> tuple[int, ...]:
    shape: list[int] = []
    for axis in hint.axes:
        shape += sizes_of(draw, axis, world)
    return tuple(shape)


def sizes_of(draw: Any, axis: str, world: World) -> tuple[int, ...]:
    if axis in ("...", "*_"):
        return draw(FEW_SIZES)
    if axis.startswith("*"):
        run = world.runs[axis.lstrip("*#")]
        if "#" not in axis or draw(st.booleans()):
            return run
        start = draw(st.integers(0, len(run)))
        return tuple(1 if draw(st.booleans()) else size for size in run[start:])
    if axis.startswith("_") or (axis.startswith("#") and draw(st.booleans())):
        return (1,) if axis.startswith("#") else (draw(SIZES),)
    size = size_of(axis.lstrip("#").rpartition("=")[2], world)
    return (size if size is not None else draw(SIZES),)


def size_of(expression: str, world: World) -> int | None:
    """The size an axis must have, if it can have one."""
    text = re.sub(r"\{(.*?)\}", lambda match: str(follow(world.values, match[1])), filled(expression, world.sizes))
    try:
        size = eval(text, dict(world.sizes))
    except (ArithmeticError, NameError, SyntaxError, TypeError):
        return None
    return int(size) if isinstance(size, int) and 0 <= size < 20 else None


def follow(values: Mapping[str, Any], path: str) -> Any:
    first, *rest = path.split(".")
    value = values.get(first)
    for name in rest:
        value = getattr(value, name, None)
    return value


def tensor(draw: Any, hint: Array, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
    fitting = FITTING[hint.dtype] or TORCH_DTYPES
    usual = torch.float32 if torch.float32 in fitting else fitting[0]
    chosen = dtype or (usual if draw(st.integers(0, 3)) else draw(st.sampled_from(fitting)))
    made = torch.empty(shape, dtype=chosen)
    if hint.array is Tensor or draw(st.integers(0, 9)) == 0:
        return made
    return hint.array(made, requires_grad=False)


def shown(value: Any) -> str:
    """A value as a failing example shows it."""
    if isinstance(value, Tensor):
        return f"<{type(value).__name__} {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}>"
    if isinstance(value, PackedSequence):
        return f"packed {shown(value.data)} {value.batch_sizes.tolist()}"
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return f"{type(value).__name__}({', '.join(shown(item) for item in value)})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {shown(item)}' for key, item in value.items())}}}"
    if hasattr(value, "_fields") or dataclasses.is_dataclass(value):
        names = getattr(value, "_fields", None) or [f.name for f in dataclasses.fields(value)]
        return f"{type(value).__name__}({', '.join(shown(getattr(value, name)) for name in names)})"
    return repr(value)
