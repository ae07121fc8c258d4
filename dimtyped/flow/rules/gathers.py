"""Operators that take or put items by index."""

from torch import Tensor

from dimtyped.flow.axes import Axes, Axis, anonymous
from dimtyped.flow.calls import Call, NoRule, Outcome, dim_of, replaced
from dimtyped.flow.rules.table import rule


@rule("embedding")
def torch_embedding(call: Call) -> Outcome:
    """`torch.embedding(weight, indices)`: a row for each index."""
    weight = call.axes(call.tensor(0, "weight"))
    call.moves(weight[0])
    return (*call.axes(call.tensor(1, "indices")), *weight[1:])


@rule("F.embedding")
def embedding(call: Call) -> Outcome:
    """`F.embedding(input, weight)`: a row for each index."""
    if call.arg(2, "padding_idx") == -1:
        words = call.axes(call.tensor(1, "weight"))[0]
        call.report("degenerate", "padding_idx=-1 freezes the last word; leave it out for no padding", words)
    weight = call.axes(call.tensor(1, "weight"))
    call.moves(weight[0])
    if call.arg(3, "max_norm") is not None:
        call.mixes(weight[-1])
    return (*call.axes(call.tensor(0, "input")), *weight[1:])


@rule("embedding_bag", "_embedding_bag")
def torch_embedding_bag(call: Call) -> Outcome:
    """`torch.embedding_bag(weight, indices, offsets)`: a row for each bag."""
    weight, indices = call.axes(call.tensor(0, "weight")), call.axes(call.tensor(1, "indices"))
    call.moves(weight[0], *call.axes(call.tensor(2, "offsets")))
    call.mixes(indices[-1])
    first = call.tensors_out[0]
    return [(anonymous(first.shape[0], "bags"), *weight[1:]), *(None for _ in call.tensors_out[1:])]


@rule("F.embedding_bag")
def embedding_bag(call: Call) -> Outcome:
    """A row for each bag: a row of indices, or the indices between two offsets."""
    indices, weight = call.axes(call.tensor(0, "input")), call.axes(call.tensor(1, "weight"))
    weights = call.arg(8, "per_sample_weights")
    if isinstance(weights, Tensor):
        indices = call.broadcast(indices, call.axes(weights))
        call.mixes(call.axes(weights)[-1])
    call.mixes(indices[-1])
    call.moves(weight[0])
    if call.arg(3, "max_norm") is not None:
        call.mixes(weight[-1])
    if len(indices) == 2:
        return (indices[0], *weight[1:])
    offsets = call.axes(call.tensor(2, "offsets"))
    call.moves(*offsets)
    return (offsets[0] if offsets[0].size == call.shape[0] else anonymous(call.shape[0], "bags"), *weight[1:])


@rule("one_hot")
def one_hot(call: Call) -> Outcome:
    """A new last axis of classes."""
    return (*call.first(), anonymous(call.shape[-1], "classes of one_hot"))


@rule("gather")
def gather(call: Call) -> Outcome:
    """An item of the input for each index; the other axes are equals."""
    axes, index = call.first(), call.axes(call.tensor(2, "index"))
    if not axes or not index:
        return index
    dim = dim_of(call.arg(1, "dim"), len(axes))
    call.moves(axes[dim])
    if len(axes) != len(index):
        raise NoRule
    return tuple(
        call.meet(axis, mine) if place != dim and mine.size == axis.size else axis
        for place, (axis, mine) in enumerate(zip(index, axes, strict=True))
    )


@rule("take_along_dim")
def take_along_dim(call: Call) -> Outcome:
    """`gather` whose other axes are broadcast."""
    axes, index = call.first(), call.axes(call.tensor(1, "indices"))
    dim = call.arg(2, "dim")
    if dim is None:
        call.moves(*axes, *index)
        return index if len(index) == 1 else (anonymous(call.shape[0], "take_along_dim"),)
    dim = dim_of(dim, len(axes))
    call.moves(axes[dim])
    return replaced(call.broadcast(replaced(axes, dim, Axis()), replaced(index, dim, Axis())), dim, index[dim])


@rule("index_select")
def index_select(call: Call) -> Outcome:
    """An axis of indices in place of another."""
    axes, index = call.first(), call.axes(call.tensor(2, "index"))
    if not axes:
        return axes
    dim = dim_of(call.arg(1, "dim"), len(axes))
    call.moves(axes[dim])
    return replaced(axes, dim, index[0] if index else Axis())


@rule("take")
def take(call: Call) -> Outcome:
    """Items of the flattened input."""
    call.moves(*call.first())
    return call.axes(call.tensor(1, "index"))


@rule(
    "masked_select",
    "nonzero",
    "argwhere",
    "unique",
    "unique_consecutive",
    "_unique2",
    "bincount",
    "nonzero_static",
    "block_diag",
    "combinations",
    "histc",
    "histogram",
)
def as_many_as_the_values_say(call: Call) -> Outcome:
    """New axes: how long they are depends on the values."""
    tensors = call.result if isinstance(call.result, (tuple, list)) else (call.result,)
    call.moves(*(axis for tensor in call.tensors for axis in call.axes(tensor)))
    return [tuple(map(anonymous, tensor.shape)) for tensor in tensors if isinstance(tensor, Tensor)]


@rule("scatter", "scatter_add", "scatter_reduce")
def scatter(call: Call) -> Outcome:
    """Items are put into the input along `dim`; the other axes of index and source are its."""
    axes, index = call.first(), call.axes(call.tensor(2, "index"))
    if not axes or not index:
        return axes
    dim = dim_of(call.arg(1, "dim"), len(axes))
    source = call.arg(3, "src", "value")
    operands = [index, *([call.axes(source)] if isinstance(source, Tensor) and source.dim() else [])]
    made = axes
    for operand in operands:
        made = _met_beside(call, made, operand, dim)
        call.moves(operand[dim], *(axis for axis, whole in zip(operand, axes, strict=True) if axis.size != whole.size))
    if len(operands) > 1 and operands[0][dim].size == operands[1][dim].size:
        call.meet(operands[0][dim], operands[1][dim])
    return made


def _met_beside(call: Call, axes: Axes, other: Axes, dim: int) -> Axes:
    return tuple(
        call.meet(axis, theirs) if place != dim and axis.size == theirs.size else axis
        for place, (axis, theirs) in enumerate(zip(axes, other, strict=True))
    )


@rule("index_add", "index_copy", "index_reduce")
def index_add(call: Call) -> Outcome:
    """Slices of the source are put into the input along `dim`."""
    axes, source = call.first(), call.axes(call.tensor(3, "source", "tensor"))
    if not axes or not source:
        return axes
    dim = dim_of(call.arg(1, "dim"), len(axes))
    index = call.axes(call.tensor(2, "index"))
    call.moves(source[dim], *index)
    if index and index[0].size == source[dim].size:
        call.meet(index[0], source[dim])
    return _met_beside(call, axes, source, dim)


@rule("index_fill")
def index_fill(call: Call) -> Outcome:
    """A value at some indices of an axis."""
    call.moves(*call.axes(call.tensor(2, "index")))
    return call.first()


@rule("masked_scatter")
def masked_scatter(call: Call) -> Outcome:
    """Values where a mask says so, in the order of the source."""
    mask = call.axes(call.tensor(1, "mask"))
    call.moves(*call.axes(call.tensor(2, "source")), *mask)
    return call.broadcast(call.first(), mask)


@rule("slice_scatter", "select_scatter", "diagonal_scatter", "put", "index_put", "_index_put_impl")
def put(call: Call) -> Outcome:
    """The axes of the input; where the source goes is not followed."""
    for tensor in call.tensors[1:]:
        call.moves(*call.axes(tensor))
    return call.first()
