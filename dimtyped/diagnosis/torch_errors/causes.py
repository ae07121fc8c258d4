"""Causes other than sizes: dtypes, devices, memory. Torch's message says which it is, the operands show where."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import torch
from torch import Tensor

from dimtyped.diagnosis.code_edits import replaced_in
from dimtyped.diagnosis.text import axes_text, dtype_text
from dimtyped.diagnosis.torch_errors.failure import Clash, Failure, Mark, Operand
from dimtyped.diagnosis.torch_errors.operand_edits import Root
from dimtyped.diagnosis.torch_errors.stand_ins import Label

DTYPE, AXIS = -1, 0
"""The axis of a mark that is under a dtype; other marks are under an axis."""
_NAMES = {
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
    "float": torch.float32,
    "double": torch.float64,
    "long int": torch.int64,
    "int": torch.int32,
    "bool": torch.bool,
}
_TYPE = f"({'|'.join(sorted(_NAMES, key=len, reverse=True))})"
_WANTED = (  # compiled once a message is about dtypes, which few are
    rf"(?i)expected scalar type {_TYPE} but found {_TYPE}",
    rf"[Ee]xpected .*?{_TYPE} but got .*?{_TYPE}",
    rf"scalar types?:? {_TYPE}.*?but got .*?{_TYPE}Tensor",
    rf"(?i)expected .*?dtype (?:to be )?{_TYPE}.*?but got {_TYPE}",
    rf"(?i)to have type {_TYPE}.*?but got .*?{_TYPE}",
)
_INDEX = r"(?i)indices must be|dtype (?:int32/)?int64 for index|index.*(?:int64|long)|must be (?:an )?(?:long|int64)|int64 dtype"
_CAST = rf"result type {_TYPE} can't be cast to the desired output type {_TYPE}"
_MISSING = rf"not implemented for '{_TYPE}'|[Ii]nput dtype must be .*?floating.*?Got:? {_TYPE}|with two {_TYPE} tensors"
_DTYPES = re.compile(
    r"dtype|scalar type|same type|result type|not implemented for '|Input type|indices must be|bool tensor|[Tt]ype"
)
_DEVICES = re.compile(
    r"same device|on device|device type|different from other tensors|CPU int64|different devices|torch\.cuda\.",
    re.IGNORECASE,
)
_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|Tried to allocate")
_CASTS = {
    torch.int64: "long",
    torch.int32: "int",
    torch.float32: "float",
    torch.float64: "double",
    torch.bool: "bool",
    torch.float16: "half",
    torch.bfloat16: "bfloat16",
}
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


# Dtypes ---------------------------------------------------------------------------------------------------------------


def dtypes(failure: Failure) -> Clash | None:
    """The operand whose dtype does not fit, if the message is about dtypes."""
    if not _DTYPES.search(failure.message):
        return None
    for operand, wanted in _wrong_dtypes(failure):
        return _wrong(operand, wanted)
    return _written(failure) or _differing(failure) or _unsupported(failure)


def _wrong(operand: Operand, wanted: torch.dtype) -> Clash:
    mark = Mark(operand, DTYPE, f"must be {dtype_text(wanted)}")
    return Clash(f"`{operand.text}` is {dtype_text(operand.dtype)}, must be {dtype_text(wanted)}", (mark,))


def _wrong_dtypes(failure: Failure) -> Iterator[tuple[Operand, torch.dtype]]:
    """The operand that the message means, and the dtype that it says is expected."""
    for pattern in _WANTED:
        for found in re.finditer(pattern, failure.message):
            names = {name.lower(): dtype for name, dtype in _NAMES.items()}
            wanted, given = names[found[1].lower()], names[found[2].lower()]
            suspects = [operand for operand in failure.operands if operand.dtype == given]
            if failure.name == "embedding":
                suspects = [operand for operand in suspects if operand is failure.operand(0, "input")]
            if "target" in failure.message:
                suspects = [operand for operand in suspects if operand is failure.operand(1, "target")]
            if len(suspects) == 1 and wanted != given:
                yield suspects[0], wanted
    if "floating point type for target" in failure.message:
        yield from ((o, torch.float32) for o in failure.operands[1:2] if not o.dtype.is_floating_point)
    if "boolean mask" in failure.message:
        yield from ((o, torch.bool) for o in failure.operands[1:2] if o.dtype != torch.bool)
    if re.search(_INDEX, failure.message):
        suspects = [operand for operand in failure.operands[1:] if operand.dtype.is_floating_point]
        if len(suspects) == 1:
            yield suspects[0], torch.int64


def _written(failure: Failure) -> Clash | None:
    """A result that is of another dtype than the tensor that it is written to."""
    found = re.search(_CAST, failure.message)
    if found is None or not failure.operands:
        return None
    target, result, desired = failure.operands[0], _NAMES[found[1]], _NAMES[found[2]]
    if target.dtype != desired:  # of a loss: the result has the dtype of the target, which is of ints
        other = next((operand for operand in failure.operands if operand.dtype == desired), None)
        return _wrong(other, result) if other is not None else None
    mark = Mark(target, DTYPE, f"cannot hold {dtype_text(result)}")
    return Clash(f"{dtype_text(result)} does not go into `{target.text}`, {dtype_text(target.dtype)}", (mark,))


def _differing(failure: Failure) -> Clash | None:
    """Two operands of different dtypes, where they should be the same."""
    if not re.search(
        r"same (?:d|scalar )?type|same dtype|should be the same|Input type|to have the same", failure.message
    ):
        return None
    first = failure.operands[0] if failure.operands else None
    for other in failure.operands[1:]:
        if first is not None and other.dtype != first.dtype:
            mark = Mark(other, DTYPE, f"must be {dtype_text(first.dtype)}")
            text = f"`{first.text}` is {dtype_text(first.dtype)}, `{other.text}` is {dtype_text(other.dtype)}"
            return Clash(text, (mark,))
    return None


def _unsupported(failure: Failure) -> Clash | None:
    found = re.search(_MISSING, failure.message)
    if found is None:
        return None
    named = next((group for group in found.groups() if group), None)
    suspects = [o for o in failure.operands if named is None or o.dtype == _NAMES[named]]
    suspects = [o for o in suspects if named is not None or not o.dtype.is_floating_point]
    if not suspects:
        return None
    operand = suspects[0]
    mark = Mark(operand, DTYPE, "not supported here")
    return Clash(f"`{operand.text}` is {dtype_text(operand.dtype)}, which {failure.name} does not take", (mark,))


def casts(failure: Failure, root: Root) -> Iterator[Root]:
    """Fixes of a dtype: the wrong operand is cast as the message says, otherwise one operand to another's dtype."""
    if not _DTYPES.search(failure.message):
        return
    pairs = [*_wrong_dtypes(failure)]
    if not pairs:
        pairs = _other_casts(failure)
    for operand, dtype in pairs:
        if operand.node is not None and operand.dtype != dtype:
            yield replaced_in(root, (operand.node, _cast(operand.node, dtype)))  # type: ignore[arg-type, misc]  # a statement is copied alike


def _other_casts(failure: Failure) -> list[tuple[Operand, torch.dtype]]:
    """Each operand with the dtype to try for it: another operand's, float32 for integers, int64 for booleans."""
    pairs = [(a, b.dtype) for b in failure.operands for a in reversed(failure.operands) if a.dtype != b.dtype]
    pairs += [(operand, torch.float32) for operand in failure.operands if not operand.dtype.is_floating_point]
    return pairs + [(operand, torch.int64) for operand in failure.operands if operand.dtype == torch.bool]


def _cast(node: ast.expr, dtype: torch.dtype) -> ast.expr:
    name = _CASTS.get(dtype)
    if name is not None:
        return ast.Call(ast.Attribute(node, name, ast.Load()), [], [])
    to = ast.Attribute(ast.Name("torch", ast.Load()), dtype_text(dtype), ast.Load())
    return ast.Call(ast.Attribute(node, "to", ast.Load()), [to], [])


# Devices --------------------------------------------------------------------------------------------------------------


def devices(failure: Failure) -> Clash | None:
    """Operands on different devices, if the message is about devices."""
    operands = _placed(failure)
    if not _DEVICES.search(failure.message) or len({operand.device for operand in operands}) < 2:
        return None
    first = operands[0]
    other = next(operand for operand in operands if operand.device != first.device)
    return Clash(f"`{first.text}` is on {first.device}, `{other.text}` on {other.device}")


def moved(failure: Failure, root: Root) -> Iterator[Root]:
    """Fixes of a device: the one operand on its device moves to that of the others, a parameter only if nothing else can."""
    operands = _placed(failure)
    where = [operand.device for operand in operands]
    if len(set(where)) < 2:
        return
    by_need = sorted(
        operands,
        key=lambda o: (isinstance(o.tensor, torch.nn.Parameter), where.count(o.device), o.device.type != "cpu"),
    )
    for operand in by_need:
        other = next(o for o in operands if o.device != operand.device)
        if operand.node is None:
            continue
        if other.node is not None and isinstance(other.node, ast.Name | ast.Attribute):
            target: ast.expr = ast.Attribute(other.node, "device", ast.Load())
        else:
            target = ast.Constant(str(other.device))
        made = ast.Call(ast.Attribute(operand.node, "to", ast.Load()), [target], [])
        yield replaced_in(root, (operand.node, made))  # type: ignore[arg-type, misc]  # a statement is copied alike


def _placed(failure: Failure) -> list[Operand]:
    """The operands that must be on one device. A CPU tensor without axes may be on another."""
    return [o for o in failure.operands if o.rank or o.device.type != "cpu"] if len(failure.operands) > 1 else []


# Memory ---------------------------------------------------------------------------------------------------------------


def is_memory(error: BaseException) -> bool:
    """True if torch could not get memory."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and _MEMORY.search(str(error)) is not None
    )


def memory(result: object, labels: tuple[Label, ...]) -> Clash:
    """The size of the result for which there was no memory, where it is known."""
    if not isinstance(result, Tensor):
        return Clash("there is not enough memory")
    size = float(result.numel() * result.element_size())
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    number = f"{size:.1f}" if unit else f"{size:.0f}"
    return Clash(
        f"there is not enough memory: the result is {dtype_text(result.dtype)} {axes_text(labels)}, {number} {_UNITS[unit]}",
        (),
        labels,
    )
