"""Hypothesis strategies and checks made from annotations. Needs the extra `[testing]`."""

from dimtyped.testing.properties.failure import FuzzError
from dimtyped.testing.properties.fuzzing import fuzz
from dimtyped.testing.properties.independence import independent
from dimtyped.testing.properties.mixing import MixedError
from dimtyped.testing.properties.report import FuzzReport
from dimtyped.testing.strategies.broken_calls import broken_calls
from dimtyped.testing.strategies.calls import calls
from dimtyped.testing.strategies.tensors import tensors

__all__ = ["FuzzError", "FuzzReport", "MixedError", "broken_calls", "calls", "fuzz", "independent", "tensors"]
