"""Convolutions, pooling, resizing and norms."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from dimtyped.flow.axes import KEPT, Axes, Axis, anonymous, product
from dimtyped.flow.calls import Call, NoRule, Outcome, dim_of, replaced
from dimtyped.flow.rules.table import rule


def _spread(value: Any, count: int) -> tuple[Any, ...]:
    """A setting for each spatial axis."""
    if isinstance(value, (list, tuple)):
        return tuple(value) * (count if len(value) == 1 else 1)
    return (value,) * count


def _spatial(call: Call, axes: Axes, sizes: Sequence[int], *, is_aligned: bool, windows: Sequence[int] | None) -> Axes:
    """Spatial axes behind a sliding window: the same where positions still correspond, new ones otherwise."""
    made: list[Axis] = []
    for place, (axis, size) in enumerate(zip(axes, sizes, strict=True)):
        window = 2 if windows is None else windows[place]
        if is_aligned and axis.size == size:
            if window != 1:
                call.mixes(axis)
            made.append(axis)
        else:
            call.moves(axis)
            made.append(anonymous(size, f"windows of {axis}" if axis.has_name else "windows"))
    return tuple(made)


@rule("conv1d", "conv2d", "conv3d", "convolution", "_convolution", "cudnn_convolution", "mkldnn_convolution")
def convolution(call: Call) -> Outcome:
    """(batch, in, *) with a weight of (out, in / groups, *) gives (batch, out, *); the batch may be missing."""
    axes, weight = call.first(), call.axes(call.tensor(1, "weight"))
    if call.name.endswith("convolution") and call.arg(6, "transposed", default=False) is True:
        return _transposed(call, axes, weight, call.arg(8, "groups", default=1))
    rank = len(weight) - 2
    stride = _spread(call.arg(3, "stride", default=1), rank)
    groups = (
        call.arg(6, "groups", default=1) if not call.name.endswith("convolution") else call.arg(8, "groups", default=1)
    )
    batch, channels, spatial = axes[: -rank - 1], axes[-rank - 1], axes[-rank:]
    out = _out_channels(call, channels, weight, groups)
    call.mixes(*weight[2:])
    windows = [axis.size for axis in weight[2:]]
    made = [
        _spatial(call, (axis,), (size,), is_aligned=step == 1, windows=[window])[0]
        for axis, size, step, window in zip(spatial, call.shape[-rank:], stride, windows, strict=True)
    ]
    return (*batch, out, *made)


def _out_channels(call: Call, channels: Axis, weight: Axes, groups: int) -> Axis:
    bias = call.arg(2, "bias")
    out = weight[0]
    if isinstance(bias, Tensor):
        out = call.meet(out, call.axes(bias)[0])
    if groups == 1:
        call.contract((), (channels, weight[1]))
        return out
    if groups == channels.size == out.size:
        return call.meet(channels, out)
    call.mixes(channels, weight[1])
    return out


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed_convolution(call: Call) -> Outcome:
    """(batch, in, *) with a weight of (in, out / groups, *) gives (batch, out, *)."""
    return _transposed(call, call.first(), call.axes(call.tensor(1, "weight")), call.arg(6, "groups", default=1))


def _transposed(call: Call, axes: Axes, weight: Axes, groups: int) -> Outcome:
    rank = len(weight) - 2
    batch, channels, spatial = axes[: -rank - 1], axes[-rank - 1], axes[-rank:]
    call.contract((), (channels, weight[0]))
    call.mixes(*weight[2:])
    out = weight[1]
    if groups > 1:
        call.moves(out)
        out = anonymous(out.size * groups, "groups of channels")
    bias = call.arg(2, "bias")
    if isinstance(bias, Tensor):
        out = call.meet(out, call.axes(bias)[0])
    return (*batch, out, *_spatial(call, spatial, call.shape[-rank:], is_aligned=False, windows=None))


@rule(*(f"{name}{rank}d" for name in ("max_pool", "avg_pool", "lp_pool") for rank in (1, 2, 3)))
@rule("max_pool2d_with_indices", "max_pool3d_with_indices", "max_pool1d_with_indices")
def pool(call: Call) -> Outcome:
    """A window slides along the last axes."""
    rank = int(next(letter for letter in call.name if letter in "123"))
    axes, sizes = call.first(), _first_shape(call)
    at = 2 if call.name.startswith("lp") else 1
    kernel = _spread(call.arg(at, "kernel_size"), rank)
    stride = _spread(call.arg(at + 1, "stride") or kernel, rank)
    made = [
        _spatial(call, (axis,), (size,), is_aligned=step == 1, windows=[window])[0]
        for axis, size, step, window in zip(axes[-rank:], sizes[-rank:], stride, kernel, strict=True)
    ]
    return (*axes[:-rank], *made)


def _first_shape(call: Call) -> Sequence[int]:
    first = call.result[0] if isinstance(call.result, (tuple, list)) else call.result
    if not isinstance(first, Tensor):
        raise NoRule
    return tuple(first.shape)


@rule(
    *(
        f"adaptive_{kind}_pool{rank}d{more}"
        for kind in ("max", "avg")
        for rank in (1, 2, 3)
        for more in ("", "_with_indices")
    )
)
def adaptive_pool(call: Call) -> Outcome:
    """The last axes get the sizes that the call says."""
    rank = int(next(letter for letter in call.name if letter in "123"))
    axes, sizes = call.first(), _first_shape(call)
    made: list[Axis] = []
    for axis, size in zip(axes[-rank:], sizes[-rank:], strict=True):
        if axis.size != size:
            call.mixes(axis)
        made.append(axis if axis.size == size else KEPT if size == 1 else anonymous(size, "adaptive pooling"))
    return (*axes[:-rank], *made)


@rule(*(f"max_unpool{rank}d" for rank in (1, 2, 3)), *(f"fractional_max_pool{rank}d" for rank in (2, 3)))
@rule(*(f"fractional_max_pool{rank}d_with_indices" for rank in (2, 3)))
def other_pool(call: Call) -> Outcome:
    """The last axes are new."""
    rank = int(next(letter for letter in call.name if letter in "123"))
    axes, sizes = call.first(), _first_shape(call)
    call.moves(*axes[-rank:], *(axis for tensor in call.tensors[1:] for axis in call.axes(tensor)))
    return (*axes[:-rank], *(anonymous(size, call.name) for size in sizes[-rank:]))


@rule("interpolate", "upsample", "upsample_nearest", "upsample_bilinear")
@rule(*(f"upsample_{kind}" for kind in ("nearest1d", "nearest2d", "nearest3d", "linear1d", "bilinear2d", "bicubic2d")))
@rule("upsample_trilinear3d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa")
def interpolate(call: Call) -> Outcome:
    """Spatial axes of other sizes are new; of the same sizes they stay, their values near where they were."""
    axes, sizes = call.first(), call.shape
    return (*axes[:2], *_spatial(call, axes[2:], sizes[2:], is_aligned=True, windows=None))


@rule("grid_sample", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def grid_sample(call: Call) -> Outcome:
    """(batch, channels, *) at a grid of (batch, *, rank)."""
    axes, grid = call.first(), call.axes(call.tensor(1, "grid"))
    call.mixes(*axes[2:], grid[-1])
    return (call.meet(axes[0], grid[0]), axes[1], *grid[1:-1])


@rule("affine_grid", "affine_grid_generator")
def affine_grid(call: Call) -> Outcome:
    """(batch, rows, columns, rank)."""
    theta, sizes = call.first(), call.shape
    call.mixes(*theta[1:])
    return (theta[0], *(anonymous(size, "affine_grid") for size in sizes[1:]))


@rule("F.unfold", "im2col")
def unfold(call: Call) -> Outcome:
    """(batch, channels, *) gives (batch, channels*window, windows)."""
    axes, sizes = call.first(), call.shape
    *batch, channels, height, width = axes
    call.moves(height, width)
    window = product([channels, anonymous(sizes[-2] // channels.size, "a window")])
    return (*batch, window, anonymous(sizes[-1], "windows"))


@rule("fold", "col2im")
def fold(call: Call) -> Outcome:
    """(batch, channels*window, windows) gives (batch, channels, *)."""
    axes, sizes = call.first(), call.shape
    call.mixes(*axes[-2:])
    return (*axes[:-2], *(anonymous(size, "fold") for size in sizes[-3:]))


@rule("layer_norm", "native_layer_norm", "rms_norm")
def layer_norm(call: Call) -> Outcome:
    """Along the last axes, each with a weight and a bias."""
    axes = call.first()
    shape = call.arg(1, "normalized_shape")
    count = 1 if isinstance(shape, int) else len(shape)
    rest, normed = axes[:-count], axes[-count:]
    if all(axis.size == 1 and axis.one.is_fixed for axis in normed):
        call.report("degenerate", f"{call.name} over an axis that is always 1", *normed)
    call.mixes(*normed)
    parameters = [each for each in (call.arg(2, "weight"), call.arg(3, "bias")) if isinstance(each, Tensor)]
    if call.name == "rms_norm":
        parameters = parameters[:1]
    made = (*rest, *call.broadcast(normed, *map(call.axes, parameters)))
    return made if isinstance(call.result, Tensor) else [made, *(None for _ in call.tensors_out[1:])]


@rule("F.batch_norm", "instance_norm")
def batch_norm(call: Call) -> Outcome:
    """`(input, running_mean, running_var, weight, bias)`: along everything but the channels, by design."""
    return _channels_normed(call, [call.arg(place, name) for place, name in enumerate(_RUNNING, 1)])


_RUNNING = ("running_mean", "running_var", "weight", "bias")


@rule("batch_norm", "native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit", "_batch_norm_impl_index")
def torch_batch_norm(call: Call) -> Outcome:
    """`(input, weight, bias, running_mean, running_var)`."""
    return _channels_normed(call, call.args[1:5])


def _channels_normed(call: Call, parameters: Sequence[Any]) -> Outcome:
    axes = call.first()
    channels = axes[1]
    for parameter in parameters:
        if isinstance(parameter, Tensor):
            channels = call.meet_if_sizes_agree(channels, call.axes(parameter)[0])
    made = replaced(axes, 1, channels)
    call.moves(*(axis for index, axis in enumerate(axes) if index != 1))
    return made if isinstance(call.result, Tensor) else [made, *(None for _ in call.tensors_out[1:])]


@rule("group_norm", "native_group_norm")
def group_norm(call: Call) -> Outcome:
    """Along the channels of a group and everything behind them."""
    axes = call.first()
    call.mixes(*axes[1:])
    at = 2 if call.name == "group_norm" else 1
    channels = axes[1]
    for parameter in (call.arg(at, "weight"), call.arg(at + 1, "bias")):
        if isinstance(parameter, Tensor):
            channels = call.meet(channels, call.axes(parameter)[0])
    made = replaced(axes, 1, channels)
    return made if isinstance(call.result, Tensor) else [made, *(None for _ in call.tensors_out[1:])]


@rule("local_response_norm")
def local_response_norm(call: Call) -> Outcome:
    """Along neighboring channels."""
    axes = call.first()
    call.mixes(axes[1])
    return axes


@rule("normalize")
def normalize(call: Call) -> Outcome:
    """Along `dim`, 1 by default."""
    axes = call.first()
    given = call.arg(2, "dim", default=1)
    dims = [given] if isinstance(given, int) else given
    normed = [axes[dim_of(dim, len(axes))] for dim in dims]
    if all(axis.size == 1 and axis.one.is_fixed for axis in normed):
        call.report("degenerate", "normalize over an axis that is always 1", *normed)
    call.mixes(*normed)
    return axes


@rule("_weight_norm", "_weight_norm_interface")
def weight_norm(call: Call) -> Outcome:
    """A direction and its length, for each index of one axis."""
    axes = call.first()
    call.mixes(*axes)
    return axes if isinstance(call.result, Tensor) else [axes, *(None for _ in call.tensors_out[1:])]
