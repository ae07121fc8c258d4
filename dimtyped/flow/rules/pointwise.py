"""Operators that work item by item: those that torch tags as pointwise, and those that it does not tag."""

from torch import Tensor

from dimtyped.flow.axes import anonymous
from dimtyped.flow.calls import Call, NoRule, Outcome, dim_of, replaced
from dimtyped.flow.rules.table import rule

_ALIASES = (
    "multiply divide true_divide floor_divide subtract rsub absolute negative positive square float_power "
    "greater greater_equal less less_equal not_equal clip fix ldexp isclose arccos arccosh arcsin arcsinh arctan arctan2 "
    "arctanh logit xlogy mvlgamma polygamma where copy normal fmax fmin maximum minimum hardsigmoid conj_physical "
    "logsigmoid log_sigmoid softplus softsign tanhshrink hardshrink softshrink sigmoid selu celu elu relu relu6 leaky_relu "
    "hardtanh hardswish silu mish gelu threshold _threshold tanh lerp complex polar nan_to_num masked_fill "
    "special_expit special_logit special_erf special_erfc special_erfinv special_xlogy special_xlog1py special_log1p "
    "special_expm1 special_exp2 special_psi special_digamma special_gammaln special_ndtr special_sinc special_round "
    "special_i0 special_gammainc special_gammaincc special_multigammaln special_polygamma special_zeta"
)
_UNARY = (
    "to type type_as clone detach contiguous cpu cuda float double half bfloat16 int long short char byte bool cfloat "
    "cdouble chalf alias alias_copy "
    "unravel_index lift_fresh lift requires_grad pin_memory _to_copy detach_copy resolve_conj resolve_neg conj real "
    "imag isreal isfinite isinf isnan isneginf isposinf is_nonzero frexp fill zero dropout dropout1d dropout2d dropout3d "
    "alpha_dropout feature_alpha_dropout feature_dropout native_dropout rrelu bernoulli poisson uniform log_normal "
    "exponential geometric cauchy random tril triu fake_quantize_per_tensor_affine __deepcopy__ "
    "retain_grad rename fill_diagonal dequantize fake_quantize_per_channel_affine to_dense map map2 xpu ipu mtia "
    " real.__get__ imag.__get__ grad.__get__ data.__get__ share_memory _make_dual _unpack_dual"
)


@rule("pointwise", *_ALIASES.split())
def pointwise(call: Call) -> Outcome:
    """The operands are broadcast together."""
    if isinstance(call.result, tuple) and call.name == "where":
        call.moves(*call.first())
        return [tuple(map(anonymous, each.shape)) for each in call.tensors_out]
    return call.broadcast(*map(call.axes, call.tensors))


@rule(*_UNARY.split())
def unchanged(call: Call) -> Outcome:
    """The axes of the first argument; further ones are settings."""
    note = call.note_of(call.tensor(0, "input", "self"))
    if note is not None and isinstance(call.result, Tensor):
        call.note(call.result, note)
    return call.first()


@rule("_foreach")
def foreach(call: Call) -> Outcome:
    """Item by item on lists of tensors, as optimizers call it."""
    results, given = call.result, call.arg(0, "self")
    if results is None or not isinstance(results, (list, tuple)) or len(results) != len(given):
        raise NoRule
    axes = [call.axes(tensor) for tensor in given]
    return [
        each if tuple(axis.size for axis in each) == tuple(result.shape) else None
        for each, result in zip(axes, results, strict=True)
    ]


@rule("grad")
def gradient(call: Call) -> Outcome:
    """`torch.autograd.grad`: the axes of each input that has a gradient."""
    inputs, results = call.arg(1, "inputs"), call.result
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not isinstance(results, (tuple, list)) or call.kwargs.get("is_grads_batched") or len(results) != len(inputs):
        raise NoRule
    return [call.axes(tensor) for tensor, result in zip(inputs, results, strict=True) if isinstance(result, Tensor)]


@rule("prelu")
def prelu(call: Call) -> Outcome:
    """One weight, or one for each channel."""
    axes, weight = call.first(), call.axes(call.tensor(1, "weight"))
    if len(axes) > 1 and len(weight) == 1 and weight[0].size > 1:
        return replaced(axes, 1, call.meet(axes[1], weight[0]))
    return axes


@rule("glu")
def glu(call: Call) -> Outcome:
    """The halves of an axis are multiplied."""
    axes = call.first()
    dim = dim_of(call.arg(1, "dim", default=-1), len(axes))
    call.mixes(axes[dim])
    return replaced(axes, dim, anonymous(call.shape[dim], f"half of {axes[dim]}"))


@rule("data.__set__")
def assigned(call: Call) -> Outcome:
    """`x.data = y`: x takes the axes of y, if they have names."""
    old, new = call.axes(call.args[0]), call.axes(call.args[1])
    return new if any(axis.has_name for axis in new) or len(old) != len(new) else old


@rule("searchsorted")
def searchsorted(call: Call) -> Outcome:
    """One place for each value; several sorted rows are those of the values."""
    rows, values = call.axes(call.tensor(0, "sorted_sequence")), call.axes(call.tensor(1, "input"))
    call.mixes(rows[-1])
    if len(rows) < 2:
        return values
    return (*(call.meet(row, value) for row, value in zip(rows[:-1], values[:-1], strict=True)), values[-1])


@rule("bucketize", "isin")
def looked_up(call: Call) -> Outcome:
    """Each item is looked up among others."""
    axes, *others = map(call.axes, call.tensors)
    call.mixes(*(axis for other in others for axis in other))
    return axes if call.shape == tuple(axis.size for axis in axes) else tuple(map(anonymous, call.shape))


@rule("view_as_real")
def view_as_real(call: Call) -> Outcome:
    """A last axis of two: real and imaginary."""
    return (*call.first(), anonymous(2, "real and imaginary parts"))


@rule("view_as_complex")
def view_as_complex(call: Call) -> Outcome:
    """The last axis of two is gone."""
    call.mixes(call.first()[-1])
    return call.first()[:-1]
