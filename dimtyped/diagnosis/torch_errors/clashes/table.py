"""The rule of each operator, by its name."""

from __future__ import annotations

from dimtyped.diagnosis.torch_errors.clashes import contractions, indexing, joins, losses, networks, pointwise, views
from dimtyped.diagnosis.torch_errors.failure import Clash, Failure, Rule

_BY_RULE: dict[Rule, str] = {
    contractions.product: "matmul mm bmm mv dot vdot inner addmm addmv addbmm baddbmm addr outer ger __matmul__ __rmatmul__",
    contractions.linear: "linear",
    contractions.bilinear: "bilinear",
    contractions.einsum: "einsum",
    contractions.attention: "scaled_dot_product_attention",
    joins.cat: "cat concat concatenate",
    joins.stack: "stack",
    joins.stack_along(0): "vstack row_stack",
    joins.stack_along(1): "hstack column_stack",
    joins.stack_along(2): "dstack",
    views.reshape: "view reshape",
    views.same_shape: "view_as reshape_as",
    views.unflatten: "unflatten",
    views.expand: "expand expand_as broadcast_to",
    views.permute: "permute",
    views.split: "split split_with_sizes",
    views.repeat: "repeat tile",
    losses.classes: "cross_entropy nll_loss cross_entropy_loss nll_loss2d",
    losses.elementwise: (
        "mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits "
        "multilabel_soft_margin_loss soft_margin_loss gaussian_nll_loss poisson_nll_loss kl_div"
    ),
    indexing.item: "getitem",
    indexing.assigned: "setitem",
    indexing.gather: "gather scatter scatter_add scatter_reduce take_along_dim",
    indexing.index_select: "index_select",
    indexing.select: "select narrow",
    indexing.embedding: "embedding embedding_bag",
    indexing.one_number: "item backward bool int float",
    networks.convolution: "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d",
    networks.layer_norm: "layer_norm rms_norm",
    networks.channels_first: "batch_norm group_norm prelu instance_norm",
    networks.packed: "pack_padded_sequence",
    networks.distances: "cdist pairwise_distance",
}
_POINTWISE = frozenset(
    str.split(
        "add sub subtract rsub mul multiply div divide true_divide truediv floor_divide floordiv mod "
        "remainder fmod pow float_power maximum minimum fmax fmin atan2 arctan2 hypot logaddexp logaddexp2 eq "
        "ne lt le gt ge less greater less_equal greater_equal equal not_equal and or xor lshift rshift "
        "logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor where masked_fill "
        "masked_scatter lerp addcmul addcdiv clamp clip copy iop xlogy copysign nextafter ldexp heaviside "
        "broadcast_tensors cosine_similarity isclose lcm gcd dist masked_select bitwise_left_shift "
        "bitwise_right_shift polar complex"
    )
)
RULES: dict[str, Rule] = {
    **{name: rule for rule, names in _BY_RULE.items() for name in names.split()},
    **dict.fromkeys(_POINTWISE, pointwise.pointwise),
}
"""The rule of each operator, by its name."""


def clash_of(failure: Failure) -> Clash | None:
    """What does not fit in a failed operation; None if it has no rule, or its rule finds nothing."""
    outside = views.axis_out_of_range(failure)
    if outside is not None:
        return outside
    rule = RULES.get(failure.name) or RULES.get(failure.name.strip("_").removeprefix("r").removeprefix("i"))
    return rule(failure) if rule is not None else None
