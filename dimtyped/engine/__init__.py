"""A signature as straight-line Python that checks a call; the reference engine beside it; the decorator."""

from typing import TYPE_CHECKING

from dimtyped.engine import ipython as ipython, traces as traces
from dimtyped.engine.assigned import (
    LocalAnnotation as LocalAnnotation,
    lazy_annotation as lazy_annotation,
    resolved as resolved,
    target_of as target_of,
)
from dimtyped.engine.call_names import ASSERT_NAME as ASSERT_NAME, IS_INSTANCE_NAME as IS_INSTANCE_NAME
from dimtyped.engine.checked_function import CheckedFunction as CheckedFunction
from dimtyped.engine.codegen import CheckCodegen as CheckCodegen
from dimtyped.engine.conditions import Conditions as Conditions
from dimtyped.engine.construction import (
    has_sizes as has_sizes,
    name_sizes as name_sizes,
    naming as naming,
    naming_fields as naming_fields,
)
from dimtyped.engine.declaration import Declaration as Declaration
from dimtyped.engine.decorator import (
    entry_of as entry_of,
    functions_in as functions_in,
    typed as typed,
    typed_class_on_import as typed_class_on_import,
    typed_member as typed_member,
    typed_on_import as typed_on_import,
)
from dimtyped.engine.forms import CallForms as CallForms, Deferral as Deferral, Form as Form, is_of_form as is_of_form
from dimtyped.engine.jaxtyped import is_checker as is_checker, is_checker_of_others as is_checker_of_others
from dimtyped.engine.predicates import (
    ALWAYS as ALWAYS,
    Predicate as Predicate,
    of_call as of_call,
    of_owner as of_owner,
)
from dimtyped.engine.preparation import prepare as prepare
from dimtyped.engine.rules import Raised as Raised, Rules as Rules
from dimtyped.engine.scope_keys import make_scopes as make_scopes, reads_names as reads_names
from dimtyped.engine.stored_sizes import settle_added as settle_added, settle_sizes as settle_sizes
from dimtyped.engine.torchscript import ignore_tracer_warnings as ignore_tracer_warnings
from dimtyped.engine.unbound_axes import may_have_expression as may_have_expression, unbound_axis_of as unbound_axis_of
from dimtyped.engine.unused_parameters import note_unused as note_unused, unmentioned as unmentioned
from dimtyped.engine.wrapper import switch as switch, wrap as wrap
from dimtyped.runtime import on_demand

if TYPE_CHECKING:
    from dimtyped.engine.assertions import assert_dims as assert_dims, is_instance as is_instance
    from dimtyped.engine.reference import ReferenceCheck as ReferenceCheck

__getattr__, __dir__ = on_demand(
    __name__, {"dimtyped.engine.assertions": "assert_dims is_instance", "dimtyped.engine.reference": "ReferenceCheck"}
)
