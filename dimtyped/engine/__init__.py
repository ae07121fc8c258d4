"""A signature as straight-line Python that checks a call; the reference engine beside it; the decorator."""

from dimtyped.engine import ipython as ipython
from dimtyped.engine.assertions import assert_dims as assert_dims
from dimtyped.engine.checked_function import CheckedFunction as CheckedFunction
from dimtyped.engine.codegen import CheckCodegen as CheckCodegen
from dimtyped.engine.config import configure as configure, mode as mode, on_change as on_change
from dimtyped.engine.decorator import (
    entry_of as entry_of,
    functions_in as functions_in,
    typed as typed,
    typed_member as typed_member,
)
from dimtyped.engine.reference import ReferenceCheck as ReferenceCheck
from dimtyped.engine.wrapper import wrap as wrap
