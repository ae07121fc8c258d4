"""A report made of what was found: the operands described, the clash pointed at."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dimtyped.diagnosis.placements import rank_text
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
    is_split = any(operand.placement is not None for operand in shown.values())
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
        operands=tuple(_described(operand, kind, is_split=is_split) for operand in shown.values()),
        names=names,
        bindings=scene.names.bindings(),
        origins=scene.names.origins(names),
        fix=fix,
        hint=clash.hint if clash is not None else "",
        rank=rank_text(),
        carets=tuple(_caret(mark, list(shown)) for mark in clash.marks) if clash is not None else (),
    )


def _function_name(name: str) -> str:
    """`compute` for `compute.<locals>.<listcomp>`, `Decoder.forward` whatever function the class was defined in."""
    parts = name.split(".<locals>.")
    while len(parts) > 1 and parts[-1].startswith("<"):
        parts.pop()
    return parts[-1]


def _described(operand: Operand, kind: str, *, is_split: bool) -> OperandReport:
    """An operand; `is_split` says that one of the operands is a DTensor."""
    text = f"{dtype_text(operand.dtype)} {operand.axes}"
    names = [label.names[0] if len(label.names) == 1 else str(label.size) for label in operand.labels]
    placed, extra = operand.placement, ""
    if placed is not None:
        extra = f" {', '.join(placed.others)}" if placed.is_known else " a DTensor"
    elif is_split:
        extra = " local tensor, not a DTensor"
    return OperandReport(
        text=operand.text,
        dtype=dtype_text(operand.dtype),
        shape=operand.sizes,
        axes=tuple(" or ".join(label.names) for label in operand.labels),
        device=str(operand.device),
        description=(f"{text} on {operand.device}" if kind == "device" else text) + extra.rstrip(),
        placements=placed.words(names) if placed is not None and placed.is_known else (),
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
