"""Operators that keep the axes and carry values along one: softmax, cumulative ones, sorts, transforms."""

from dimtyped.flow.axes import Axes, anonymous
from dimtyped.flow.calls import Call, NoRule, Outcome, dim_of, dims_of, replaced, resized
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
    """Along `dim`; a vector's order is a ranking, which then belongs to no name."""
    axes = call.first()
    if not axes:
        return axes
    given = call.arg(1, "dim", default=-1)
    stable = isinstance(given, bool)
    dim = dim_of(-1 if stable else given, len(axes)) if call.name != "msort" else 0
    if len(axes) == 1:
        call.moves(axes[0])
        return (anonymous(axes[0].size, f"sorted {axes[0]}" if axes[0].has_name else "sort"),)
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
    """Differences of neighbours along `dim`."""
    axes = call.first()
    dim = dim_of(call.arg(2, "dim", default=-1), len(axes))
    call.moves(axes[dim])
    return replaced(axes, dim, anonymous(_length(call, dim), f"differences along {axes[dim]}"))


def _length(call: Call, dim: int) -> int:
    return call.shape[dim]


@rule("gradient", "trapezoid", "trapz", "cumulative_trapezoid")
def given_up(_: Call) -> Outcome:
    """Rare: nothing is said."""
    raise NoRule


@rule("fft_fft", "fft_ifft", "fft_rfft", "fft_irfft", "fft_hfft", "fft_ihfft")
def transform(call: Call) -> Outcome:
    """Along `dim`; another length is another axis."""
    axes = call.first()
    dim = dim_of(call.arg(2, "dim", default=-1), len(axes))
    call.mixes(axes[dim])
    return resized(axes, call.shape, "fft")


@rule("fft_fft2", "fft_ifft2", "fft_rfft2", "fft_irfft2", "fft_fftn", "fft_ifftn", "fft_rfftn", "fft_irfftn")
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
    """Values go round along `dim`."""
    axes = call.first()
    call.moves(*(axes[dim] for dim in dims_of(call.arg(1, "dim"), len(axes))))
    return axes
