"""Torch's messages: the sizes in them, named, where an operand of the expression cannot be had."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from dimtyped.diagnosis.text import axes_text
from dimtyped.diagnosis.torch_errors.failure import Clash, phrase
from dimtyped.diagnosis.torch_errors.naming import Names
from dimtyped.diagnosis.torch_errors.operand_edits import Root

_SHAPES = re.compile(
    r"\b(?:\w+_size|sizes?|shapes?|dimensions?|dims?|(?:non|zero|one|multi)-?dimensional|elements?|numel|rank|broadcast|"
    r"[0-5]-?[Dd]|channels?|axis|ndim|lengths|same length|must have length|subscripts?|columns|matrix|vectors?|matrices|"
    r"out of bounds|out of range|indices|scalar outputs|singleton|Boolean value|square|operands were provided)\b"
)


def is_of_shapes(message: str) -> bool:
    """True for a message that speaks of sizes or axes."""
    return _SHAPES.search(message) is not None


def clash_in(message: str, names: Names) -> Clash | None:
    """The sizes that a message says clash, named; None for messages of other kinds."""
    for pattern, read in _PATTERNS.items():
        found = re.search(pattern, message)
        if found is not None:
            return read(found, names)
    return None


def operator_in(root: Root) -> str:
    """The name of the operator of an expression, as far as its code says."""
    match root:
        case ast.BinOp(op=op) | ast.AugAssign(op=op):
            return type(op).__name__.lower()
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)):
            return name
        case ast.Subscript():
            return "getitem"
        case _:
            return ""


def _two_sizes(found: re.Match[str], names: Names) -> Clash | None:
    labels = names.label(int(found[1])), names.label(int(found[2]))
    if labels[0].size == labels[1].size:
        return None
    return Clash(f"{phrase(labels[0])} meets {phrase(labels[1])}", (), labels)


def _two_shapes(found: re.Match[str], names: Names) -> Clash | None:
    first, second = ([int(size) for size in re.findall(r"\d+", group)] for group in found.groups())
    for one, other in zip(first, second, strict=False):
        if one != other:
            labels = names.label(one), names.label(other)
            return Clash(f"{phrase(labels[0])} meets {phrase(labels[1])}", (), labels)
    return None


def _checkpoint(found: re.Match[str], names: Names) -> Clash | None:
    """`size mismatch for out.weight: copying a param with shape torch.Size([5, 4]) ..., the shape in current model is ...`."""
    given, wanted = ([names.label(int(size)) for size in re.findall(r"\d+", found[i])] for i in (2, 3))
    text = f"`{found[1]}` is {axes_text(given)} in the checkpoint, {axes_text(wanted)} in the model"
    return Clash(text, (), (*given, *wanted))


_PATTERNS: dict[str, Callable[[re.Match[str], Names], Clash | None]] = {
    r"size mismatch for ([\w.]+): copying a param with shape torch.Size\(\[([\d, ]*)\]\) from checkpoint, "
    r"the shape in current model is torch.Size\(\[([\d, ]*)\]\)": _checkpoint,
    r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\)": _two_sizes,
    r"shapes cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)": _two_sizes,
    r"first two dimensions of batch2 tensor to be: (\[[\d, ]+\]) but got: (\[[\d, ]+\])": _two_shapes,
    r"has size (\d+) for operand \d+ which does not broadcast with previously seen size (\d+)": _two_sizes,
    r"Expected size (\d+) but got size (\d+) for tensor number": _two_sizes,
    r"stack expects each tensor to be equal size, but got (\[[\d, ]*\]) at entry 0 and (\[[\d, ]*\])": _two_shapes,
    r"to have (\d+) channels, but got (\d+) channels": _two_sizes,
    r"[Ee]xpected (\d+), got (\d+)": _two_sizes,
    r"got (\d+),? expected (\d+)": _two_sizes,
    r"batch size (\d+) doesn't match hidden0 batch size (\d+)": _two_sizes,
}
