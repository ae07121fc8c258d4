"""What a model's source imports in place of dimtyped's names, to be the same model unchecked."""

from benchmarks.models import plain_nn as nn

DimSize = int

__all__ = ["DimSize", "nn"]
