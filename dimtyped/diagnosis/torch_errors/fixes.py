"""Fixes: other code for a failed operation, proposed by kind of operator and tried on shapes alone."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator

from dimtyped.diagnosis.torch_errors.failure import Failure
from dimtyped.diagnosis.torch_errors.operand_edits import (
    Root,
    along_other_axis,
    classes_first,
    each,
    edited,
    expanded_like,
    method,
    number,
    shortened,
    swapped,
    transposed,
    with_axis,
    with_axis_in_front,
    without_axis,
)

Proposer = Callable[[Failure, Root], Iterator[Root]]
"""Proposes code in place of a failed operation, the likeliest first."""


def proposals(failure: Failure, root: Root) -> Iterator[Root]:
    """Everything that is proposed for an operation, the likeliest first."""
    if "Dimension out of range" in failure.message:
        yield from axis_in_range(failure, root)
        return
    for proposer in PROPOSERS.get(failure.name, ()):
        yield from proposer(failure, root)


# Operations -----------------------------------------------------------------------------------------------------------


def transposes(failure: Failure, root: Root) -> Iterator[Root]:
    """An operand with two axes swapped, from the last operand to the first."""
    yield from each(reversed(failure.operands), transposed, root)


def axes_added(failure: Failure, root: Root) -> Iterator[Root]:
    """The operand with fewer axes gets one."""
    most = max((operand.rank for operand in failure.operands), default=0)
    yield from each(failure.operands, lambda operand: with_axis(operand, most), root)


def other_axes(failure: Failure, root: Root) -> Iterator[Root]:
    """A reduction over another axis."""
    yield from each(failure.operands, along_other_axis, root)


def expanded(failure: Failure, root: Root) -> Iterator[Root]:
    """The operand with fewer axes is expanded along a new one, to another operand's size."""
    if failure.operands:
        tall = max(failure.operands, key=lambda operand: operand.rank)
        yield from each(failure.operands, lambda operand: expanded_like(operand, tall), root)


def axes_removed(failure: Failure, root: Root) -> Iterator[Root]:
    """An operand loses an axis of size 1."""
    yield from each(sorted(failure.operands, key=lambda operand: -operand.rank), without_axis, root)


def shifts(failure: Failure, root: Root) -> Iterator[Root]:
    """Of two operands, the one that is longer by one step is shortened."""
    if len(failure.operands) != 2:
        return
    first, second = failure.operands
    longer = first if sum(first.sizes[-second.rank :]) > sum(second.sizes[: first.rank]) else second
    by_axis = [abs(a - b) for a, b in zip(first.sizes, second.sizes, strict=False)]
    if 1 in by_axis and all(step in (0, 1) for step in by_axis[: by_axis.index(1) + 1]):
        yield from each([longer], shortened, root)


def class_shifts(failure: Failure, root: Root) -> Iterator[Root]:
    """Predictions or targets of classes, whichever are longer by one step, are shortened."""
    x, target = failure.operands[:2] if len(failure.operands) > 1 else (None, None)
    if x is None or target is None or x.rank != target.rank + 1 or x.rank < 2:
        return
    steps = [a - b for a, b in zip((x.sizes[0], *x.sizes[2:]), target.sizes, strict=True)]
    if sorted(map(abs, steps)) == [0] * (len(steps) - 1) + [1]:
        yield from each([x if sum(steps) > 0 else target], shortened, root)


def of_any_rank(failure: Failure, root: Root) -> Iterator[Root]:
    """`matmul` in place of `mm` or `bmm`, which take only two or three axes."""
    call = _call_of(root)
    ranks = [operand.rank for operand in failure.operands]
    if call is None or not isinstance(call.func, ast.Attribute) or ranks in ([2, 2], [3, 3]):
        return
    yield edited(root, [(call.func, ast.Attribute(call.func.value, "matmul", ast.Load()))])


def factors_swapped(failure: Failure, root: Root) -> Iterator[Root]:
    """The factors of a product in the other order."""
    if len(failure.operands) == 2 and all(operand.node is not None for operand in failure.operands):
        first, second = (operand.node for operand in failure.operands)
        assert first is not None
        assert second is not None
        yield edited(root, [(first, second), (second, first)])


def both_transposed(failure: Failure, root: Root) -> Iterator[Root]:
    """Every operand with the same two axes swapped: heads before time in attention."""
    operands = [operand for operand in failure.operands if operand.node is not None]
    if len(operands) >= 2 and all(operand.rank == operands[0].rank >= 3 for operand in operands):
        edits = [(operand.node, swapped(operand.node, operand.rank, 1, 2)) for operand in operands if operand.node]
        yield edited(root, edits)


def other_dim(failure: Failure, root: Root) -> Iterator[Root]:
    """Another axis to join along."""
    rank = failure.operands[0].rank if failure.operands else 0
    part, call = failure.part(1, "dim", "axis"), _call_of(root)
    for dim in (*range(rank), -1):
        if part is not None and part.node is not None:
            yield edited(root, [(part.node, number(dim))])
        elif part is None and call is not None:
            yield edited(root, [(call, _with_keyword(call, "dim", number(dim)))])


def axis_in_range(failure: Failure, root: Root) -> Iterator[Root]:
    """The last axis, if the tensor has no axis of that index."""
    for part in (*failure.operation.args[1:], *failure.operation.kwargs.values()):
        if part.node is not None and type(part.value) is int and failure.operands:
            for dim in (-1, failure.operands[0].rank - 1):
                yield edited(root, [(part.node, number(dim))])


def expand_after_axis(failure: Failure, root: Root) -> Iterator[Root]:
    """A new axis before the expansion."""
    sizes, other = failure.ints(1, "size", "sizes", "shape"), failure.operand(1, "other")
    most = len(sizes) if sizes is not None else other.rank if other is not None else 0
    yield from each(failure.operands[:1], lambda operand: with_axis(operand, most), root)


def reshaped(_: Failure, root: Root) -> Iterator[Root]:
    """`reshape` in place of `view`."""
    call = _call_of(root)
    if call is not None and isinstance(call.func, ast.Attribute) and call.func.attr in ("view", "view_as"):
        name = call.func.attr.replace("view", "reshape")
        yield edited(root, [(call.func, ast.Attribute(call.func.value, name, ast.Load()))])


def size_left_open(failure: Failure, root: Root) -> Iterator[Root]:
    """-1 in place of one of the sizes, the first one first."""
    parts = [part for part in failure.operation.args[1:] if part.node is not None]
    if len(parts) == 1 and isinstance(parts[0].node, ast.Tuple | ast.List):
        nodes = list(parts[0].node.elts)
    else:
        nodes = [part.node for part in parts if part.node is not None]
    for node in nodes:
        yield edited(root, [(node, number(-1))])


def classes_moved(failure: Failure, root: Root) -> Iterator[Root]:
    """The classes to axis 1; the target without an axis of size 1."""
    yield from each(failure.operands[:1], classes_first, root)
    yield from each(failure.operands[1:2], without_axis, root)
    x, target = failure.operands[0], failure.operands[1] if len(failure.operands) > 1 else None
    if target is not None and x.rank == 2 and target.rank == 2 and x.node is not None and target.node is not None:
        yield edited(root, [(target.node, method(target.node, "flatten"))])


def channels_moved(failure: Failure, root: Root) -> Iterator[Root]:
    """The channels moved to their axis, or a new axis for the batch or the channels."""
    yield from each(failure.operands[:1], classes_first, root)
    yield from each(failure.operands[:1], transposed, root)
    yield from each(failure.operands[:1], with_axis_in_front, root)


def first_transposed(failure: Failure, root: Root) -> Iterator[Root]:
    """The first operand with two axes swapped."""
    yield from each(failure.operands[:1], transposed, root)


def index_with_axis(failure: Failure, root: Root) -> Iterator[Root]:
    """The index gets an axis, or loses one."""
    index = [operand for operand in failure.operands if not operand.dtype.is_floating_point]
    most = max((operand.rank for operand in failure.operands), default=0)
    yield from each(index, lambda operand: with_axis(operand, most), root)
    yield from each(index, without_axis, root)
    yield from each(index, transposed, root)


def mask_of_next_axis(failure: Failure, root: Root) -> Iterator[Root]:
    """A mask applied to axis 1, not to the first."""
    part = failure.part(1)
    if part is not None and part.node is not None and not isinstance(part.node, ast.Tuple):
        yield edited(root, [(part.node, ast.Tuple([ast.Slice(), part.node], ast.Load()))])


def batch_comes_first(failure: Failure, root: Root) -> Iterator[Root]:
    """`batch_first=True`, where it is not given."""
    call = _call_of(root)
    if call is None:
        return
    part = failure.part(2, "batch_first")
    if part is None:
        yield edited(root, [(call, _with_keyword(call, "batch_first", ast.Constant(value=True)))])
    elif part.node is not None and part.value in (True, False):
        yield edited(root, [(part.node, ast.Constant(value=not part.value))])


def letters(failure: Failure, root: Root) -> Iterator[Root]:
    """Two letters of an operand of einsum swapped."""
    part = failure.part(0, "equation")
    if part is None or part.node is None or not isinstance(part.value, str) or "..." in part.value:
        return
    before, arrow, after = part.value.replace(" ", "").partition("->")
    terms = before.split(",")
    for index in range(len(terms) - 1, -1, -1):
        for first, second in itertools.combinations(range(len(terms[index])), 2):
            changed = list(terms[index])
            changed[first], changed[second] = changed[second], changed[first]
            made = ",".join([*terms[:index], "".join(changed), *terms[index + 1 :]]) + arrow + after
            yield edited(root, [(part.node, ast.Constant(made))])


def _call_of(root: Root) -> ast.Call | None:
    return root if isinstance(root, ast.Call) else None


def _with_keyword(call: ast.Call, name: str, value: ast.expr) -> ast.Call:
    return ast.Call(call.func, call.args, [*call.keywords, ast.keyword(name, value)])


_BY_PROPOSERS: dict[tuple[Proposer, ...], str] = {
    (transposes, factors_swapped, axes_added, axes_removed): "matmul mv dot inner addmm baddbmm",
    (of_any_rank, transposes, factors_swapped, axes_added, axes_removed): "mm bmm",
    (first_transposed, transposes): "linear bilinear",
    (letters,): "einsum",
    (both_transposed, axes_added, transposes): "scaled_dot_product_attention",
    (axes_added, axes_removed, other_dim, expanded, transposes): "cat concat concatenate",
    (axes_removed, axes_added, transposes): "stack vstack hstack dstack",
    (reshaped, size_left_open): "view reshape view_as reshape_as",
    (expand_after_axis, axes_removed): "expand expand_as broadcast_to",
    (classes_moved, class_shifts): "cross_entropy nll_loss",
    (index_with_axis,): "gather scatter scatter_add scatter_reduce take_along_dim index_select",
    (mask_of_next_axis,): "getitem",
    (channels_moved,): "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d batch_norm group_norm",
    (first_transposed,): "layer_norm rms_norm",
    (batch_comes_first,): "pack_padded_sequence",
}
_POINTWISE: dict[tuple[Proposer, ...], str] = {
    (axes_removed, axes_added, other_axes, transposes, shifts): (
        "add sub mul div truediv floordiv mod pow maximum minimum eq ne lt le gt ge and or xor where masked_fill lerp addcmul "
        "copy iop setitem logical_and logical_or cosine_similarity"
    ),
    (axes_removed, shifts, axes_added, transposes): (
        "mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits"
    ),
}
PROPOSERS: dict[str, tuple[Proposer, ...]] = {
    name: proposers
    for table in (_BY_PROPOSERS, _POINTWISE)
    for proposers, names in table.items()
    for name in names.split()
}
"""What proposes fixes for each operator."""
