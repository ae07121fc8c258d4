"""Errors for a tensor whose dtype is not that of the layer's weights, in place of torch's own.

Nothing here runs before torch has raised.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from dimtyped import diagnosis
from dimtyped.annotations import ArrayHint, Hint, TupleHint, UnionHint
from dimtyped.engine import Raised
from dimtyped.errors import DimensionError
from dimtyped.names import shape_text, short_text

_INPUTS = ("input", "input1", "input2", "query", "key", "value", "src", "tgt", "memory", "hx")
"""The parameters of torch's layers that are multiplied by weights, and so must have their dtype."""


def dtype_error(raised: Raised) -> DimensionError | None:
    """The error in place of torch's, if that is about types and an input does not have the dtype of the weights.

    Not under autocast, where torch converts dtypes and its errors are about something else.
    """
    layer, error = raised.values[0], raised.error
    weight = _first_weight(layer)
    if weight is None or "type" not in str(error) or torch._C._is_any_autocast_enabled():
        return None
    findings = _with_dtypes(raised, weight[1].dtype)
    if not any(mismatch.kind == "dtype" for mismatch in findings.mismatches):
        return None
    name, tensor = weight
    dtype, shape = diagnosis.dtype_text(tensor.dtype), shape_text(tuple(tensor.shape))
    note = f"{name} is {dtype} {shape}, of {short_text(layer)}"
    kind = diagnosis.kind_of(error)
    where = raised.rules.where(raised.signature, layer)
    return diagnosis.build_error(findings, where, raised.rules.labels(layer), kind, (note,))


def _first_weight(layer: torch.nn.Module) -> tuple[str, Tensor] | None:
    """The parameter that the inputs must match; quantized and packed ones have a dtype of their own."""
    found = ((name, p) for name, p in layer.named_parameters(recurse=False) if p.is_floating_point() or p.is_complex())
    return next(found, None)


def _with_dtypes(raised: Raised, dtype: torch.dtype) -> diagnosis.Findings:
    """The call checked as if the layer's annotations named the dtype of its weights."""
    signature, layer = raised.form, raised.values[0]
    parameters = tuple(
        dataclasses.replace(p, hint=_of_dtype(p.hint, dtype)) if p.name in _INPUTS else p for p in signature.parameters
    )
    given = {p.name: diagnosis.snapshot(value) for p, value in zip(parameters, raised.values, strict=True)}
    declared = dataclasses.replace(signature, parameters=parameters)
    return diagnosis.find_mismatches(declared, raised.rules.declared(raised.signature, layer), given, None, {}, layer)


def _of_dtype(hint: Hint, dtype: torch.dtype) -> Hint:
    match hint:
        case ArrayHint():
            return dataclasses.replace(hint, dtypes=frozenset({dtype}))
        case UnionHint(options=options):
            return dataclasses.replace(hint, options=tuple(_of_dtype(option, dtype) for option in options))
        case TupleHint(items=items):
            return dataclasses.replace(hint, items=tuple(_of_dtype(item, dtype) for item in items))
        case _:
            return hint
