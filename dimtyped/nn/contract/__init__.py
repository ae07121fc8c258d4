"""The base of every typed layer: its declaration, its call forms, its parameters and its errors."""

from dimtyped.nn.contract import torchscript as torchscript  # what TorchScript reads of a layer
from dimtyped.nn.contract.arguments import (
    COUNTS as COUNTS,
    check_sizes as check_sizes,
    constructor_errors_explained as constructor_errors_explained,
    wrong_argument as wrong_argument,
)
from dimtyped.nn.contract.call_forms import (
    UNCHECKED as UNCHECKED,
    Inputs as Inputs,
    has_axes as has_axes,
    is_none as is_none,
    is_tensor as is_tensor,
    without as without,
)
from dimtyped.nn.contract.chaining import check_chain as check_chain
from dimtyped.nn.contract.checkpoint import sizes_that_differ as sizes_that_differ
from dimtyped.nn.contract.contract import (
    ALL_AXES as ALL_AXES,
    Contract as Contract,
)
from dimtyped.nn.contract.given_names import (
    ROLES as ROLES,
    axis_role as axis_role,
    holds_dim as holds_dim,
    plain as plain,
    take_names as take_names,
)
from dimtyped.nn.contract.layer import (
    Layer as Layer,
    _layers as _layers,
    check_arguments as check_arguments,
    check_before as check_before,
    compile_checks as compile_checks,
    declares as declares,
    deferral as deferral,
    follow_switches as follow_switches,
    has_own_forward as has_own_forward,
    layer_classes as layer_classes,
    make_ready as make_ready,
    torch_class_of as torch_class_of,
    typed_class_of as typed_class_of,
)
from dimtyped.nn.contract.layer_rules import LayerRules as LayerRules
from dimtyped.nn.contract.parameters import (
    changed_hint as changed_hint,
    changed_in_place as changed_in_place,
    changed_text as changed_text,
    expected_shape as expected_shape,
    made_by_torch as made_by_torch,
    tying_error as tying_error,
)
from dimtyped.nn.contract.passthrough import reason_of as reason_of
from dimtyped.nn.contract.size_rules import (
    each as each,
    empty as empty,
    odd_groups as odd_groups,
    too_few_for_batch as too_few_for_batch,
    too_few_in_space as too_few_in_space,
    too_small_for_fraction as too_small_for_fraction,
    too_small_for_window as too_small_for_window,
)
from dimtyped.nn.contract.spatial import batched_space as batched_space, space as space, space_names as space_names
from dimtyped.nn.contract.torch_errors import (
    TORCH_ERRORS as TORCH_ERRORS,
    Rule as Rule,
    SizeViolation as SizeViolation,
    as_mismatch as as_mismatch,
    explained as explained,
)
