"""Hypothesis strategies and checks made from annotations. Needs the extra `[testing]`."""

from dimtyped.testing._broken import broken_calls
from dimtyped.testing._calls import calls
from dimtyped.testing._fuzz import fuzz
from dimtyped.testing._independent import independent
from dimtyped.testing._tensors import tensors

__all__ = ["broken_calls", "calls", "fuzz", "independent", "tensors"]
