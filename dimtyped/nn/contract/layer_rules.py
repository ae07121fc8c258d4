"""The rules of a layer's checks, which differ from those of a user's function."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dimtyped import diagnosis
from dimtyped.annotations import Signature
from dimtyped.engine import CallForms, Raised, Rules
from dimtyped.errors import DimensionError
from dimtyped.names import labels_of
from dimtyped.runtime import layer_path

_SEVERAL_AXES = {"*shape": "...", "*place": "..."}
"""Names of the contracts that stand for several axes: no word of the user's or of torch's."""


@dataclass
class LayerRules(Rules):
    """The rules of one layer's `forward`.

    Args:
        attributes: Names, and the attributes of the layer that hold their sizes.
        annotations: The annotations, in place of torch's.
        weights: The parameters of a function that a layer would hold.
        violations: Finds the sizes that a function rejects; takes its arguments by name.
        forms: The forms of a call.
        translated: The types of torch's exceptions that a wrong argument may cause.
        translate_error: Converts one of these to a DimensionError; returns it unchanged if it has another cause.
        error: The exception to raise; a kind of DimensionError.
        rank_error: The exception for too few or too many axes. Default: `error`.
    """

    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    annotations: Mapping[str, Any] | None = None
    weights: Collection[str] = ()
    violations: Callable[..., Iterable[Any]] | None = None
    forms: CallForms = field(default_factory=CallForms)
    translated: tuple[type[Exception], ...] = ()
    translate_error: Callable[[Raised], Exception] = lambda raised: raised.error
    error: type[DimensionError] = DimensionError
    rank_error: type[DimensionError] | None = None

    reads_scope = False
    is_users = False
    takes_ragged = True

    def where(self, signature: Signature, owner: Any) -> str:
        """The path of the layer in the running model."""
        return signature.where if owner is None else layer_path(owner)

    def labels(self, owner: Any) -> Mapping[str, str]:
        """The user's words for the names of the layer."""
        return {**_SEVERAL_AXES, **labels_of(owner)}

    def declared(self, signature: Signature, owner: Any) -> dict[str, diagnosis.Binding]:
        """The sizes of the layer."""
        return diagnosis.declared_names(signature, owner, self.where(signature, owner), None)

    def error_kind(self, mismatch: diagnosis.Mismatch) -> type[DimensionError]:
        """The exception to raise, which `except` clauses for torch's error catch too."""
        return (self.rank_error if mismatch.kind == "rank" else None) or self.error

    def translate(self, raised: Raised) -> Exception:
        """The exception to raise in place of one of torch's."""
        return self.translate_error(raised)

    def extra_globals(self, function: Callable[..., Any]) -> Mapping[str, Any]:
        """The globals of the module of torch's `forward`.

        TorchScript compiles the source of that `forward`, found through `__wrapped__`, with the wrapper's globals.
        """
        return _globals_of(inspect.unwrap(function).__module__)


@functools.cache
def _globals_of(module: str) -> Mapping[str, Any]:
    return {key: value for key, value in vars(sys.modules[module]).items() if not key.startswith("__")}
