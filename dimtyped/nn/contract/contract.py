"""A layer's contract: its declaration as data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from dimtyped.engine import Form, Predicate
from dimtyped.errors import DimensionError
from dimtyped.nn.contract.arguments import COUNTS
from dimtyped.nn.contract.torch_errors import Rule

ALL_AXES = range(-64, 0)
"""The axes that a layer keeps whose output has the shape of its input."""


@dataclass(frozen=True)
class Contract:
    """A layer in names.

    Args:
        sizes: Each name, and the attribute that holds its size, or a path from it: `normalized_shape[-1]`.
        calls: The forms of a call, in order: the annotations of each parameter of `forward`, of what comes out, which torch
            sees to, and the condition. The last one that is not rare has no condition.
        parameters: The axes of each parameter: `{"weight": "vocab embed"}`.
        flow: Which name goes in and which comes out, along `axis`; what `repr` and `Sequential` read.
        axis: The axis of the features, counted from the end. Default: the last.
        keeps: The axes, counted from the end, that come out as they go in. Default: what `flow` says.
        arguments: The constructor arguments that hold a size under another name than its attribute's.
        multiples: The constructor arguments that must be multiples of another: `{"embed_dim": "num_heads"}`.
        counts: The least that constructor arguments may be that are ints and no dimension, such as `stride`.
        words: Those of them that may be a word instead, as in `padding="same"`.
        error: The kind of DimensionError, where torch raises something that code may catch.
        rank_error: The kind for too few or too many axes. Default: the same.
        refuses: What finds the reason of a refusal of torch's that the annotations cannot state.
        check_after_error: A condition, `ALWAYS` for every call, under which torch itself refuses all that the annotations
            refuse. What fits then costs nothing: the check runs only in traces and once torch has raised. Not on Apple's
            GPUs: see `_torch_raises`.
    """

    sizes: Mapping[str, str] = field(default_factory=dict[str, str])
    calls: tuple[Form, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    flow: tuple[str, str] | None = None
    axis: int = -1
    keeps: Collection[int] = ()
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    multiples: Mapping[str, str] = field(default_factory=dict[str, str])
    counts: Mapping[str, int | None] = field(default_factory=lambda: COUNTS)
    words: Collection[str] = ()
    error: type[DimensionError] = DimensionError
    rank_error: type[DimensionError] | None = None
    refuses: Rule | None = None
    check_after_error: Predicate | None = None

    @property
    def last_usual(self) -> Form:
        """The form of a call that meets no condition: the only one of most layers."""
        return next(form for form in self.calls if form.when is None)

    def __repr__(self) -> str:
        return f"<Contract of {', '.join(self.sizes) or 'no sizes'}>"  # the whole of it would fill `help(nn.Linear)`
