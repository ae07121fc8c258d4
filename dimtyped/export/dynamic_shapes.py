"""`dynamic_shapes`: the dynamic sizes of a model's inputs, as `torch.export` and `torch.onnx` take them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set as AbstractSet
from typing import Any

from torch import Tensor
from torch.export import Dim

from dimtyped.errors import DeclarationError, with_fields
from dimtyped.export.axis_sizes import AxisSize, Dynamic, ExampleCall, read_call
from dimtyped.export.ranges import Bounds, Range, is_static, read_ranges
from dimtyped.flow import Finding, check
from dimtyped.runtime import Place, WithoutInternalFrames


@WithoutInternalFrames()
def dynamic_shapes(
    model: Any, /, *args: Any, ranges: Mapping[str, Range] | None = None, **kwargs: Any
) -> dict[str, Any]:
    """Returns the `dynamic_shapes` of `torch.export.export` and `torch.onnx.export(dynamo=True)`, from the annotations.

    A name that a call binds is one `torch.export.Dim` of that name everywhere, and `2*seq` one that derives from it. A name
    that the module declares has one size for ever, and so is static. Axes without a name (`_`, `...`) are left to torch.

    Args:
        model: A module with an annotated `forward`, or a typed function.
        *args: Example inputs, as `torch.export.export` gets them. A dynamic size must be at least 2 in them, since torch
            takes 0 and 1 as fixed.
        ranges: The smallest and the largest size of a name: `{"seq": (1, 2048)}`; of one size, `(10, 10)`, it is static.
            Default: no bounds.
        **kwargs: More example inputs, by name.

    Returns:
        An entry for each argument that is given, nested as it is.

    Raises:
        DeclarationError: The model has no annotations, works with one size of a name only, or has a size of 0 or 1 in the
            example; or a range is wrong.
        DimensionError: The example does not fit the annotations.

    Example:
        >>> import torch
        >>> from dimtyped import dynamic_shapes, typed
        >>> from jaxtyping import Float
        >>> from torch import Tensor
        >>> @typed
        ... def joined(a: Float[Tensor, "batch seq"], b: Float[Tensor, "batch 2*seq"]) -> Float[Tensor, "batch 3*seq"]:
        ...     return torch.cat([a, b], 1)
        >>> shapes = dynamic_shapes(joined, torch.ones(4, 3), torch.ones(4, 6))
        >>> [dim.__name__ for dim in shapes["b"].values()]
        ['batch', '2*seq']
    """
    call = read_call(model, args, kwargs)
    bounds = {name: ends for name, ends in read_ranges(call, ranges).items() if not is_static(ends)}
    _reject_small(call, bounds)
    _reject_fixed(model, call, bounds.keys())
    dims = _Dims(bounds)
    return call.map(dims.of_tensor)


class _Dims:
    """The `torch.export.Dim` of each name."""

    def __init__(self, bounds: Mapping[str, Bounds]) -> None:
        self._dims = {name: Dim(name, min=low, max=high) for name, (low, high) in bounds.items()}

    def of_tensor(self, _: Tensor, sizes: tuple[AxisSize, ...]) -> dict[int, Any]:
        """The axes of a tensor that are not static."""
        dims = ((place, self._of(size)) for place, size in enumerate(sizes) if size is not None)
        return {place: dim for place, dim in dims if dim is not None}

    def _of(self, size: Dynamic) -> Any:
        if not size.name:
            return Dim.AUTO
        dim: Any = self._dims.get(size.name)
        if dim is None:
            return None
        scaled = dim if size.factor == 1 else size.factor * dim
        return scaled + size.offset if size.offset else scaled


def _reject_small(call: ExampleCall, names: Collection[str]) -> None:
    small = [(name, call.sizes[name]) for name in names if call.sizes.get(name, 2) < 2]
    if small:
        name, size = small[0]
        hint = f"give an example in which `{name}` is at least 2"
        raise with_fields(
            DeclarationError(
                f"{call.where}: `{name}` is {size} in the example, but torch treats sizes of 0 and 1 as fixed\n"
                f"  {hint[0].upper()}{hint[1:]}."
            ),
            where=call.where,
            dim=name,
            expected="at least 2",
            actual=size,
            hint=hint,
        )


def _reject_fixed(model: Any, call: ExampleCall, names: AbstractSet[str]) -> None:
    """Raises for a name that the model's own code fixes to one size: `torch.export` would refuse it later."""
    found = next((each for each in _fixed(model) if not names.isdisjoint(each.names)), None)
    if found is not None:
        name = next(name for name in found.names if name in names)
        reason = found.message.partition("\n")[0]
        raise with_fields(
            DeclarationError(
                f"{call.where}: `{name}` cannot be dynamic: {reason}\n"
                f"    {Place(file=found.file, line=found.line).short}: `{found.source}`\n"
                "  Take the size from the input. If no other size is intended: "
                f"ranges={{'{name}': ({call.sizes[name]}, {call.sizes[name]})}}."
            ),
            where=call.where,
            dim=name,
            hint="take the size from the input",
        )


def _fixed(model: Any) -> list[Finding]:
    try:
        report = check(model)
    except Exception:  # noqa: BLE001  # its inputs cannot be made, or it raises for its own reasons: export will say
        return []
    return [found for found in report.findings if found.kind == "fixed"]
