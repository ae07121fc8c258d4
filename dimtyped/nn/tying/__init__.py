"""Tied parameters: what is tied, what keeps a tie, and what breaks it."""

from dimtyped.nn.tying.breaking import computed as computed, trouble_of as trouble_of
from dimtyped.nn.tying.callsite import by_framework as by_framework
from dimtyped.nn.tying.dynamic_classes import made_of as made_of, seen_as as seen_as, variant as variant
from dimtyped.nn.tying.preservation import TiedParametersMixin as TiedParametersMixin, keep_ties as keep_ties
from dimtyped.nn.tying.ties import (
    DECLARED as DECLARED,
    adopt as adopt,
    owner_of as owner_of,
    release as release,
    share as share,
    tie_of as tie_of,
)
