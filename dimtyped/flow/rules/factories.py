"""Operators that make tensors, and Python functions whose results have no names."""

from torch import Tensor

from dimtyped.flow.axes import Axes, anonymous
from dimtyped.flow.calls import Call, NoRule, Outcome
from dimtyped.flow.rules.table import SILENT, rule

_SILENT = (
    "__get__ __set__ __delete__ size dim ndimension stride numel nelement element_size storage untyped_storage "
    "storage_offset data_ptr backward register_hook is_contiguous is_floating_point is_complex is_tensor __len__ __repr__ "
    "__str__ __format__ __bool__ __float__ __int__ __index__ __hash__ item tolist numpy equal allclose is_nonzero "
    "is_same_size get_device _set_grad_enabled __contains__ __array__ is_inference _is_zerotensor _is_view is_shared "
    "is_pinned has_names __reduce_ex__ __setstate__ result_type can_cast promote_types get_default_dtype is_signed is_conj "
    "is_neg __nonzero__ __complex__ __long__ record_stream register_post_accumulate_grad_hook is_distributed dim_order "
    "is_set_to qscheme storage_type const_data_ptr profiler::_record_function_enter_new "
    " profiler::_record_function_exit _has_compatible_shallow_copy_type"
)
SILENT.update(_SILENT.split())


@rule(
    "empty",
    "zeros",
    "ones",
    "full",
    "rand",
    "randn",
    "randint",
    "randperm",
    "arange",
    "linspace",
    "logspace",
    "eye",
    "range",
)
@rule("tensor", "as_tensor", "asarray", "scalar_tensor", "from_numpy", "frombuffer", "empty_strided", "empty_permuted")
@rule("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor", "new_empty_strided", "new", "tril_indices")
@rule("triu_indices", "hann_window", "hamming_window", "bartlett_window", "blackman_window", "kaiser_window", "vander")
@rule("sparse_coo_tensor")
def new(call: Call) -> Outcome:
    """A new tensor has anonymous axes; an existing one that is passed through keeps its axes."""
    if not isinstance(call.result, Tensor):
        raise NoRule
    source = call.arg(0, "data", "obj")
    if call.name in ("as_tensor", "asarray", "tensor") and isinstance(source, Tensor):
        return call.axes(source)
    call.moves(*(axis for tensor in call.tensors for axis in call.axes(tensor)))
    return tuple(map(anonymous, call.shape))


@rule("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "randint_like")
def like(call: Call) -> Outcome:
    """The axes of the first argument."""
    axes = call.first()
    return axes if call.shape == tuple(axis.size for axis in axes) else tuple(map(anonymous, call.shape))


@rule("multinomial")
def multinomial(call: Call) -> Outcome:
    """Samples for each row."""
    axes = call.first()
    call.moves(axes[-1])
    return (*axes[:-1], anonymous(call.shape[-1], "samples"))


@rule(*(f"init.{name}_" for name in ("uniform", "normal", "trunc_normal", "constant", "ones", "zeros", "eye", "dirac")))
@rule(*(f"init.{kind}_{name}_" for kind in ("xavier", "kaiming") for name in ("uniform", "normal")))
@rule("init.orthogonal_", "init.sparse_")
def initialized(call: Call) -> Outcome:
    """The tensor itself, with other values."""
    axes: Axes = call.axes(call.tensors[0])
    call.moves(*axes)
    return axes
