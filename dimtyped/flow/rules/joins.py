"""Operators that join tensors."""

from collections.abc import Sequence

from torch import Tensor

from dimtyped.flow.axes import INSERTED, Axes, Axis, anonymous, product, same
from dimtyped.flow.calls import Call, NoRule, Outcome, dim_of
from dimtyped.flow.rules.table import rule


def _listed(call: Call) -> list[Tensor]:
    tensors = call.arg(0, "tensors")
    return [tensor for tensor in tensors if isinstance(tensor, Tensor)]


def joined(call: Call, operands: Sequence[Axes], dim: int, size: int) -> Axes:
    """The axes of tensors in a row along `dim`; the others are equals."""
    operands = [axes for axes in operands if len(axes) != 1 or axes[0].size or len(operands[0]) == 1]
    call.moves(*(axes[dim] for axes in operands))
    made = list(operands[0])
    for axes in operands[1:]:
        made = [
            axis if index == dim else call.meet_if_sizes_agree(axis, axes[index]) for index, axis in enumerate(made)
        ]
    made[dim] = _row([axes[dim] for axes in operands], size)
    return tuple(made)


def _row(axes: Sequence[Axis], size: int) -> Axis:
    """The axis of a concatenation: several times the same axis, or a new one."""
    first, *others = axes
    if not others or first.size == size:
        return next(axis for axis in axes if axis.size == size)
    if first.has_name and all(same(first, axis) for axis in others):
        return product([anonymous(len(axes), "cat"), first])
    named = " and ".join(dict.fromkeys(str(axis) for axis in axes if axis.has_name))
    return anonymous(size, f"cat of {named}" if named else "cat")


@rule("cat", "concat", "concatenate")
def cat(call: Call) -> Outcome:
    """Concatenation along an existing axis."""
    operands = [call.axes(tensor) for tensor in _listed(call)]
    rank = max(map(len, operands))
    dim = dim_of(call.arg(1, "dim", "axis", default=0), rank)
    operands = [axes for axes in operands if len(axes) == rank]
    size = sum(axes[dim].size for axes in operands)
    made = joined(call, operands, dim, size)
    if size != call.shape[dim]:
        raise NoRule
    return made


@rule("stack")
def stack(call: Call) -> Outcome:
    """Concatenation along a new axis."""
    first, *others = (call.axes(tensor) for tensor in _listed(call))
    for axes in others:
        first = tuple(call.meet(mine, theirs) for mine, theirs in zip(first, axes, strict=True))
    dim = dim_of(call.arg(1, "dim", "axis", default=0), len(first) + 1)
    return (*first[:dim], anonymous(call.shape[dim], "stack"), *first[dim:])


@rule("pad_sequence")
def pad_sequence(call: Call) -> Outcome:
    """(time, *) of several lengths give (batch, time, *)."""
    operands, sizes = [call.axes(tensor) for tensor in call.tensors], call.shape
    is_batch_first = bool(call.arg(1, "batch_first", default=False))
    time, *rest = operands[0]
    for first, *others in operands[1:]:
        time = call.meet(time, first) if time.size == first.size else anonymous(max(time.size, first.size), "padded")
        rest = [call.meet(mine, theirs) for mine, theirs in zip(rest, others, strict=True)]
    call.moves(*(axes[0] for axes in operands))
    batch = anonymous(len(operands), "pad_sequence")
    time = time if time.size == sizes[1 if is_batch_first else 0] else anonymous(sizes[1 if is_batch_first else 0])
    return (batch, time, *rest) if is_batch_first else (time, batch, *rest)


@rule("hstack", "vstack", "row_stack", "dstack", "column_stack")
def stack_of_parts(call: Call) -> Outcome:
    """`cat` of tensors that have as many axes as the name says, or get them."""
    operands = [_at_least(call.axes(tensor), call.name) for tensor in _listed(call)]
    dim = {"hstack": min(1, len(operands[0]) - 1), "column_stack": 1, "dstack": 2}.get(call.name, 0)
    return joined(call, operands, dim, call.shape[dim])


def _at_least(axes: Axes, name: str) -> Axes:
    if name == "hstack":
        return axes or (INSERTED,)
    if name == "column_stack":
        return (*axes, INSERTED, INSERTED)[:2] if len(axes) < 2 else axes
    if name == "dstack":
        return (INSERTED, *axes, INSERTED, INSERTED)[:3] if len(axes) < 2 else (*axes, INSERTED)[: max(3, len(axes))]
    return (INSERTED, *axes, INSERTED)[:2] if len(axes) < 2 else axes


@rule("meshgrid")
def meshgrid(call: Call) -> Outcome:
    """Each vector along an axis of its own."""
    axes = tuple(_vector(call.axes(tensor)) for tensor in call.tensors)
    if call.kwargs.get("indexing") == "xy" and len(axes) > 1:
        axes = (axes[1], axes[0], *axes[2:])
    return axes


def _vector(axes: Axes) -> Axis:
    return axes[0] if axes else Axis()


@rule("cartesian_prod")
def cartesian_prod(call: Call) -> Outcome:
    """Every item with every item, in one axis."""
    axes = tuple(_vector(call.axes(tensor)) for tensor in call.tensors)
    return axes if len(axes) == 1 else (product(axes), anonymous(len(axes)))
