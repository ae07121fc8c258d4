"""Operators that keep the axes and carry values along one: softmax, cumulative ones, sorts, transforms."""

from dimtyped.flow.axes import INSERTED, Axes, anonymous
from dimtyped.flow.calls import Call, NoRule, Outcome, dim_of, dims_of, replaced, resized, without
from dimtyped.flow.rules.table import rule


def _along(call: Call, dim: object) -> Axes:
    axes = call.first()
    if axes:
        call.mixes(axes[dim_of(dim, len(axes))])
    return axes


@rule(
    "softmax",
    "log_softmax",
    "softmin",
    "_softmax",
    "_log_softmax",
    "special_softmax",
    "special_log_softmax",
    "_safe_softmax",
)
def softmax(call: Call) -> Outcome:
    """Along `dim`; without one, torch.nn.functional chooses it by the rank."""
    dim = call.arg(1, "dim", "axis")
    axes = call.first()
    if not isinstance(dim, int):
        dim = 0 if len(axes) in (0, 1, 3) else 1
    if axes and axes[dim].size == 1 and axes[dim].one.is_fixed:
        call.report("degenerate", f"{call.name} over an axis that is always 1", axes[dim])
    return _along(call, dim)


@rule("F.gumbel_softmax")
def gumbel_softmax(call: Call) -> Outcome:
    """Along `dim`, the last by default."""
    return _along(call, call.arg(4, "dim", default=-1))


@rule("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp")
def cumulative(call: Call) -> Outcome:
    """Along `dim`."""
    return _along(call, call.arg(1, "dim", "axis"))


@rule("renorm")
def renorm(call: Call) -> Outcome:
    """Everything but `dim` is summed."""
    axes = call.first()
    dim = dim_of(call.arg(2, "dim"), len(axes))
    call.mixes(*(axis for index, axis in enumerate(axes) if index != dim))
    return axes


@rule("sort", "argsort", "msort")
def sort(call: Call) -> Outcome:
    """Along `dim`; that of a vector only ranks its items, and nothing is wrong with that."""
    axes = call.first()
    if not axes:
        return axes
    given = call.arg(1, "dim", default=-1)
    stable = isinstance(given, bool)
    dim = dim_of(-1 if stable else given, len(axes)) if call.name != "msort" else 0
    if len(axes) == 1:
        call.moves(axes[0])
        return axes
    call.mixes(axes[dim])
    return axes


@rule("topk")
def topk(call: Call) -> Outcome:
    """The largest along `dim`."""
    axes = call.first()
    if not axes:
        return axes
    dim = dim_of(call.arg(2, "dim", default=-1), len(axes))
    call.moves(axes[dim])
    count = call.arg(1, "k")
    return replaced(axes, dim, anonymous(count, f"the top {count} of {axes[dim]}"))


@rule("diff")
def diff(call: Call) -> Outcome:
    """Differences of neighbors along `dim`."""
    axes = call.first()
    dim = dim_of(call.arg(2, "dim", default=-1), len(axes))
    operands = [call.axes(tensor) for tensor in call.tensors]
    call.moves(*(operand[dim] for operand in operands))
    axes = call.broadcast(*(replaced(operand, dim, INSERTED) for operand in operands))
    return replaced(axes, dim, anonymous(call.shape[dim], f"differences along {operands[0][dim]}"))


@rule("gradient")
def gradient(call: Call) -> Outcome:
    """A derivative along each axis, from neighbors."""
    call.moves(*(axis for tensor in call.tensors for axis in call.axes(tensor)))
    return [call.first() for _ in _results(call)]


def _results(call: Call) -> tuple[object, ...]:
    return tuple(call.result) if isinstance(call.result, (tuple, list)) else (call.result,)


@rule("trapezoid", "trapz", "cumulative_trapezoid")
def trapezoid(call: Call) -> Outcome:
    """An integral along `dim`."""
    axes = call.first()
    call.moves(*(axis for tensor in call.tensors[1:] for axis in call.axes(tensor)))
    dim = dim_of(call.arg(2, "dim", default=-1), len(axes))
    call.mixes(axes[dim])
    others = without(axes, [dim])
    if call.name == "cumulative_trapezoid":
        return resized(replaced(axes, dim, anonymous(call.shape[dim])), call.shape, "cumulative_trapezoid")
    if tuple(axis.size for axis in others) != call.shape:
        raise NoRule
    return others


@rule("fft_fft", "fft_ifft", "fft_rfft", "fft_irfft", "fft_hfft", "fft_ihfft")
def transform(call: Call) -> Outcome:
    """Along `dim`; another length is another axis."""
    axes = call.first()
    dim = dim_of(call.arg(2, "dim", default=-1), len(axes))
    call.mixes(axes[dim])
    return resized(axes, call.shape, "fft")


@rule(
    "fft_fft2",
    "fft_ifft2",
    "fft_rfft2",
    "fft_irfft2",
    "fft_fftn",
    "fft_ifftn",
    "fft_rfftn",
    "fft_irfftn",
    "fft_hfft2",
    "fft_hfftn",
    "fft_ihfft2",
    "fft_ihfftn",
)
def transforms(call: Call) -> Outcome:
    """Along `dim`: all, or the last two."""
    axes = call.first()
    given = call.arg(2, "dim", default=(-2, -1) if call.name.endswith("2") else None)
    sizes = call.arg(1, "s")
    if given is None and sizes is not None:
        given = tuple(range(-len(sizes), 0))
    call.mixes(*(axes[dim] for dim in dims_of(given, len(axes))))
    return resized(axes, call.shape, "fft")


@rule("fft_fftshift", "fft_ifftshift")
def shift(call: Call) -> Outcome:
    """Values rotate along `dim`."""
    axes = call.first()
    call.moves(*(axes[dim] for dim in dims_of(call.arg(1, "dim"), len(axes))))
    return axes
