"""Layers' functions: convolutions, norms, packed sequences."""

from __future__ import annotations

from dimtyped.diagnosis.torch_errors.failure import Clash, Failure, Mark, Operand, joined, meeting, phrase, ranks
from dimtyped.diagnosis.torch_errors.stand_ins import Label


def convolution(failure: Failure) -> Clash | None:
    """`conv2d(x, weight, bias)`: the weight is (out, in / groups, *kernel), the input has its channels before the sizes."""
    x, weight = failure.operand(0, "input"), failure.operand(1, "weight")
    if x is None or weight is None or weight.rank < 3:
        return None
    spatial = weight.rank - 2
    if x.rank not in (spatial + 1, spatial + 2):
        need = f"{spatial + 1} or {spatial + 2}, as (batch, channels{', ...' if spatial > 1 else ', length'})"
        return Clash(f"{ranks(x)}, must have {need}")
    groups = failure.arg(6, "groups", default=1)
    channels = _channels(failure, weight, groups if isinstance(groups, int) else 1)
    axis = x.rank - spatial - 1
    if x.sizes[axis] != channels.size and "channels" in failure.message:
        mark = Mark(x, axis, f"must be {channels.size}")
        wanted = phrase(channels) if channels.name else f"the {channels.size} channels"
        text = f"axis {axis} of `{x.text}` must be {wanted}, it is {phrase(x.labels[axis])}"
        return Clash(text, (mark,), (x.labels[axis], channels))
    return _too_small(x, weight, spatial) if "greater than actual input size" in failure.message else None


def _channels(failure: Failure, weight: Operand, groups: int) -> Label:
    """The channels that the input must have."""
    if "transpose" in failure.name:
        return weight.labels[0]
    label = weight.labels[1]
    return label if groups == 1 else Label(label.size * groups)


def _too_small(x: Operand, weight: Operand, spatial: int) -> Clash | None:
    for axis in range(-spatial, 0):
        if x.sizes[axis] < weight.sizes[axis]:
            return meeting(x, axis, weight, axis, is_second_wrong=False)
    return None


def layer_norm(failure: Failure) -> Clash | None:
    """`layer_norm(x, shape)`: the last axes have this shape."""
    x, shape = failure.operand(0, "input"), failure.ints(1, "normalized_shape")
    if x is None or shape is None:
        return None
    if len(shape) > x.rank:
        return Clash(f"{ranks(x)}, {len(shape)} are normalised")
    found: list[Clash] = []
    for axis in range(-len(shape), 0):
        if x.sizes[axis] != shape[axis]:
            mark = Mark(x, axis % x.rank, f"must be {shape[axis]}")
            place = "the last axis" if axis == -1 else f"axis {axis}"
            found.append(
                Clash(f"{place} is {phrase(x.labels[axis])}, must be {shape[axis]}", (mark,), (x.labels[axis],))
            )
    weight = failure.operand(2, "weight")
    if not found and weight is not None and weight.rank == len(shape):
        found = [meeting(x, a, weight, a) for a in range(-len(shape), 0) if x.sizes[a] != weight.sizes[a]]
    return joined(found)


def channels_first(failure: Failure) -> Clash | None:
    """`batch_norm`, `group_norm`, `prelu`: a parameter or statistic of the channels has the size of axis 1."""
    x = failure.operand(0, "input")
    kept = next((operand for operand in failure.operands[1:] if operand.rank == 1), None)
    if x is None or x.rank < 2:
        return None
    groups = failure.arg(1, "num_groups") if failure.name == "group_norm" else None
    if isinstance(groups, int) and groups and x.sizes[1] % groups:
        mark = Mark(x, 1, f"must be a multiple of {groups}")
        return Clash(f"{phrase(x.labels[1])} is no multiple of {groups} groups", (mark,), (x.labels[1],))
    if kept is not None and kept.sizes[0] != x.sizes[1]:
        return meeting(x, 1, kept, 0, is_second_wrong=False)
    return None


def packed(failure: Failure) -> Clash | None:
    """`pack_padded_sequence(x, lengths, batch_first)`: a length for each sequence of the batch."""
    x, lengths = failure.operand(0, "input"), failure.operand(1, "lengths")
    first = failure.arg(2, "batch_first", default=False)
    if x is None or x.rank < 2:
        return None
    given = lengths.labels[0] if lengths is not None and lengths.rank == 1 else None
    listed = failure.arg(1, "lengths")
    if given is None and isinstance(listed, list):
        given = Label(len(listed))  # pyright: ignore[reportUnknownArgumentType]  # a user's list
    batch = x.labels[0 if first else 1]
    if given is None or given.size == batch.size:
        return None
    where = "batch_first=True: axis 0" if first else "without batch_first axis 1"
    text = f"{where} of `{x.text}` is the batch, {phrase(batch)}, and there are {given.size} lengths"
    return Clash(text, (Mark(x, 0 if first else 1, f"must be {given.size}"),), (batch, given))


def distances(failure: Failure) -> Clash | None:
    """`pairwise_distance`, `cdist`: the last axes agree."""
    x, y = failure.operand(0), failure.operand(1)
    if x is None or y is None or not (x.rank and y.rank) or x.sizes[-1] == y.sizes[-1]:
        return None
    return meeting(x, -1, y, -1)
