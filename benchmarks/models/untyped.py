"""Replacements for dimtyped's names that a model's source imports to be the same model unchecked."""

from benchmarks.models import plain_nn as nn

DimSize = int

__all__ = ["DimSize", "nn"]
