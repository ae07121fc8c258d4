"""Dimension names for PyTorch that carry through a model's whole life."""

from dimtyped import nn
from dimtyped.annotations import Packed
from dimtyped.engine import assert_dims, configure, typed
from dimtyped.errors import DeclarationError, DimensionError, DimensionWarning, StateError, TyingError, VocabularyError
from dimtyped.names import Dim, DimSize, dims
from dimtyped.nn.layers.tied import tie
from dimtyped.nn.retype import retype, untype
from dimtyped.nn.status import status

__all__ = [
    "DeclarationError",
    "Dim",
    "DimSize",
    "DimensionError",
    "DimensionWarning",
    "Packed",
    "StateError",
    "TyingError",
    "VocabularyError",
    "assert_dims",
    "configure",
    "dims",
    "nn",
    "retype",
    "status",
    "tie",
    "typed",
    "untype",
]
