"""Linear algebra: leading axes are a batch, the last two are a matrix whose axes do not appear in the result."""

from collections.abc import Sequence

from torch import Tensor

from dimtyped.flow.axes import Axes, anonymous
from dimtyped.flow.calls import Call, NoRule, Outcome
from dimtyped.flow.rules.table import rule


def _batched(call: Call, batch: Axes) -> Outcome:
    """Each result with the axes of the batch, and new ones for the rest."""
    results = call.result if isinstance(call.result, (tuple, list)) else (call.result,)
    shapes = [tuple(result.shape) for result in results if isinstance(result, Tensor)]
    return [_with_batch(batch, shape, call.name) for shape in shapes]


def _with_batch(batch: Axes, sizes: Sequence[int], name: str) -> Axes:
    if tuple(axis.size for axis in batch) != tuple(sizes[: len(batch)]):
        raise NoRule
    return (*batch, *(anonymous(size, name) for size in sizes[len(batch) :]))


_OF_ONE = (
    "cholesky cholesky_inverse linalg_cholesky linalg_cholesky_ex inverse linalg_inv linalg_inv_ex pinverse linalg_pinv "
    "logdet det linalg_det slogdet linalg_slogdet linalg_eig linalg_eigvals linalg_eigh linalg_eigvalsh svd linalg_svd "
    "linalg_svdvals qr linalg_qr geqrf lu linalg_lu linalg_lu_factor linalg_lu_factor_ex linalg_matrix_rank linalg_cond "
    "linalg_ldl_factor linalg_ldl_factor_ex svd_lowrank pca_lowrank linalg_matrix_sqrth linalg_polar"
)
_OF_TWO = (
    "linalg_solve linalg_solve_ex linalg_solve_triangular triangular_solve cholesky_solve orgqr linalg_lstsq ormqr lu_solve "
    "linalg_lu_solve linalg_householder_product linalg_ldl_solve"
)


@rule(*_OF_ONE.split())
def of_a_matrix(call: Call) -> Outcome:
    """Functions of each matrix of a batch."""
    axes = call.first()
    for other in call.tensors[1:]:
        call.moves(*call.axes(other))
    call.mixes(*axes[-2:])
    return _batched(call, axes[:-2])


@rule(*_OF_TWO.split())
def of_two_matrices(call: Call) -> Outcome:
    """Functions of two matrices of each batch; the second may be a vector."""
    first, *others = map(call.axes, call.tensors)
    batch = first[:-2]
    call.mixes(*first[-2:])
    for other in others:
        if len(other) == len(first) and other[:-2]:
            batch = call.broadcast(batch, other[:-2])
            call.mixes(*other[-2:])
        else:
            call.moves(*other)
    return _batched(call, batch)


@rule("cross", "linalg_cross")
def cross(call: Call) -> Outcome:
    """Along an axis of three: the last, or the first one that has three."""
    both = call.broadcast(*map(call.axes, call.tensors))
    default = -1 if call.name == "linalg_cross" else None
    dim = call.arg(2, "dim", default=default)
    call.mixes(both[dim if dim is not None else [axis.size for axis in both].index(3)])
    return both


@rule("cov", "corrcoef")
def covariance(call: Call) -> Outcome:
    """(variables, observations) gives (variables, variables)."""
    axes = call.first()
    if not axes:
        return ()
    observations = axes[-1]
    for weights in call.tensors[1:]:
        observations = call.meet(observations, call.axes(weights)[-1])
    call.mixes(axes[-1], observations)
    return (axes[0], axes[0]) if len(call.shape) == 2 else ()


@rule("linalg_vander")
def vander(call: Call) -> Outcome:
    """Powers along a new last axis."""
    return (*call.first(), anonymous(call.shape[-1], "powers"))


@rule("pdist")
def pdist(call: Call) -> Outcome:
    """One number for each pair of rows."""
    call.moves(*call.first())
    return (anonymous(call.shape[0], "pairs"),)


@rule("stft", "istft")
def stft(call: Call) -> Outcome:
    """(batch, time) gives (batch, frequencies, frames), and back."""
    axes, sizes = call.first(), call.shape
    batch = axes[:1] if len(axes) == (2 if call.name == "stft" else 3) else ()
    call.moves(*axes[len(batch) :])
    for window in call.tensors[1:]:
        call.moves(*call.axes(window))
    return _with_batch(batch, sizes, call.name)
