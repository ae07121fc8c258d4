"""Operators that rearrange items: reshapes, permutations, broadcasts, repetitions, pieces."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from dimtyped.flow.axes import (
    INSERTED,
    Axes,
    Axis,
    Cut,
    Factor,
    anonymous,
    better,
    expand,
    permute,
    product,
    reshape,
    slice_of,
)
from dimtyped.flow.calls import Call, NoRule, Outcome, dim_of, dims_of, replaced, resized, text_of, without
from dimtyped.flow.rules.recurrent import DIRECTIONS, layers_of
from dimtyped.flow.rules.table import rule


@rule(
    "view", "reshape", "flatten", "unflatten", "view_as", "reshape_as", "ravel", "_unsafe_view", "resize", "resize_as"
)
@rule("view_copy", "_reshape_alias", "_reshape_copy")
def reshaped(call: Call) -> Outcome:
    """The factors are partitioned anew."""
    if isinstance(call.arg(1, "dtype"), torch.dtype):
        return resized(call.first(), call.shape, "a view of another dtype")
    return reshape_and_report(call, call.first(), call.shape)


def reshape_and_report(call: Call, axes: Axes, sizes: Sequence[int]) -> Axes:
    """Reshapes, and reports cuts across named axes."""
    if _numel(axes) != _numel_of(sizes):
        raise NoRule
    made, cuts = reshape(axes, sizes)
    for cut in cuts:
        if _is_scrambled(cut, sizes):
            report_cut(call, axes, made, [factor for factor in cut.factors if factor.is_named])
    if not cuts and (crossed := _crossed(axes, made)):
        report_cut(call, axes, made, [crossed])
        return tuple(axis if axis in axes else anonymous(axis.size) for axis in made)
    return made


def report_cut(call: Call, axes: Axes, made: Axes, factors: Sequence[Any]) -> None:
    """Reports that a reshape cuts across factors."""
    names = [Axis((factor,)) for factor in factors]
    sizes = ", ".join(str(axis.size) for axis in made)
    call.report(
        "scramble", f"a reshape of {text_of(axes)} to ({sizes}) cuts across {' and '.join(map(str, names))}", *names
    )


def _numel(axes: Axes) -> int:
    return _numel_of([axis.size for axis in axes])


def _numel_of(sizes: Iterable[int]) -> int:
    found = 1
    for size in sizes:
        found *= size
    return found


def _is_scrambled(cut: Cut, sizes: Sequence[int]) -> bool:
    """True if a boundary of the new axes cuts a named factor unevenly, and two names are involved."""
    named = {factor.dimension.root for factor in cut.factors if factor.is_named}
    if len(named) < 2:
        return False
    inner_of_new, boundary = [], 1
    for size in reversed(sizes[cut.first + 1 : cut.last + 1]):
        boundary *= size
        inner_of_new.append(boundary)
    inner = 1
    for factor in reversed(cut.factors):
        outer = inner * factor.size
        if factor.is_named and any(inner < at < outer and (at % inner or outer % at) for at in inner_of_new):
            return True
        inner = outer
    return False


def _crossed(axes: Axes, made: Axes) -> Any:
    """A factor that is split although a new axis of exactly its size is made, from pieces of it and of another.

    `(batch, seq, embed)` viewed as `(batch, heads, seq, -1)`, with no transpose and with sizes that divide one another.
    """
    for axis in axes:
        whole = axis.dimension
        if whole is None or not whole.is_named:
            continue
        for new in made:
            pieces = [
                factor for factor in new.factors if factor.is_named and (not factor.is_whole or _is_count(factor))
            ]
            of_it = [factor for factor in pieces if factor.dimension.root is whole]
            if new.size == whole.size and of_it and len(of_it) < len(pieces):
                return axis.factors[0]
    return None


def _is_count(factor: Factor) -> bool:
    """True for layers and directions, with which no part of another axis is ever merged."""
    return factor.dimension is DIRECTIONS or layers_of(factor.dimension.size).dimension is factor.dimension


@rule("transpose", "swapaxes", "swapdims", "transpose_copy")
def transpose(call: Call) -> Outcome:
    """Two axes change places."""
    axes = list(call.first())
    if not axes:
        return ()
    one = dim_of(call.arg(1, "dim0", "axis0"), len(axes))
    other = dim_of(call.arg(2, "dim1", "axis1"), len(axes))
    axes[one], axes[other] = axes[other], axes[one]
    return tuple(axes)


@rule("t", "t_copy", "T.__get__")
def reverse(call: Call) -> Outcome:
    """The axes in reverse order."""
    return call.first()[::-1]


@rule("mT.__get__", "mH.__get__", "H.__get__", "adjoint")
def matrix_transpose(call: Call) -> Outcome:
    """The last two axes change places."""
    axes = call.first()
    return (*axes[:-2], *axes[-2:][::-1])


@rule("permute", "permute_copy")
def permuted(call: Call) -> Outcome:
    """The axes in another order."""
    axes = call.first()
    return permute(axes, dims_of(call.ints(1, "dims"), len(axes)) if axes else ())


@rule("movedim", "moveaxis")
def movedim(call: Call) -> Outcome:
    """Some axes move, the others keep their order."""
    axes = call.first()
    source = dims_of(call.arg(1, "source"), len(axes))
    target = dims_of(call.arg(2, "destination"), len(axes))
    moved = dict(zip(target, source, strict=True))
    others = iter([index for index in range(len(axes)) if index not in source])
    return permute(axes, [moved[index] if index in moved else next(others) for index in range(len(axes))])


@rule("squeeze", "squeeze_copy")
def squeeze(call: Call) -> Outcome:
    """Axes of size 1 are removed."""
    axes = call.first()
    given = call.ints(1, "dim")
    dims = range(len(axes)) if given is None else dims_of(given, len(axes)) if given != () else ()
    return without(axes, [dim for dim in dims if axes and axes[dim].size == 1])


@rule("unsqueeze", "unsqueeze_copy")
def unsqueeze(call: Call) -> Outcome:
    """A new axis of size 1."""
    axes = call.first()
    dim = dim_of(call.arg(1, "dim"), len(axes) + 1)
    return (*axes[:dim], INSERTED, *axes[dim:])


@rule("atleast_1d", "atleast_2d", "atleast_3d")
def atleast(call: Call) -> Outcome:
    """New axes of size 1 at any place."""
    if not isinstance(call.result, Tensor):
        raise NoRule
    return reshape(call.first(), call.shape).axes


@rule("expand", "broadcast_to", "expand_copy")
def expanded(call: Call) -> Outcome:
    """Axes of size 1 are repeated."""
    return expand(call.first(), call.shape)


@rule("expand_as")
def expand_as(call: Call) -> Outcome:
    """Axes of size 1 become those of another tensor."""
    return call.broadcast(call.first(), call.axes(call.tensor(1, "other")))


@rule("broadcast_tensors")
def broadcast_tensors(call: Call) -> Outcome:
    """All take the axes of all."""
    return call.broadcast(*map(call.axes, call.tensors))


@rule("repeat", "tile")
def repeat(call: Call) -> Outcome:
    """Each axis several times over."""
    axes, sizes = call.first(), call.shape
    padded = expand(axes, (*(1 for _ in range(len(sizes) - len(axes))), *(axis.size for axis in axes)))
    return tuple(_repeated(axis, size) for axis, size in zip(padded, sizes, strict=True))


def _repeated(axis: Axis, size: int) -> Axis:
    if axis.size == size:
        return axis
    return product([anonymous(size // axis.size, "repeat"), axis]) if axis.size else anonymous(size)


@rule("repeat_interleave")
def repeat_interleave(call: Call) -> Outcome:
    """Each index of an axis several times."""
    axes, dim = call.first(), call.arg(2, "dim")
    repeats = call.arg(1, "repeats")
    if dim is None:
        axes, dim = (product(axes),), 0
    dim = dim_of(dim, len(axes))
    size = call.shape[dim]
    if not isinstance(repeats, int):
        call.moves(axes[dim])
        return replaced(axes, dim, anonymous(size, "repeat_interleave"))
    return replaced(axes, dim, product([axes[dim], anonymous(repeats, "repeat_interleave")]))


@rule("narrow", "narrow_copy")
def narrow(call: Call) -> Outcome:
    """A piece of an axis."""
    axes = call.first()
    dim = dim_of(call.arg(1, "dim"), len(axes))
    call.moves(axes[dim])
    start, length = call.arg(2, "start"), call.arg(3, "length")
    if not isinstance(start, int):
        return replaced(axes, dim, anonymous(call.shape[dim], "narrow"))
    return replaced(axes, dim, slice_of(axes[dim], start % max(axes[dim].size, 1), length))


@rule("select", "select_copy")
def select(call: Call) -> Outcome:
    """One index of an axis, which is removed."""
    axes = call.first()
    dim = dim_of(call.arg(1, "dim"), len(axes))
    call.moves(axes[dim])
    return without(axes, [dim])


@rule("slice", "slice_copy")
def sliced(call: Call) -> Outcome:
    """A piece of an axis, as the operator beneath an index gives it."""
    axes, sizes = call.first(), call.shape
    dim = dim_of(call.arg(1, "dim", default=0), len(axes))
    call.moves(axes[dim])
    start, step = call.arg(2, "start") or 0, call.arg(4, "step", default=1)
    start = max(0, start + axes[dim].size if start < 0 else start)
    return replaced(axes, dim, slice_of(axes[dim], start, sizes[dim], step))


@rule(
    "split",
    "split_copy",
    "chunk",
    "split_with_sizes",
    "split_with_sizes_copy",
    "tensor_split",
    "unsafe_chunk",
    "unsafe_split",
    "unsafe_split_with_sizes",
)
def pieces(call: Call) -> Outcome:
    """An axis in consecutive pieces."""
    axes = call.first()
    if call.name == "tensor_split" and isinstance(call.arg(1), Tensor):
        raise NoRule
    return _pieces(call, axes, dim_of(call.arg(2, "dim", "axis", default=0), len(axes)))


@rule("hsplit", "vsplit", "dsplit")
def pieces_of_a_fixed_axis(call: Call) -> Outcome:
    """An axis in consecutive pieces; the function's name says which."""
    axes = call.first()
    dim = {"hsplit": 1 if len(axes) > 1 else 0, "vsplit": 0, "dsplit": 2}[call.name]
    return _pieces(call, axes, dim)


def _pieces(call: Call, axes: Axes, dim: int) -> Outcome:
    call.moves(axes[dim])
    made: list[Axes | None] = []
    start = 0
    for piece in _results(call):
        length = piece.shape[dim]
        made.append(replaced(axes, dim, slice_of(axes[dim], start, length)))
        start += length
    return made


def _results(call: Call) -> Sequence[Tensor]:
    if not isinstance(call.result, (tuple, list)):
        raise NoRule
    return call.result  # pyright: ignore[reportUnknownVariableType] - the operator returns tensors


@rule("unbind", "unbind_copy")
def unbind(call: Call) -> Outcome:
    """Each index of an axis, which is removed."""
    axes = call.first()
    dim = dim_of(call.arg(1, "dim", default=0), len(axes))
    call.moves(axes[dim])
    left = without(axes, [dim])
    return [left for _ in _results(call)]


@rule("unfold", "unfold_copy")
def unfold(call: Call) -> Outcome:
    """Windows along an axis: their number there, what is in each last."""
    axes = call.first()
    if not axes:
        return (anonymous(call.shape[0]),)
    dim = dim_of(call.arg(1, "dimension"), len(axes))
    size, step = call.arg(2, "size"), call.arg(3, "step")
    count = call.shape[dim]
    if size == step and count * size == axes[dim].size:
        outer, inner = reshape((axes[dim],), (count, size)).axes
    else:
        call.moves(axes[dim])
        outer, inner = anonymous(count, f"windows of {axes[dim]}"), anonymous(size, f"a window of {axes[dim]}")
    return (*replaced(axes, dim, outer), inner)


@rule("diagonal", "linalg_diagonal", "diagonal_copy")
def diagonal(call: Call) -> Outcome:
    """Two axes become one, the last."""
    axes = call.first()
    first, second = (-2, -1) if call.name == "linalg_diagonal" else (0, 1)
    one = dim_of(call.arg(2, "dim1", default=first), len(axes))
    other = dim_of(call.arg(3, "dim2", default=second), len(axes))
    left, size = without(axes, (one, other)), call.shape[-1]
    is_main = axes[one].size == axes[other].size == size
    if not is_main:
        call.moves(axes[one], axes[other])
    return (*left, better(axes[one], axes[other]) if is_main else anonymous(size, "a diagonal"))


@rule("diag_embed")
def diag_embed(call: Call) -> Outcome:
    """The last axis becomes two."""
    axes, sizes = call.first(), call.shape
    one = dim_of(call.arg(2, "dim1", default=-2), len(sizes))
    other = dim_of(call.arg(3, "dim2", default=-1), len(sizes))
    return _with_diagonal(call, axes[:-1], axes[-1], one, other, sizes)


def _with_diagonal(call: Call, left: Axes, last: Axis, one: int, other: int, sizes: Sequence[int]) -> Axes:
    new = last if last.size == sizes[one] else anonymous(sizes[one], "diag_embed")
    if new is not last:
        call.moves(last)
    others = iter(left)
    return tuple(new if index in (one, other) else next(others) for index in range(len(sizes)))


@rule("diag", "diagflat")
def diag(call: Call) -> Outcome:
    """A vector becomes a matrix, a matrix its diagonal."""
    axes, sizes = call.first(), call.shape
    if len(sizes) == 2:
        return _with_diagonal(call, (), product(axes), 0, 1, sizes)
    is_main = axes[0].size == axes[1].size == sizes[0]
    if not is_main:
        call.moves(*axes)
    return (better(*axes) if is_main else anonymous(sizes[0], "a diagonal"),)


@rule("flip", "fliplr", "flipud", "rot90", "__reversed__")
def flip(call: Call) -> Outcome:
    """Keeps the axes; their indices are in another order."""
    axes = call.first()
    if call.name == "rot90":
        call.moves(*axes)
        return tuple(map(anonymous, call.shape))
    fixed = {"fliplr": (1,), "flipud": (0,), "__reversed__": (0,)}.get(call.name)
    dims = (
        fixed if fixed is not None else dims_of(call.ints(1, "dims"), len(axes)) if call.ints(1, "dims") != () else ()
    )
    call.moves(*(axes[dim] for dim in dims))
    return axes


@rule("roll")
def roll(call: Call) -> Outcome:
    """Keeps the axes; values are rotated along some of them."""
    axes, dims = call.first(), call.arg(2, "dims")
    rolled = range(len(axes)) if dims in (None, (), []) else dims_of(dims, len(axes))
    call.mixes(*(axes[dim] for dim in rolled))
    return axes


@rule("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d")
@rule("replication_pad1d", "replication_pad2d", "replication_pad3d")
def pad(call: Call) -> Outcome:
    """Padded axes are new ones."""
    axes, sizes = call.first(), call.shape
    amounts = call.arg(1, "pad", "padding")
    widths = [amounts] * (2 * len(axes)) if isinstance(amounts, int) else list(amounts)
    padded = {len(axes) - 1 - index // 2 for index, width in enumerate(widths) if width and index // 2 < len(axes)}
    call.moves(*(axes[dim] for dim in padded))
    return tuple(
        anonymous(sizes[dim], f"padded {axis}" if axis.has_name else "pad") if dim in padded else axis
        for dim, axis in enumerate(axes)
    )


@rule("pixel_shuffle")
def pixel_shuffle(call: Call) -> Outcome:
    """Channels become rows and columns."""
    *batch, channels, height, width = call.first()
    factor = call.arg(1, "upscale_factor")
    rest, rows, columns = reshape((channels,), (channels.size // factor**2, factor, factor)).axes
    return (*batch, rest, product([height, rows]), product([width, columns]))


@rule("pixel_unshuffle")
def pixel_unshuffle(call: Call) -> Outcome:
    """Rows and columns become channels."""
    *batch, channels, height, width = call.first()
    factor = call.arg(1, "downscale_factor")
    height, rows = reshape((height,), (height.size // factor, factor)).axes
    width, columns = reshape((width,), (width.size // factor, factor)).axes
    return (*batch, product([channels, rows, columns]), height, width)


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(call: Call) -> Outcome:
    """The groups of channels are interleaved."""
    axes, groups = call.first(), call.arg(1, "groups")
    outer, inner = reshape((axes[1],), (groups, axes[1].size // groups)).axes
    return replaced(axes, 1, product([inner, outer]))


@rule("as_strided")
def as_strided(_: Call) -> Outcome:
    """Memory read freely: nothing is known."""
    raise NoRule
