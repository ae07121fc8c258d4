"""Losses: predictions and targets have equal axes, and are reduced."""

from torch import Tensor

from dimtyped.flow.axes import Axes, One, anonymous, same
from dimtyped.flow.calls import Call, NoRule, Outcome, text_of, without
from dimtyped.flow.rules.table import rule


def _left(call: Call, axes: Axes) -> Axes:
    """The axes of an unreduced loss, or none."""
    if call.shape == ():
        call.mixes(*axes)
        return ()
    return axes


@rule(
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "kl_div",
)
@rule("poisson_nll_loss", "soft_margin_loss", "hinge_embedding_loss")
def pointwise_loss(call: Call) -> Outcome:
    """Losses item by item: broadcasting one operand is reported, since comparing every item with every item is hardly intended."""
    return _item_by_item(call, tuple(map(call.axes, call.tensors)))


@rule("gaussian_nll_loss")
def gaussian_loss(call: Call) -> Outcome:
    """A variance may lack the last axis of the predictions: torch gives it one of size 1."""
    first, variance = call.first(), call.tensor(2, "var")
    is_short = bool(first) and tuple(variance.shape) == tuple(axis.size for axis in first[:-1])
    last = (anonymous(1, one=One.INSERTED),) if is_short else ()
    return _item_by_item(call, (first, call.axes(call.tensor(1, "target")), (*call.axes(variance), *last)))


def _item_by_item(call: Call, operands: tuple[Axes, ...]) -> Outcome:
    first, second = call.first(), call.axes(call.tensor(1, "target"))
    _report_pairs(call, first, second)
    both = call.broadcast(*operands) if not call.problems else call.broadcast(first)
    if call.problems and call.shape:
        raise NoRule
    return _left(call, both)


_GIVEN = (One.INSERTED, One.KEPT)
"""Axes of 1 that other operators may broadcast on purpose, as distances do; a loss does not."""


def _report_pairs(call: Call, first: Axes, second: Axes) -> None:
    """`(batch)` with `(batch, 1)`, wherever the 1 comes from."""
    short, tall = sorted((first, second), key=len)
    if not short or len(short) == len(tall):
        return
    outer = tall[: len(tall) - len(short)]
    for axis, beside in zip(short, tall[len(tall) - len(short) :], strict=True):
        is_given = beside.size == 1 and beside.one in _GIVEN
        if is_given and axis.is_named and any(same(axis, other) for other in outer):
            call.report("outer", f"{text_of(first)} with {text_of(second)} compares every item with every item", axis)


@rule(
    "cross_entropy",
    "nll_loss",
    "cross_entropy_loss",
    "nll_loss_nd",
    "nll_loss2d",
    "nll_loss_forward",
    "nll_loss2d_forward",
)
def class_loss(call: Call) -> Outcome:
    """(batch, classes, *) with a target of (batch, *); or of the same shape, for probabilities."""
    axes, target = call.first(), call.axes(call.tensor(1, "target"))
    if len(axes) == len(target):
        both = call.broadcast(axes, target)
        classes = min(1, len(both) - 1)
        call.mixes(target[classes], *(axis for tensor in call.tensors[2:] for axis in call.axes(tensor)))
        return _reduced(call, without(both, [classes]), axes)
    at = 1 if len(axes) > 1 else 0
    both = tuple(call.meet(mine, theirs) for mine, theirs in zip(without(axes, [at]), target, strict=True))
    weight = call.arg(2, "weight")
    if isinstance(weight, Tensor):
        call.meet(axes[at], call.axes(weight)[0])
        call.mixes(*call.axes(weight))
    return _reduced(call, both, axes)


def _reduced(call: Call, left: Axes, axes: Axes) -> Outcome:
    call.mixes(axes[min(1, len(axes) - 1)])
    if isinstance(call.result, Tensor):
        return _left(call, left)
    first = call.tensors_out[0]
    return [left if first.dim() else (), *(None for _ in call.tensors_out[1:])]


@rule("multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss")
def margin_loss(call: Call) -> Outcome:
    """(batch, classes) with one target, or one for each class."""
    axes, target = call.first(), call.axes(call.tensor(1, "target"))
    if len(target) == len(axes):
        axes = call.broadcast(axes, target)
    elif target and axes:
        axes = replaced_first(call, axes, target)
    call.mixes(*axes[-1:], *(axis for tensor in call.tensors[2:] for axis in call.axes(tensor)))
    return _left(call, axes[:-1])


def replaced_first(call: Call, axes: Axes, target: Axes) -> Axes:
    """The axes whose first one has met that of the target."""
    return (call.meet(axes[0], target[0]), *axes[1:])


@rule("margin_ranking_loss")
def margin_ranking_loss(call: Call) -> Outcome:
    """Item by item, of three."""
    return _left(call, call.broadcast(*map(call.axes, call.tensors)))


@rule("triplet_margin_loss", "triplet_margin_with_distance_loss", "cosine_embedding_loss")
def distance_loss(call: Call) -> Outcome:
    """Rows are compared along their last axis; `cosine_embedding_loss` has a target for each row."""
    first, second = call.first(), call.axes(call.tensors[1])
    both = call.broadcast(first, second)
    third = call.axes(call.tensors[2])
    if call.name == "cosine_embedding_loss":
        if both[:-1] and third:
            call.broadcast(both[:-1], third)
    else:
        both = call.broadcast(both, third)
    call.mixes(*both[-1:])
    return _left(call, both[:-1])


@rule("cosine_similarity", "pairwise_distance")
def similarity(call: Call) -> Outcome:
    """Along `dim`; of rows for a distance."""
    both = call.broadcast(*map(call.axes, call.tensors[:2]))
    dim = call.arg(2, "dim", default=1) if call.name == "cosine_similarity" else -1
    call.mixes(both[dim])
    left = without(both, [dim % len(both)])
    if call.name == "pairwise_distance" and call.arg(4, "keepdim", default=False):
        raise NoRule
    return left


@rule("ctc_loss")
def ctc_loss(call: Call) -> Outcome:
    """(time, batch, classes) with targets of (batch, length)."""
    axes, target = call.first(), call.axes(call.tensor(1, "targets"))
    batch = axes[1:2] if len(axes) == 3 else ()
    lengths = [call.axes(each) for each in call.tensors[2:] if each.dim()]
    for axis in (*(target[:1] if len(target) == 2 else ()), *(axes[0] for axes in lengths)):
        batch = (call.meet(batch[0], axis),) if batch else ()
    call.moves(*target[-1:])
    call.mixes(axes[0], axes[-1])
    return _left(call, batch)


@rule("linear_cross_entropy")
def linear_cross_entropy(call: Call) -> Outcome:
    """(batch, embed) with a weight of (vocab, embed) and a target of (batch)."""
    axes, weight = call.first(), call.axes(call.tensor(1, "linear_weight"))
    target = call.axes(call.tensor(2, "target"))
    call.contract((), (axes[-1], weight[-1]))
    call.mixes(weight[0], *(axis for tensor in call.tensors[3:] for axis in call.axes(tensor)))
    if len(axes) != len(target) + 1:
        raise NoRule
    return _left(call, call.broadcast(axes[:-1], target))
