"""`Packed`: a PackedSequence as an annotation, with the shape of the sequences in it."""

from __future__ import annotations

import copyreg
import functools
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeGuard, TypeVar

import torch
from torch.nn.utils.rnn import PackedSequence

from dimtyped.annotations.axes import annotation_text, is_array_annotation, read_array
from dimtyped.errors import DeclarationError, DimensionError, with_fields

_T = TypeVar("_T")


class PackedType(type):
    """The class of each `Packed[...]`; `isinstance` checks it, as for jaxtyping's annotations."""

    array: Any
    dtype: Any

    def __instancecheck__(cls, instance: Any) -> bool:
        if not isinstance(instance, PackedSequence):
            return False
        batch, *rest = packed_shape(instance)
        array = cls.array if batch is not None else _of_any_batch(cls.array)
        return isinstance(torch.empty((batch or 0, *rest), dtype=instance.data.dtype, device="meta"), array)


def is_packed(annotation: object) -> TypeGuard[PackedType]:
    """True if this is `Packed[...]`."""
    return isinstance(annotation, PackedType)


def packed_shape(sequence: PackedSequence) -> tuple[Any, ...]:
    """The batch, the longest sequence, and the axes of a step.

    The batch is None if only the values of `batch_sizes` contain it and there are no values: for sequences sorted by
    hand, inside a trace or with fake tensors.

    Raises:
        DimensionError: the number of rows in the data is not the sum of `batch_sizes`.
    """
    order, counts = sequence.sorted_indices, sequence.batch_sizes
    is_readable = not (torch.compiler.is_compiling() or type(counts) is not torch.Tensor or counts.is_meta)
    if order is None and not is_readable:
        return (None, len(counts), *sequence.data.shape[1:])
    if is_readable:
        _check_rows(sequence.data.shape[0], counts)
    return (order.shape[0] if order is not None else int(counts[0]), len(counts), *sequence.data.shape[1:])


def _check_rows(rows: int, counts: torch.Tensor) -> None:
    counted = int(counts.sum())
    if rows != counted:
        hint = "pack with lengths of at most the padded length; dimtyped.nn.utils.rnn.pack_padded_sequence checks them"
        raise with_fields(
            DimensionError(
                f"PackedSequence: its data has {rows} rows, but its batch_sizes add up to {counted}\n  {hint[0].upper()}{hint[1:]}."
            ),
            where="PackedSequence",
            argument="data",
            dim="batch_sizes.sum()",
            expected=counted,
            actual=rows,
            hint=hint,
        )


@functools.lru_cache(maxsize=1024)
def _of_any_batch(array: Any) -> Any:
    return array.dtype[array.array_type, f"_ {array.dim_str.partition(' ')[2]}"]


def _packed(array: Any) -> PackedType:
    """The class of `Packed[array]`.

    Raises:
        DeclarationError: `array` is not an annotation of a tensor with at least two axes.
    """
    if not (
        is_array_annotation(array) and isinstance(array.array_type, type) and issubclass(array.array_type, torch.Tensor)
    ):
        raise DeclarationError(
            f'Packed takes an annotation of a tensor, not {array!r}\n  Write Packed[Float[Tensor, "batch seq embed"]].'
        )
    axes = read_array(array).axes
    if len(axes) < 2 or axes[0].many or axes[1].many:
        raise DeclarationError(
            f"{annotation_text(array)} lacks the two axes that Packed begins with: the batch and the longest sequence\n"
            '  Write Packed[Float[Tensor, "batch seq embed"]].'
        )
    return _made(array)


@functools.lru_cache(maxsize=1024)
def _made(array: Any) -> PackedType:
    name = f"Packed[{annotation_text(array)}]"
    return PackedType(name, (), {"array": array, "dtype": array.dtype, "__module__": "dimtyped", "__qualname__": name})


def _reduced(packed: PackedType) -> tuple[Any, ...]:
    return _packed, (packed.array,)


copyreg.pickle(PackedType, _reduced)

if TYPE_CHECKING:

    class _Of(PackedSequence, Generic[_T]):
        """True for any PackedSequence; the check of the call looks at what is in the brackets."""

    Packed: TypeAlias = PackedSequence | _Of[_T]
else:

    class Packed:
        """A `PackedSequence` as an annotation: its batch, its longest sequence, and the axes of a step.

        `Packed[Float[Tensor, "batch seq embed"]]` takes what `pack_padded_sequence` and `pack_sequence` return. The dtype
        and the axes are checked and bound as those of the padded tensor, batch first, would be, whatever the layout of the
        input that was packed. A static checker sees `PackedSequence`; `Packed` without brackets means just that.

        Under `torch.compile` the batch of sequences that were sorted by hand (`enforce_sorted=True`) is not checked: only
        the values of a tensor contain it.

        Raises:
            DeclarationError: the brackets hold no annotation of a tensor with at least two axes.

        Example:
            >>> import torch
            >>> from dimtyped import Packed, typed
            >>> from jaxtyping import Float
            >>> from torch import Tensor
            >>> from torch.nn.utils.rnn import pack_sequence
            >>> @typed
            ... def total(x: Packed[Float[Tensor, "batch seq embed"]], w: Float[Tensor, "embed"]) -> Float[Tensor, "steps"]:
            ...     return x.data @ w
            >>> total(pack_sequence([torch.ones(3, 4), torch.ones(2, 4)]), torch.ones(4)).shape
            torch.Size([5])
        """

        def __class_getitem__(cls, array: Any) -> PackedType:
            return _packed(array)
