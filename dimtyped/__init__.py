"""Dimension names for PyTorch that carry through a model's whole life."""

from dimtyped import nn
from dimtyped._assert import assert_dims
from dimtyped._config import configure
from dimtyped._dims import Dim, DimSize, dims
from dimtyped._errors import DeclarationError, DimensionError, StateError, TyingError, VocabularyError
from dimtyped._packed import Packed
from dimtyped._typed import typed
from dimtyped._warnings import DimensionWarning
from dimtyped.nn._retype import retype, untype
from dimtyped.nn._status import status
from dimtyped.nn._tied import tie

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
