"""A report made of what was found: the operands described, the clash pointed at."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dimtyped.diagnosis.text import dtype_text
from dimtyped.diagnosis.torch_errors.causes import DTYPE
from dimtyped.diagnosis.torch_errors.failure import Clash, Mark, Operand
from dimtyped.diagnosis.torch_errors.report import Caret, OperandReport, TorchErrorReport
from dimtyped.diagnosis.torch_errors.scene import Scene
from dimtyped.runtime import path_of


def written(
    scene: Scene, kind: str, operator: str, operands: Sequence[Operand], clash: Clash | None, fix: str
) -> TorchErrorReport:
    """The report of an exception."""
    labels = clash.labels if clash is not None else ()
    shown = {operand.text: operand for operand in reversed(operands)}
    shown = {operand.text: shown[operand.text] for operand in operands}  # one that is given twice is shown once
    names = tuple(dict.fromkeys(label.name for label in labels if label.name))
    owner = scene.frame.values.get("self")
    span = scene.expression.span
    return TorchErrorReport(
        message=scene.message,
        where=_function_name(scene.frame.code.co_qualname),
        path=path_of(owner) if isinstance(owner, torch.nn.Module) else "",
        file=scene.frame.code.co_filename,
        line=span.line,
        column=span.column,
        end_column=span.end_column,
        source=scene.expression.text,
        operator=operator,
        kind=kind,
        problem=clash.text if clash is not None else "",
        operands=tuple(_described(operand, with_device=kind == "device") for operand in shown.values()),
        names=names,
        bindings=scene.names.bindings(),
        origins=scene.names.origins(names),
        fix=fix,
        carets=tuple(_caret(mark, list(shown)) for mark in clash.marks) if clash is not None else (),
    )


def _function_name(name: str) -> str:
    """`compute` for `compute.<locals>.<listcomp>`, `Decoder.forward` whatever function the class was defined in."""
    parts = name.split(".<locals>.")
    while len(parts) > 1 and parts[-1].startswith("<"):
        parts.pop()
    return parts[-1]


def _described(operand: Operand, *, with_device: bool) -> OperandReport:
    text = f"{dtype_text(operand.dtype)} {operand.axes}"
    return OperandReport(
        text=operand.text,
        dtype=dtype_text(operand.dtype),
        shape=operand.sizes,
        axes=tuple(" or ".join(label.names) for label in operand.labels),
        device=str(operand.device),
        description=f"{text} on {operand.device}" if with_device else text,
    )


def _caret(mark: Mark, shown: list[str]) -> Caret:
    """The place of a mark in the operand's description."""
    index = shown.index(mark.operand.text)
    dtype = dtype_text(mark.operand.dtype)
    if mark.axis == DTYPE:
        return Caret(index, 0, len(dtype), mark.wanted)
    start = len(dtype) + len(" (")
    for label in mark.operand.labels[: mark.axis]:
        start += len(f"{label}, ")
    return Caret(index, start, start + len(str(mark.operand.labels[mark.axis])), mark.wanted)
