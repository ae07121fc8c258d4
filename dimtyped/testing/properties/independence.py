"""`independent`: samples must not affect each other, and steps must not depend on later ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import given, reject, settings, strategies as st
from hypothesis.errors import UnsatisfiedAssumption

from dimtyped.annotations import ArrayHint, Kind, arrays_in
from dimtyped.errors import DeclarationError
from dimtyped.testing.properties.deterministic import QUIET, one_thread, run
from dimtyped.testing.properties.domain import explained_where_none_fits, is_out_of_domain
from dimtyped.testing.properties.learning import learn, taught
from dimtyped.testing.properties.mixing import IndependenceCheck, no_axis
from dimtyped.testing.properties.one_traceback import with_one_traceback
from dimtyped.testing.properties.padded_parameters import can_be_padding, looks_like_padding
from dimtyped.testing.properties.padding import LEFT, RIGHT, SIDES
from dimtyped.testing.properties.subject import Subject
from dimtyped.testing.strategies.calls import Call, drawn_calls
from dimtyped.testing.strategies.packing import holds_uneven
from dimtyped.testing.strategies.sizes import Choice
from dimtyped.testing.strategies.target import InputOptions, Target

_TRIED = 5
REDUCTIONS = ("mean", "sum")


@dataclass(frozen=True)
class Asked:
    """The properties to be tested: the axes whose samples are independent, and how that is checked."""

    axes: tuple[str, ...] = ()
    causal: str | None = None
    padding: str | None = None
    moves: str | None = None
    reduction: str | None = None
    separable: str | None = None
    padding_side: str = RIGHT

    @property
    def along(self) -> tuple[str, ...]:
        """The axes that the result must have too."""
        axes = () if self.reduction else self.axes
        return tuple(axis for axis in (*axes, self.causal, self.moves) if axis)

    @property
    def given(self) -> frozenset[str]:
        """The parameters that most calls are to give."""
        return frozenset((self.padding,) if self.padding else ())

    @property
    def reduced(self) -> str:
        """The axis of `reduction`."""
        return self.axes[0] if self.axes else "batch"

    def tested(self, padded: str) -> tuple[str, ...]:
        """Every axis that is tested; `padded` is the axis of `padding`."""
        reduced = self.reduced if self.reduction else None
        return tuple(
            dict.fromkeys(axis for axis in (*self.along, reduced, self.separable, self.padding and padded) if axis)
        )


@with_one_traceback
def independent(
    function_or_module: Callable[..., Any],
    *axes: str,
    causal: str | None = None,
    padding: str | None = None,
    moves: str | None = None,
    separable: str | None = None,
    padding_side: str = "right",
    sizes: Mapping[str, Choice] | None = None,
    values: Mapping[str, str | int | range] | None = None,
    lengths: Mapping[str, Choice] | None = None,
    max_examples: int = 20,
) -> None:
    """Checks that samples do not mix: a bug that no shape shows.

    Along each of `axes`, changing some samples may change only those samples' results, and moving the samples must
    move their results. A copy of the module runs in eval mode and double precision, with the same random numbers each
    time, so neither batch statistics nor dropout count as mixing.

    Args:
        function_or_module: The function or module, with annotated parameters and result.
        *axes: Names of axes that must not mix. Default: `batch`, unless something else is asked for.
        causal: An axis along which results may depend only on what comes before, or at the same place.
        padding: The parameter with the lengths of padded sequences, or with a mask of them: values past them must change
            nothing, and a padded sequence must have the result that it has alone. A mask is True for real places, or
            for padding if `pad` is in its name.
        moves: An axis along which samples may mix, as in attention without positions, but moving them must move their
            results.
        separable: An axis that the result, such as a loss, does not have: two samples must not interact in a sum or
            mean over it.
        padding_side: Where a mask's padding is put to compare a sequence with itself alone: `"right"`, behind it,
            `"left"`, in front of it, or `"both"`. Default: `"right"`.
        sizes: Sizes of names that it does not declare, as in `fuzz`. Default: none, all are drawn.
        values: The upper bound of a parameter's integers, as in `fuzz`. Default: learned by trying.
        lengths: The number of items of a list, as in `fuzz`. Default: 1 to 3.
        max_examples: The number of calls to try.

    Raises:
        AssertionError: samples mix. The error names the axis, the two indices that show it, and the place in the module
            where it begins.
        DeclarationError: the annotations have no such axis.

    Example:
        >>> import torch
        >>> from jaxtyping import Float
        >>> from torch import Tensor
        >>> from dimtyped.testing import independent
        >>> def centered(x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        ...     return x - x.mean(0)
        >>> independent(centered)
        Traceback (most recent call last):
        dimtyped.testing.MixedError: centered: axis `batch` mixes: changing only batch 0 of `x` changes batch 1 of the result
        <BLANKLINE>
            x            Float[Tensor, "batch width"]  (2, 1)
    """
    is_asked = causal or padding or moves or separable
    asked = Asked(axes or (() if is_asked else ("batch",)), causal, padding, moves, None, separable, padding_side)
    subject = Subject.of(function_or_module, InputOptions(sizes or {}, values or {}, lengths or {}, likely=asked.given))
    reject_untold(subject.own, asked)

    def searched(subject: Subject) -> None:
        subject = precise(subject)

        @settings(max_examples=max_examples, **QUIET)
        @given(drawn_calls(subject.precise), st.integers(1, 99))
        def check(call: Call, seed: int) -> None:
            try:
                check_call(call, seed, asked, double=subject.is_double)
            except UnsatisfiedAssumption:
                raise
            except Exception as error:
                if is_out_of_domain(call, error):
                    reject()
                learn(call, error, subject)
                raise

        without_notes(check)

    with one_thread(), explained_where_none_fits(subject):
        taught(subject, searched)


def without_notes(check: Callable[[], None]) -> None:
    """Runs a property test without hypothesis's notes on its error, which already shows the call."""
    try:
        check()
    except AssertionError as error:
        error.__notes__ = []
        raise


def precise(subject: Subject) -> Subject:
    """The subject with a copy in double precision, if that runs: code that makes single-precision tensors may not."""
    wide = subject.in_double()
    if not wide.is_double:
        return wide
    ran: list[bool] = []

    @settings(max_examples=_TRIED, **QUIET)
    @given(drawn_calls(wide.precise))
    def check(call: Call) -> None:
        try:
            run(call, double=True)
        except UnsatisfiedAssumption:
            raise
        except Exception as error:  # noqa: BLE001  # a user's own code; a failure in single precision too is found there
            if is_out_of_domain(call, error):
                reject()
            return
        ran.append(True)

    check()
    return wide if ran else wide.without_double()


def reject_untold(targets: list[Target], asked: Asked) -> None:
    """Rejects axes and padding to be tested that the annotations do not have.

    Raises:
        DeclarationError: the annotations lack one.
    """
    if asked.reduction not in (None, *REDUCTIONS):
        raise DeclarationError(f"reduction={asked.reduction!r} must be one of {', '.join(map(repr, REDUCTIONS))}")
    if asked.padding_side not in SIDES:
        raise DeclarationError(f"padding_side={asked.padding_side!r} must be one of {', '.join(map(repr, SIDES))}")
    for axis in asked.along:
        _reject_missing(targets, axis)
    reduced = (asked.reduced,) if asked.reduction else ()
    for axis in (*reduced, *((asked.separable,) if asked.separable else ())):
        if not any(has_name(axis, target.arrays) for target in targets):
            raise no_axis(targets[0], axis, "parameter")
    if asked.padding is not None and not any(can_be_padding(target, asked.padding) for target in targets):
        raise DeclarationError(
            f"padding={asked.padding!r}: {targets[0].name} has no such lengths or mask\n"
            '  Name a parameter such as lengths: Int[Tensor, "batch"], or mask: Bool[Tensor, "batch seq"].'
        )


def padding_of(targets: list[Target]) -> str | None:
    """The one parameter that looks like lengths or a mask of padded sequences; None if there are several or none."""
    found = {p.name for target in targets for p in target.parameters if looks_like_padding(target, p.name)}
    return found.pop() if len(found) == 1 and len(targets) == 1 else None


def _reject_missing(targets: list[Target], axis: str) -> None:
    """Raises if no parameter, or no result, has an axis of this name."""
    for what, has in (
        ("parameter", [has_name(axis, target.arrays) for target in targets]),
        ("result", [has_name(axis, arrays_in(target.signature.result)) for target in targets]),
    ):
        if not any(has):
            raise no_axis(targets[0], axis, what)


def has_name(name: str, arrays: tuple[ArrayHint, ...]) -> bool:
    """True if one of the annotations has one axis of this name."""
    return any(_count(name, array) == 1 for array in arrays)


def _count(name: str, array: ArrayHint) -> int:
    return sum(axis.kind is Kind.NAME and axis.name == name and not axis.many for axis in array.axes)


def check_call(call: Call, seed: int, asked: Asked, *, double: bool) -> IndependenceCheck | None:
    """Checks that the samples of one call are independent; None for nested tensors of uneven lengths.

    Raises:
        MixedError: samples mix.
    """
    if holds_uneven((call.args, call.kwargs)):
        return None
    check = IndependenceCheck(call, double, seed)
    for axis in () if asked.reduction else asked.axes:
        if check.has(axis):
            check.check_apart(axis)
    if asked.causal is not None and check.has(asked.causal):
        check.check_causal(asked.causal)
    if asked.moves is not None and check.has(asked.moves):
        check.check_moved(asked.moves)
    if asked.padding is not None:
        check.check_padding(asked.padding)
        for side in (RIGHT, LEFT) if asked.padding_side == "both" else (asked.padding_side,):
            check.check_padded(asked.padding, side)
    if asked.reduction is not None and check.has(asked.reduced):
        check.check_mean(asked.reduced, asked.reduction)
    if asked.separable is not None and check.has(asked.separable):
        check.check_separable(asked.separable)
    return check
