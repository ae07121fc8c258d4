"""A layer's contract: its declaration as data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from dimtyped.engine import Form, Predicate
from dimtyped.errors import DimensionError
from dimtyped.nn.contract.arguments import COUNTS
from dimtyped.nn.contract.torch_errors import Rule

ALL_AXES = range(-64, 0)
"""The value of `keeps` for a layer whose output has the shape of its input."""


@dataclass(frozen=True)
class Contract:
    """The declaration of a layer, by name.

    Args:
        sizes: Each name, and the attribute that holds its size, or a path from it: `normalized_shape[-1]`.
        derived: The attributes among these that are properties, as Python over `{self}`. A check reads this in their place.
        calls: The call forms, in order: the annotations of each parameter of `forward` and of the output, the parameters
            left to torch, and the condition. The last one that is not rare has no condition.
        parameters: The axes of each parameter: `{"weight": "vocab embed"}`.
        flow: The names of the input's and the output's size along `axis`; `repr` and `Sequential` read them.
        axis: The axis of the features, counted from the end. Default: the last.
        keeps: The axes, counted from the end, whose sizes do not change. Default: as `flow` says.
        arguments: The constructor arguments that hold a size under another name than its attribute's.
        multiples: The constructor arguments that must be multiples of another: `{"embed_dim": "num_heads"}`.
        counts: The minimum of constructor arguments that are ints but not dimensions, such as `stride`.
        words: The arguments among them that may be a string instead, as in `padding="same"`.
        error: The subclass of DimensionError to raise, if code may catch another error of torch's.
        rank_error: The subclass for too few or too many axes. Default: `error`.
        violations: Finds the reason of a torch error that the annotations cannot state.
        check_after_error: A condition, `ALWAYS` for every call, under which torch itself raises for every call that does not
            fit the annotations. Then a right call costs nothing: the check runs only in traces and after torch has raised.
            On Apple's GPUs it always runs first: see `deferral` of `layer`.
        refuses_in_traces: True if torch raises for all those calls on fake tensors too, so that the check is beside a trace.
            With `ALWAYS` it does. Default: False.
    """

    sizes: Mapping[str, str] = field(default_factory=dict[str, str])
    derived: Mapping[str, str] = field(default_factory=dict[str, str])
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
    violations: Rule | None = None
    check_after_error: Predicate | None = None
    refuses_in_traces: bool = False

    @property
    def last_usual(self) -> Form:
        """The call form without a condition: most layers have only this one."""
        return next(form for form in self.calls if form.when is None)

    def __repr__(self) -> str:
        return f"<Contract of {', '.join(self.sizes) or 'no sizes'}>"  # the full text would fill `help(nn.Linear)`
