"""Operators that remove axes, or reduce them to size 1."""

from torch import Tensor

from dimtyped.flow.axes import KEPT, Axes
from dimtyped.flow.calls import Call, NoRule, Outcome, dims_of, without
from dimtyped.flow.rules.table import rule


def reduced(axes: Axes, dims: tuple[int, ...], keepdim: bool) -> Axes:
    """The axes that a reduction over `dims` leaves."""
    if not keepdim:
        return without(axes, dims)
    return tuple(KEPT if dim in dims else axis for dim, axis in enumerate(axes))


def _reduce(call: Call, dims_at: int, keepdim_at: int, *, dims: object = None) -> Outcome:
    axes = call.first()
    if not axes:
        return ()
    given = call.arg(dims_at, "dim", "axis", "dims", default=dims)
    over = dims_of(given, len(axes))
    call.mixes(*(axes[dim] for dim in over))
    return reduced(axes, over, bool(call.arg(keepdim_at, "keepdim", "keepdims", default=False)))


@rule(
    "sum",
    "mean",
    "nansum",
    "nanmean",
    "amax",
    "amin",
    "logsumexp",
    "special_logsumexp",
    "all",
    "any",
    "argmax",
    "argmin",
)
@rule("median", "nanmedian", "mode", "prod")
def reduction(call: Call) -> Outcome:
    """Over `dim`, or over everything."""
    dims = -1 if call.name == "mode" else None
    return _reduce(call, 1, 2, dims=dims)


@rule("count_nonzero")
def count_nonzero(call: Call) -> Outcome:
    """Over `dim`, or over everything; no keepdim."""
    return _reduce(call, 1, 99)


@rule("max", "min")
def extreme(call: Call) -> Outcome:
    """Over an axis, over everything, or of two tensors item by item."""
    if len(call.tensors) == 2:
        return call.broadcast(*map(call.axes, call.tensors))
    return _reduce(call, 1, 2)


@rule("kthvalue")
def kthvalue(call: Call) -> Outcome:
    """Over `dim`, which comes after `k`."""
    return _reduce(call, 2, 3, dims=-1)


@rule("aminmax")
def aminmax(call: Call) -> Outcome:
    """Everything after the first argument goes by keyword."""
    return _reduce(call, 99, 99)


@rule("std", "var", "std_mean", "var_mean")
def spread(call: Call) -> Outcome:
    """`std(x, unbiased)` is over everything, `std(x, dim, unbiased, keepdim)` over axes."""
    if isinstance(call.arg(1), bool):
        return _reduce(call, 99, 99)
    return _reduce(call, 1, 3)


@rule("norm", "linalg_vector_norm", "frobenius_norm")
def norm(call: Call) -> Outcome:
    """`norm(x, p, dim, keepdim)`."""
    return _reduce(call, 1, 2) if call.name == "frobenius_norm" else _reduce(call, 2, 3)


@rule("linalg_norm", "linalg_matrix_norm", "nuclear_norm")
def matrix_norm(call: Call) -> Outcome:
    """`norm(x, order, dim, keepdim)`; of the last two axes for a norm of matrices."""
    if call.name == "nuclear_norm":
        return _reduce(call, 1, 2)
    return _reduce(call, 2, 3, dims=(-2, -1) if call.name == "linalg_matrix_norm" else None)


@rule("dist")
def distance(call: Call) -> Outcome:
    """One number from two tensors, item by item."""
    both = call.broadcast(*map(call.axes, call.tensors))
    call.mixes(*both)
    return ()


@rule("trace", "_is_all_true", "_is_any_true")
def trace(call: Call) -> Outcome:
    """One number from everything."""
    call.mixes(*call.first())
    return ()


@rule("equal", "allclose", "item", "tolist", "is_same_size")
def no_tensor(_: Call) -> Outcome:
    """Python values."""
    raise NoRule


@rule("quantile", "nanquantile")
def quantile(call: Call) -> Outcome:
    """`quantile(x, q, dim, keepdim)`; several quantiles are a first axis."""
    made = _reduce(call, 2, 3)
    levels = call.arg(1, "q")
    return (*call.axes(levels), *made) if isinstance(levels, Tensor) and isinstance(made, tuple) else made


@rule("sum_to_size")
def sum_to_size(call: Call) -> Outcome:
    """Sums over the axes that were broadcast."""
    axes, sizes = call.first(), call.shape
    missing = len(axes) - len(sizes)
    call.mixes(*axes[:missing])
    kept = [axis if axis.size == size else KEPT for axis, size in zip(axes[missing:], sizes, strict=True)]
    call.mixes(*(axis for axis, left in zip(axes[missing:], kept, strict=True) if left is KEPT))
    return tuple(kept)
