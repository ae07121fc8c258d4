"""Plain torch layers into typed ones in place, and back: the same objects, the same parameters."""

from __future__ import annotations

import torch

from dimtyped.nn._layer import compile_checks, typed_class_of


def retype_layer(layer: torch.nn.Module) -> bool:
    """Makes one layer of exactly a torch class the typed one; says whether it is typed now."""
    typed = typed_class_of(type(layer))
    if typed is not None:
        layer.__class__ = typed
        compile_checks(typed)
    return typed is not None
