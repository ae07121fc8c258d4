"""Suggests code for a mistake, tried on the sizes and the names of the operands: only where exactly one suggestion fits."""

from dimtyped.flow.fixes.advice import advised as advised, with_result as with_result
from dimtyped.flow.fixes.choice import fix_of as fix_of, met_in as met_in
from dimtyped.flow.fixes.dims import squeezed_at as squeezed_at
from dimtyped.flow.fixes.layers import recurrent_fix as recurrent_fix
from dimtyped.flow.fixes.operands import codes_of as codes_of
from dimtyped.flow.fixes.reshapes import reordered as reordered
from dimtyped.flow.fixes.sizes import written_size as written_size
