"""`independent`: samples that must not know of each other, and steps that must not know of later ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import given, settings, strategies as st
from hypothesis.errors import UnsatisfiedAssumption

from dimtyped.annotations import ArrayHint, Kind, arrays_in
from dimtyped.errors import DeclarationError
from dimtyped.testing.properties.deterministic import QUIET, one_thread, run, takes_double, twin_of
from dimtyped.testing.properties.domain import meant, told_where_none_fits
from dimtyped.testing.properties.mixing import IndependenceCheck, no_axis, tells_padding
from dimtyped.testing.strategies.calls import Call, drawn_calls
from dimtyped.testing.strategies.packing import holds_uneven
from dimtyped.testing.strategies.target import module_of, targets_of

_TRIED = 5


def independent(
    function_or_module: Callable[..., Any],
    *axes: str,
    causal: str | None = None,
    padding: str | None = None,
    sizes: Mapping[str, int] | None = None,
    max_examples: int = 20,
) -> None:
    """Checks that samples do not mix: a bug that no shape shows.

    Along each of `axes`, changing one sample may change only that sample's result, and moving the samples must move
    their results. A copy of the module runs in eval mode and double precision, with the same random numbers each
    time, so neither batch statistics nor dropout count as mixing.

    Args:
        function_or_module: What is called, annotated, its result too.
        *axes: Names of axes that must not mix. Default: `batch`, unless `causal` or `padding` is given.
        causal: An axis along which results may depend only on what comes before, or at the same place.
        padding: The parameter with the lengths of padded sequences, or with a mask of them: what lies past them must
            change nothing. A mask is True where a sequence is real; with `pad` in its name, where it is not.
        sizes: Sizes of names that it does not declare. Default: none, all are drawn.
        max_examples: How many calls are tried.

    Raises:
        AssertionError: something mixes. It says along which axis, which two indices show it, and where in the module
            it begins.
        DeclarationError: the annotations have no such axis.

    Example:
        >>> import torch
        >>> from jaxtyping import Float
        >>> from torch import Tensor
        >>> from dimtyped.testing import independent
        >>> def centred(x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        ...     return x - x.mean(0)
        >>> independent(centred)
        Traceback (most recent call last):
        dimtyped.testing.MixedError: centred: axis `batch` mixes: changing only batch 0 of `x` changes batch 1 of the result
        <BLANKLINE>
            x            Float[Tensor, "batch width"]  (2, 1)
    """
    apart = axes or (() if causal or padding else ("batch",))
    reject_untold(function_or_module, apart, causal, padding)
    with one_thread(), told_where_none_fits(function_or_module, sizes):
        thing, double = precise_twin(function_or_module, sizes)

        @settings(max_examples=max_examples, **QUIET)
        @given(drawn_calls(thing, sizes), st.integers(1, 99))
        def check(call: Call, seed: int) -> None:
            with meant(call):
                check_call(call, seed, apart, causal, padding, double=double)

        without_notes(check)


def without_notes(check: Callable[[], None]) -> None:
    """Runs a property test; what hypothesis adds to its error, the whole call printed, our own text says shorter."""
    try:
        check()
    except AssertionError as error:
        error.__notes__ = []
        raise


def precise_twin(thing: Any, sizes: Mapping[str, int] | None) -> tuple[Any, bool]:
    """A copy to be tested, in double precision where it runs in that, and whether it does."""
    if module_of(thing) is not None and takes_double(thing):
        twin = twin_of(thing, double=True)
        if _runs_in_double(twin, sizes):
            return twin, True
    return twin_of(thing, double=False), False


def _runs_in_double(twin: Any, sizes: Mapping[str, int] | None) -> bool:
    """Whether any of a few calls runs: code that makes single-precision tensors of its own may not."""
    ran: list[bool] = []

    @settings(max_examples=_TRIED, **QUIET)
    @given(drawn_calls(twin, sizes))
    def check(call: Call) -> None:
        try:
            with meant(call):
                run(call, double=True)
        except UnsatisfiedAssumption:
            raise
        except Exception:  # noqa: BLE001  # a user's own code; what fails in single precision too is found there
            return
        ran.append(True)

    check()
    return bool(ran)


def reject_missing(thing: Any, axis: str) -> None:
    """Says that no parameter, or no result, has an axis of this name."""
    targets = targets_of(thing)
    for what, has in (
        ("parameter", [_names(axis, target.arrays) for target in targets]),
        ("result", [_names(axis, arrays_in(target.signature.result)) for target in targets]),
    ):
        if not any(has):
            raise no_axis(targets[0], axis, what)


def reject_untold(thing: Any, axes: Sequence[str], causal: str | None, padding: str | None) -> None:
    """Says what of the axes and of the padding to be tested the annotations do not have.

    Raises:
        DeclarationError: there is such.
    """
    for axis in (*axes, *([causal] if causal else [])):
        reject_missing(thing, axis)
    targets = targets_of(thing)
    if padding is not None and not any(tells_padding(target, padding) for target in targets):
        raise DeclarationError(
            f"padding={padding!r}: {targets[0].name} has no such lengths or mask\n"
            '  Name a parameter such as lengths: Int[Tensor, "batch"], or mask: Bool[Tensor, "batch seq"].'
        )


def _names(name: str, arrays: tuple[ArrayHint, ...]) -> bool:
    return any(
        axis.kind is Kind.NAME and axis.name == name and not axis.many for array in arrays for axis in array.axes
    )


def check_call(
    call: Call, seed: int, axes: tuple[str, ...], causal: str | None, padding: str | None, *, double: bool
) -> None:
    """The same for one call of a copy."""
    if holds_uneven((call.args, call.kwargs)):
        return
    probe = IndependenceCheck(call, double, seed)
    for axis in axes:
        if _has_axis(call, axis):
            probe.check_apart(axis)
    if causal is not None and _has_axis(call, causal):
        probe.check_causal(causal)
    if padding is not None:
        probe.check_padding(padding)


def _has_axis(call: Call, axis: str) -> bool:
    """Whether a tensor that the call gives has this axis."""
    return any(leaf.along(axis) is not None for leaf in call.leaves)
