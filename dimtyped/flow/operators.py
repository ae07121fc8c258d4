"""Maps torch's functions to the names of rules: `Tensor.add_`, `torch.add` and `aten.add.Tensor` are one operator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch._ops import OpOverload, OpOverloadPacket

from dimtyped.flow.calls import Rule
from dimtyped.flow.fake_steps import RECURRENT
from dimtyped.flow.rules import RULES, SILENT, indexing, pointwise, views

_DUNDERS = {
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
    "invert": "bitwise_not",
    "truediv": "div",
    "div": "div",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "abs": "abs",
    "neg": "neg",
    "pos": "positive",
    "matmul": "matmul",
    **{name: name for name in ("add", "sub", "mul", "pow", "eq", "ne", "lt", "le", "gt", "ge")},
}
_REFLECTED = {f"r{name}": operator for name, operator in _DUNDERS.items() if operator != "matmul"}
_IN_PLACE = {f"i{name}": operator for name, operator in _DUNDERS.items()}
_ARRANGING = tuple(module.__name__ for module in (views, indexing))
_PLAIN_NAMES = {**_IN_PLACE, **_REFLECTED, **_DUNDERS, "rmatmul": "rmatmul"}


@dataclass(frozen=True, slots=True)
class Operator:
    """A function of torch's, as the interpreter needs it.

    Args:
        name: Its name in the table, and in the counts.
        rule: Its rule; None if it has none.
        is_in_place: True if it may change the shape of its first argument.
        is_silent: True if it makes no tensor whose names matter, and is not counted.
        returns_nothing: True if it returns None; its result is its first argument.
        only_arranges: True if its result has items of its argument.
        is_recurrent: True if it runs a recurrent layer for all steps of a sequence.
        function: The function.
    """

    name: str
    rule: Rule | None
    is_in_place: bool = False
    is_silent: bool = False
    returns_nothing: bool = False
    only_arranges: bool = False
    is_recurrent: bool = False
    function: Callable[..., Any] | None = None


def operator_of(func: Callable[..., Any]) -> Operator:
    """The operator that a function, method or property of torch's is."""
    name, keys = _names(func)
    base = name.removesuffix("_") if not name.endswith("__") else name
    rule = next((RULES[key] for key in keys if key in RULES), None)
    if rule is None and not SILENT.isdisjoint((name, *keys)):
        return Operator(name, None, is_silent=True)
    if rule is None and _is_pointwise(base):
        rule = pointwise
    return Operator(
        base,
        rule,
        is_in_place=base != name,
        returns_nothing=base in ("__setitem__", "data.__set__"),
        only_arranges=rule is not None and rule.__module__ in _ARRANGING,
        is_recurrent=base in RECURRENT,
        function=func,
    )


def _names(func: Any) -> tuple[str, list[str]]:
    """The name of a function, and the keys to look it up with, the most specific first."""
    if isinstance(func, (OpOverload, OpOverloadPacket)):
        packet = func.overloadpacket if isinstance(func, OpOverload) else func
        space, _, name = packet._qualified_op_name.partition("::")
        return (name, _keys(name)) if space == "aten" else (f"{space}::{name}", [])
    name = str(getattr(func, "__name__", func))
    if name in ("__get__", "__set__", "__delete__"):
        return _property_names(func, name)
    module = str(getattr(func, "__module__", None) or "torch")
    if module.partition(".")[0] != "torch":
        return f"{module}.{name}", []
    name = _plain(name)
    if module == "torch.nn.functional":
        return name, [f"F.{name.removesuffix('_')}", *_keys(name)]
    return name, [f"init.{name}"] if module == "torch.nn.init" else _keys(name)


def _property_names(func: Any, name: str) -> tuple[str, list[str]]:
    attribute = f"{getattr(func.__self__, '__name__', '')}.{name}"
    return attribute, [attribute, name]


def _plain(name: str) -> str:
    if not (name.startswith("__") and name.endswith("__")):
        return name
    inner = name.strip("_")
    if inner in _PLAIN_NAMES:
        return _PLAIN_NAMES[inner] + ("_" if inner in _IN_PLACE and inner not in _DUNDERS else "")
    return name


def _keys(name: str) -> list[str]:
    base = name if name.endswith("__") else name.removesuffix("_")
    return [name, base, "_foreach"] if name.startswith("_foreach_") else [name, base]


def _is_pointwise(name: str) -> bool:
    packet = getattr(torch.ops.aten, name, None)
    if packet is None:
        return False
    return any(torch.Tag.pointwise in getattr(packet, overload).tags for overload in packet.overloads())
