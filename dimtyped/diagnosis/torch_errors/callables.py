"""The functions that may be called on shapes alone: torch's operators that return a new value, and a few of Python's."""

from __future__ import annotations

import ast
import operator
import types
from collections.abc import Callable
from typing import Any

import torch

_MODULES = frozenset(
    (
        "torch",
        "torch._C",
        "torch._tensor",
        "torch._tensor_docs",
        "torch.functional",
        "torch.nn.functional",
        "torch.nn.utils.rnn",
        "torch._C._nn",
        "torch._C._linalg",
        "torch._C._special",
        "torch._C._fft",
    )
)
_PURE = frozenset(map(id, (len, int, float, bool, min, max, abs, sum, range, tuple, list, slice, round, divmod)))
NEVER = frozenset(
    str.split(
        "item tolist numpy backward retain_grad register_hook register_post_accumulate_grad_hook "
        "share_memory_ storage untyped_storage data_ptr pin_memory record_stream map_ map2_ apply_ set_ "
        "resize resize_ compile save load cond while_loop vmap set_default_dtype set_default_device "
        "manual_seed seed from_numpy from_dlpack as_tensor asarray tensor frombuffer from_file equal allclose"
    )
)
"""Functions and methods that are not run: they read numbers, call functions or change more than their tensor."""
FACTORIES = frozenset(
    str.split(
        "zeros ones empty full arange linspace logspace eye rand randn randint randperm tril_indices triu_indices"
    )
)
"""Functions of torch's that make a tensor from sizes."""
ATTRIBUTES = frozenset(str.split("shape ndim T mT H mH dtype device data real imag"))
"""The attributes of a tensor that may be read."""
_OPERATORS = (
    "Add add, Sub sub, Mult mul, Div truediv, FloorDiv floordiv, Mod mod, Pow pow, MatMult matmul, BitAnd and_, BitOr or_, "
    "BitXor xor, LShift lshift, RShift rshift, Eq eq, NotEq ne, Lt lt, LtE le, Gt gt, GtE ge"
)
_PAIRS = [pair.split() for pair in _OPERATORS.split(", ")]
BINARY: dict[type, tuple[str, Callable[[Any, Any], Any]]] = {
    getattr(ast, node): (name.rstrip("_"), getattr(operator, name)) for node, name in _PAIRS
}
"""The name and the function of each binary operator, by its class in `ast`."""
UNARY: dict[type, Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
}
"""The function of each unary operator, by its class in `ast`."""


def without_check(function: Any) -> Any:
    """Torch's function, for one of `dimtyped.nn.functional`; any other function as it is."""
    if getattr(function, "__module__", None) == "dimtyped.nn.functional":
        return getattr(torch.nn.functional, name_of(function), function)
    return function


def is_torchs(function: object) -> bool:
    """True for a function or a method of torch's that works on tensors."""
    if isinstance(function, types.MethodDescriptorType | types.WrapperDescriptorType):
        return function.__objclass__.__module__.startswith("torch")
    is_function = isinstance(function, types.FunctionType | types.BuiltinFunctionType)
    return is_function and function.__module__ in _MODULES


def is_pure(function: object) -> bool:
    """True for a function without side effects: one of torch's that changes no argument, or one of a few of Python's."""
    if id(function) in _PURE or (isinstance(function, types.BuiltinFunctionType) and function.__module__ == "math"):
        return True
    name = name_of(function)
    return is_torchs(function) and name not in NEVER and not (name.endswith("_") and not name.endswith("__"))


def name_of(function: object) -> str:
    """The name of a function."""
    return getattr(function, "__name__", "")


def may_run_as_operation(function: object) -> bool:
    """True for a function of torch's that may run as the failed operation; one that works in place gets a copy."""
    return is_torchs(function) and name_of(function) not in NEVER


def method_of_tensors(name: str) -> Any:
    """The method of this name that every tensor has; None if there is none."""
    found = getattr(torch.Tensor, name, None)
    return found if callable(found) else None
