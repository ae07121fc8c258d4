"""Dimension names for PyTorch that carry through a model's whole life."""

from dimtyped._config import configure
from dimtyped._dims import Dim, DimSize, dims
from dimtyped._errors import DeclarationError, DimensionError, StateError, TyingError, VocabularyError
from dimtyped._typed import typed

__all__ = [
    "DeclarationError",
    "Dim",
    "DimSize",
    "DimensionError",
    "StateError",
    "TyingError",
    "VocabularyError",
    "configure",
    "dims",
    "typed",
]
