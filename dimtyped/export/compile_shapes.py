"""Dynamic sizes for `torch.compile`, by the names of the annotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dimtyped.export.axis_sizes import AxisSize, read_call
from dimtyped.export.ranges import Range, is_static, read_ranges
from dimtyped.runtime import WithoutInternalFrames


@WithoutInternalFrames()
def mark_dynamic(model: Any, /, *args: Any, ranges: Mapping[str, Range] | None = None, **kwargs: Any) -> None:
    """Marks the dynamic axes of a compiled model's first inputs, so that other sizes do not recompile it.

    A name that the call binds is dynamic, within its range; a name that the module declares stays static. It calls
    `torch._dynamo.mark_dynamic`, and for axes without a name or with an expression `torch._dynamo.maybe_mark_dynamic`.

    Args:
        model: A module with an annotated `forward`, or a typed function; not the compiled one.
        *args: The inputs of the first call.
        ranges: The smallest and the largest size of a name: `{"seq": (2, 2048)}`; of one size, `(10, 10)`, it is static.
            Default: no bounds.
        **kwargs: More of its inputs, by name.

    Raises:
        DeclarationError: The model has no annotations, or a range is wrong.
        DimensionError: The inputs do not fit the annotations.

    Example:
        >>> import torch
        >>> from dimtyped import typed
        >>> from dimtyped.export import mark_dynamic
        >>> from jaxtyping import Float
        >>> from torch import Tensor
        >>> @typed
        ... def double(x: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch seq"]:
        ...     return 2 * x
        >>> first = torch.ones(4, 3)
        >>> mark_dynamic(double, first)
        >>> compiled = torch.compile(double, backend="eager")
        >>> [compiled(x).shape[1] for x in (first, torch.ones(5, 7))]
        [3, 7]
    """
    call = read_call(model, args, kwargs)
    bounds = read_ranges(call, ranges)

    def mark(tensor: Tensor, sizes: tuple[AxisSize, ...]) -> None:
        for place, size in enumerate(sizes):
            if size is None or is_static(bounds.get(size.name, (None, None))):
                continue
            if size.name and (size.factor, size.offset) == (1, 0):
                low, high = bounds[size.name]
                torch._dynamo.mark_dynamic(tensor, place, min=low, max=high)  # torch documents it
            else:
                torch._dynamo.maybe_mark_dynamic(tensor, place)  # as above

    call.map(mark)
