"""torchtyping's annotations as jaxtyping's: `TensorType["batch", 3, float]` is `Float32[Tensor, "batch 3"]`.

They are read as data, and torchtyping is not imported: who has such annotations has imported it.
"""

from __future__ import annotations

import sys
import types
from typing import Annotated, Any, Union, get_args, get_origin

import jaxtyping
import torch

_MARK = "__torchtyping__"


def is_torchtyping(annotation: Any) -> bool:
    """True for `TensorType[...]`."""
    return _details(annotation) is not None


def translated(annotation: Any) -> Any:
    """The annotation with each `TensorType[...]` in it as jaxtyping writes it. The layout and `is_named` are left out."""
    if "torchtyping" not in sys.modules:
        return annotation
    details = _details(annotation)
    if details is not None:
        return _array(get_args(annotation)[0], details)
    origin, arguments = get_origin(annotation), get_args(annotation)
    made = tuple(translated(each) for each in arguments)
    if origin in (None, Annotated) or all(new is old for new, old in zip(made, arguments, strict=True)):
        return annotation
    if origin in (Union, types.UnionType):
        return Union[made]  # noqa: UP007  # of a tuple
    return annotation.copy_with(made) if hasattr(annotation, "copy_with") else origin[made]


def _details(annotation: Any) -> tuple[Any, ...] | None:
    if get_origin(annotation) is not Annotated:
        return None
    marked = (each for each in annotation.__metadata__ if isinstance(each, dict) and each.get(_MARK))
    return next((tuple(each["details"]) for each in marked), None)


def _array(base: Any, details: tuple[Any, ...]) -> Any:
    dtype = next((each.dtype for each in details if isinstance(getattr(each, "dtype", None), torch.dtype)), None)
    dims = next((each.dims for each in details if hasattr(each, "dims")), None)
    kind: Any = jaxtyping.Shaped if dtype is None else _kind(dtype)
    return kind[base, "..." if dims is None else " ".join(map(_axis, dims))]


def _kind(dtype: torch.dtype) -> Any:
    """Jaxtyping's name of a dtype: `Float32`."""
    wanted = str(dtype).removeprefix("torch.")
    names = (name for name in dir(jaxtyping) if name.lower() == wanted.lower())
    return getattr(jaxtyping, next(names, "Shaped"))


def _axis(dim: Any) -> str:
    """One dimension in jaxtyping's words: of torchtyping's, a name that is no string stands for none."""
    name = dim.name if isinstance(dim.name, str) else ""
    if dim.size is ...:
        return f"*{name}" if name else "..."
    if isinstance(dim.size, str):
        return dim.size
    if dim.size == -1:
        return name or "_"
    return f"{name}={dim.size}" if name else str(dim.size)
