"""Dimension names for PyTorch that carry through a model's whole life."""

from typing import TYPE_CHECKING

from dimtyped.runtime import configure as configure, on_demand

if TYPE_CHECKING:
    from dimtyped import nn as nn
    from dimtyped.annotations import Packed as Packed
    from dimtyped.diagnosis import explain as explain
    from dimtyped.distributed import sharding_plan as sharding_plan
    from dimtyped.engine import assert_dims as assert_dims, typed as typed
    from dimtyped.errors import (
        DeclarationError as DeclarationError,
        DimensionError as DimensionError,
        DimensionWarning as DimensionWarning,
        StateError as StateError,
        TyingError as TyingError,
        VocabularyError as VocabularyError,
    )
    from dimtyped.export import dynamic_shapes as dynamic_shapes
    from dimtyped.flow import CheckError as CheckError, check as check, watch as watch
    from dimtyped.flow.summaries import summary as summary
    from dimtyped.import_hook import (
        install_import_hook as install_import_hook,
        load_ipython_extension as load_ipython_extension,
        unload_ipython_extension as unload_ipython_extension,
    )
    from dimtyped.names import Dim as Dim, DimSize as DimSize, dims as dims
    from dimtyped.nn.layers.tied import tie as tie
    from dimtyped.nn.partial_loading import load_matching as load_matching
    from dimtyped.nn.retype import retype as retype, untype as untype
    from dimtyped.nn.status import status as status
    from dimtyped.nn.unchecked import unchecked as unchecked

__all__ = [
    "CheckError",
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
    "check",
    "configure",
    "dims",
    "dynamic_shapes",
    "explain",
    "install_import_hook",
    "load_matching",
    "nn",
    "retype",
    "sharding_plan",
    "status",
    "summary",
    "tie",
    "typed",
    "unchecked",
    "untype",
    "watch",
]

_NAMES = {
    "dimtyped.annotations": "Packed",
    "dimtyped.diagnosis": "explain",
    "dimtyped.distributed": "sharding_plan",
    "dimtyped.engine": "assert_dims typed",
    "dimtyped.errors": "DeclarationError DimensionError DimensionWarning StateError TyingError VocabularyError",
    "dimtyped.export": "dynamic_shapes",
    "dimtyped.flow": "CheckError check watch",
    "dimtyped.flow.summaries": "summary",
    "dimtyped.import_hook": "install_import_hook load_ipython_extension unload_ipython_extension",
    "dimtyped.names": "Dim DimSize dims",
    "dimtyped.nn": "nn",
    "dimtyped.nn.layers.tied": "tie",
    "dimtyped.nn.partial_loading": "load_matching",
    "dimtyped.nn.retype": "retype untype",
    "dimtyped.nn.status": "status",
    "dimtyped.nn.unchecked": "unchecked",
}
__getattr__, __dir__ = on_demand(__name__, _NAMES)
