"""The inputs of attention and transformer layers: sequences in three layouts, and their masks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Optional, Union

from jaxtyping import AbstractDtype, Float, Shaped
from torch import Tensor

from dimtyped.engine import Form, Predicate
from dimtyped.nn.contract import Inputs, has_axes, without

BATCH_FIRST, SEQUENCE_FIRST, UNBATCHED = "batch {} {}", "{} batch {}", "{} {}"
"""The layouts: the axes of a sequence in order, without and with a batch."""


class BoolOrFloat(AbstractDtype):
    """The dtypes of a mask: bool hides positions, a float is added to the scores."""

    dtypes = ("bool", *Float.dtypes)  # pyright: ignore[reportAttributeAccessIssue]  # to pyright it is Annotated


@functools.cache  # each annotation is a new class, and the layers have many in common
def sequence(layout: str, length: str, width: str = "embed") -> Any:
    """A sequence of vectors."""
    return Shaped[Tensor, layout.format(length, width)]


@functools.cache
def mask(layout: str, rows: str, columns: str, heads: str = "heads") -> Any:
    """An attention mask of two lengths: one for all heads, or one for each."""
    heads = heads if layout == UNBATCHED else f"batch*{heads}"
    kind: Any = BoolOrFloat
    one, each = kind[Tensor, f"{rows} {columns}"], kind[Tensor, f"{heads} {rows} {columns}"]
    return Union[None, one, each]  # noqa: UP007  # pyright knows no | of these


@functools.cache
def padding(layout: str, length: str) -> Any:
    """A mask of the positions that are padding."""
    kind: Any = BoolOrFloat
    return Optional[kind[Tensor, length if layout == UNBATCHED else f"batch {length}"]]  # noqa: UP045  # as above


def rare_forms(
    first: str,
    batch_first: Predicate,
    causal: Predicate,
    inputs: Callable[[str], Inputs],
    output: Callable[[str], Any],
    *masks: str,
) -> tuple[Form, ...]:
    """The call forms without batch, and those of a causal call, whose masks torch drops without a check of their shape.

    Args:
        first: The first parameter.
        batch_first: The condition that the batch comes first.
        causal: The condition of a causal call.
        inputs: The annotations in a layout.
        output: The annotation of the output in a layout.
        *masks: The masks that are dropped.
    """
    unbatched = has_axes(first, 2)

    def form(layout: str, when: Predicate, *dropped: str) -> Form:
        return Form(without(inputs(layout), *dropped), output(layout), when, rare=True)

    return (
        form(UNBATCHED, causal & unbatched, *masks),
        form(UNBATCHED, unbatched),
        form(BATCH_FIRST, causal & batch_first, *masks),
        form(SEQUENCE_FIRST, causal, *masks),
    )
