"""Tied parameters.

`tie` defines a tie: one parameter under several names. `preservation` keeps it through copies, conversions and loads,
`loading` reads a checkpoint of it, `aliases` is for tied weights that another layer computes, and `breaking` handles
the operations that break it.
"""

from dimtyped.nn.tying.breaking import (
    parameter_became_tensor as parameter_became_tensor,
    tie_problem as tie_problem,
)
from dimtyped.nn.tying.preservation import TiedParametersMixin as TiedParametersMixin, keep_ties as keep_ties
from dimtyped.nn.tying.tie import (
    DECLARED as DECLARED,
    adopt as adopt,
    owner_of as owner_of,
    release as release,
    share as share,
    tie_of as tie_of,
)
