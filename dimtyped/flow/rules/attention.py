"""Attention: each place of a target gets values from all places of a source."""

from torch import Tensor

from dimtyped.flow.axes import Axes, Axis, anonymous
from dimtyped.flow.calls import Call, Outcome
from dimtyped.flow.rules.table import rule

_KERNELS = (
    "scaled_dot_product_attention _scaled_dot_product_attention_math _scaled_dot_product_flash_attention_for_cpu "
    "_scaled_dot_product_flash_attention _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
    "_scaled_dot_product_fused_attention_overrideable"
)


@rule(*_KERNELS.split())
def attention(call: Call) -> Outcome:
    """(..., target, embed), (..., source, embed) and (..., source, value) give (..., target, value)."""
    query, key = call.axes(call.tensor(0, "query")), call.axes(call.tensor(1, "key"))
    value = call.axes(call.tensor(2, "value"))
    batch = _batch_axes(call, query[:-2], key[:-2], value[:-2])
    call.meet(query[-1], key[-1])
    target, source = query[-2], call.meet(key[-2], value[-2])
    mask = _mask(call)
    if mask is not None:
        batch, target = _masked(call, (*batch, target, source), call.axes(mask))
    call.mixes(query[-1], key[-1], key[-2], value[-2])
    made = (*batch, target, value[-1])
    return made if isinstance(call.result, Tensor) else [made, *(None for _ in call.tensors_out[1:])]


def _mask(call: Call) -> Tensor | None:
    """The mask: the fourth argument, or only by keyword if a kernel has another fourth argument."""
    given = (call.arg(3), call.kwargs.get("attn_mask"), call.kwargs.get("attn_bias"))
    return next((each for each in given if isinstance(each, Tensor)), None)


def _masked(call: Call, scores: Axes, mask: Axes) -> tuple[Axes, Axis]:
    """The batch and the target of scores that have met their mask, which may name them."""
    made = call.broadcast(scores, mask)
    call.mixes(mask[-1])
    return made[:-2], made[-2]


def _batch_axes(call: Call, query: Axes, key: Axes, value: Axes) -> Axes:
    """The batch and the heads; with `enable_gqa` a head of the key serves several of the query."""
    if call.kwargs.get("enable_gqa") and query and key and query[-1].size != key[-1].size:
        call.moves(key[-1], value[-1])
        return (*call.broadcast(query[:-1], key[:-1], value[:-1]), query[-1])
    return call.broadcast(query, key, value)


@rule("multi_head_attention_forward")
def multi_head_attention(call: Call) -> Outcome:
    """(target, batch, embed) and (source, batch, ...) give (target, batch, out) and weights of (batch, target, source)."""
    query, key, value = (call.axes(call.tensor(place, name)) for place, name in enumerate(("query", "key", "value")))
    batch = query[1:-1]
    if batch:
        batch = (call.meet(call.meet(batch[0], key[1]), value[1]),)
    source = call.meet(key[0], value[0])
    batch, source = _padded(call, batch, source)
    _projected(call, query, key, value)
    call.mixes(key[0], value[0], query[-1], key[-1], value[-1])
    out = _out(call)
    made: list[Axes | None] = [(query[0], *batch, out)]
    if len(call.tensors_out) > 1:
        made.append(_weights(call, batch, query[0], source))
    return made


def _out(call: Call) -> Axis:
    """The width of the output; the parameters' other axes are split among heads."""
    weight, bias = call.axes(call.tensor(11, "out_proj_weight")), call.arg(12, "out_proj_bias")
    for place in (5, 6, 7, 8, 18, 19, 20):
        parameter = call.arg(place, _PARAMETERS[place])
        if isinstance(parameter, Tensor):
            call.moves(*call.axes(parameter))
    call.mixes(weight[-1])
    return call.meet(weight[0], call.axes(bias)[0]) if isinstance(bias, Tensor) else weight[0]


_PARAMETERS = {
    5: "in_proj_weight",
    6: "in_proj_bias",
    7: "bias_k",
    8: "bias_v",
    18: "q_proj_weight",
    19: "k_proj_weight",
    20: "v_proj_weight",
}


def _padded(call: Call, batch: Axes, source: Axis) -> tuple[Axes, Axis]:
    """Compares both masks with the axes that they mask; `attn_mask` has an axis of batch*heads, or none."""
    padding, mask = call.arg(14, "key_padding_mask"), call.arg(16, "attn_mask")
    if isinstance(padding, Tensor):
        axes = call.axes(padding)
        call.mixes(axes[-1])
        source = call.meet(source, axes[-1])
        batch = (call.meet(batch[0], axes[0]),) if batch and len(axes) == 2 else batch
    if isinstance(mask, Tensor):
        axes = call.axes(mask)
        call.mixes(axes[-1])
        call.moves(*axes[:-2])
        call.meet(call.first()[0], axes[-2])
        source = call.meet(source, axes[-1])
    return batch, source


def _projected(call: Call, query: Axes, key: Axes, value: Axes) -> None:
    """The widths against the weights that project them."""
    whole = call.arg(5, "in_proj_weight")
    apart = [call.arg(18 + place, f"{letter}_proj_weight") for place, letter in enumerate("qkv")]
    for axes, weight in zip((query, key, value), apart, strict=True):
        used = weight if isinstance(weight, Tensor) else whole
        if isinstance(used, Tensor):
            call.contract((), (axes[-1], call.axes(used)[-1]))


def _weights(call: Call, batch: Axes, target: Axis, source: Axis) -> Axes:
    weights = call.tensors_out[1]
    sizes = tuple(weights.shape)
    heads = (anonymous(sizes[len(batch)], "heads"),) if len(sizes) == len(batch) + 3 else ()
    if source.size != sizes[-1]:
        source = anonymous(sizes[-1], f"{source} and what bias_k or add_zero_attn adds")
    return (*batch, *heads, target, source)
