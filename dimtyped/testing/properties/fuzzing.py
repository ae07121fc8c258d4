"""`fuzz`: a module called rightly and wrongly in many sizes, and what it may do then."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import given, strategies as st
from torch import Tensor

from dimtyped.annotations import annotation_text
from dimtyped.diagnosis import dtype_text, snapshot
from dimtyped.engine import mode
from dimtyped.errors import DeclarationError, DimensionError
from dimtyped.testing.properties.deterministic import (
    deterministic,
    differs,
    fresh,
    one_thread,
    result_leaves,
    run,
    twin_of,
)
from dimtyped.testing.properties.domain import told_where_none_fits
from dimtyped.testing.properties.failure import chosen, line_of, search, telling
from dimtyped.testing.properties.independence import check_call, precise_twin, reject_untold
from dimtyped.testing.strategies.broken_calls import Broken, drawn_broken
from dimtyped.testing.strategies.calls import Call, drawn_calls
from dimtyped.testing.strategies.leaves import floats_in, mapped
from dimtyped.testing.strategies.target import module_of, targets_of

_DEFAULT = ("batch",)
_PART = 3  # one compiled or broken call for so many right ones


@dataclass(frozen=True)
class _Asked:
    """What is tested beside types and shapes."""

    grad: bool
    finite: bool
    axes: tuple[str, ...]
    causal: str | None
    padding: str | None


def fuzz(
    function_or_module: Callable[..., Any],
    *,
    max_examples: int = 100,
    broken: bool = True,
    grad: bool = False,
    compile: bool | str = False,  # noqa: A002, RUF100
    finite: bool = False,
    independent: Sequence[str] | None = None,
    causal: str | None = None,
    padding: str | None = None,
    sizes: Mapping[str, int] | None = None,
    repeat: str = "",
) -> None:
    """Calls a copy of a module, in eval mode, with inputs made from its annotations, and checks what it does.

    A right call must return what is annotated, in the dtype of the module, edit no input, and keep samples apart. A
    broken call must raise `DimensionError` that names the dimension.

    Args:
        function_or_module: What is called, with annotations.
        max_examples: How many right calls are made, and a third as many broken ones.
        broken: Whether broken calls are made. Default: True.
        grad: Whether gradients must exist and be finite. Default: False.
        compile: Whether `torch.compile` must give the same, or its backend: `True` is `"aot_eager"`. Default: False.
        finite: Whether results must be finite. Default: False.
        independent: Names of axes that must not mix. Default: `batch`, where parameters and result have it.
        causal: An axis along which results may depend only on what comes before. Default: none.
        padding: The parameter with lengths, or a mask, past which nothing may matter. Default: none.
        sizes: Sizes of names that the module does not declare. Default: none, all are drawn.
        repeat: What a failure has printed: only that is tried again.

    Raises:
        AssertionError: the module fails. It prints the smallest inputs found, by name and size, and a line that
            repeats it.
        DeclarationError: no inputs can be made from the annotations, or these have no such axis or padding.

    Example:
        >>> from dimtyped import nn
        >>> from dimtyped.testing import fuzz
        >>> fuzz(nn.GRU(3, 4), max_examples=10)
    """
    axes = _axes(function_or_module, independent)
    reject_untold(function_or_module, axes, causal, padding)
    asked = _Asked(grad, finite, axes, causal, padding)
    options = {"grad": grad, "compile": compile, "finite": finite, "independent": independent, "causal": causal}
    line = line_of({**options, "padding": padding, "sizes": sizes})
    with one_thread(), told_where_none_fits(function_or_module, sizes):
        checks = {"right": _right(function_or_module, sizes, asked)}
        if compile:
            checks["compiled"] = _compiled(function_or_module, sizes, "aot_eager" if compile is True else compile)
        if broken and mode() != "off":
            checks["broken"] = _wrong(function_or_module, sizes)
        for kind, check in chosen(checks, repeat).items():
            search(check, kind, line, repeat, max_examples if kind == "right" else max(1, max_examples // _PART))


def _axes(thing: Any, axes: Sequence[str] | None) -> tuple[str, ...]:
    if axes is not None:
        return tuple(axes)
    try:
        reject_untold(thing, _DEFAULT, None, None)
    except DeclarationError:
        return ()
    return _DEFAULT


# The three kinds of check ---------------------------------------------------------------------------------------------


def _right(thing: Any, sizes: Mapping[str, int] | None, asked: _Asked) -> Any:
    """Right calls: as a user makes them, and again in double precision, where samples must keep apart."""
    plain = twin_of(thing, double=False)
    precise, double = precise_twin(thing, sizes)

    @given(drawn_calls(plain, sizes), st.integers(1, 99))
    def check(call: Call, seed: int) -> None:
        with telling(call):
            _check_result(call, finite=asked.finite)
            if asked.grad:
                _check_gradients(call)
            again = _in_double(call, precise) if double else call
            if double:
                _check_dtypes(again, run(again, double=True))
            check_call(again, seed, asked.axes, asked.causal, asked.padding, double=double)

    return check


def _compiled(thing: Any, sizes: Mapping[str, int] | None, backend: str) -> Any:
    """The same calls compiled: the same results."""
    plain = twin_of(thing, double=False)
    compiled: Any = torch.compile(plain, backend=backend, dynamic=True)

    @given(drawn_calls(plain, sizes))
    def check(call: Call) -> None:
        with telling(call):
            args, kwargs = fresh(call)
            with deterministic(double=False):
                found = compiled(*args, **kwargs)
            for leaf, other in zip(
                result_leaves(call, run(call, double=False)), result_leaves(call, found), strict=True
            ):
                if leaf.tensor.shape != other.tensor.shape or bool(differs(leaf.tensor, other.tensor).any()):
                    raise AssertionError(f"compiled with {backend}, the {leaf} is another")

    return check


def _wrong(thing: Any, sizes: Mapping[str, int] | None) -> Any:
    """Broken calls: each refused, by name.

    Raises:
        DeclarationError: nothing enforces the annotations.
    """
    for target in targets_of(thing):
        if not target.is_enforced:
            raise DeclarationError(
                f"{target.name}: its annotations are not enforced, so broken calls are not refused\n"
                "  Make it a dimtyped.nn.Module, decorate it with @typed, or write fuzz(..., broken=False)."
            )
    plain = twin_of(thing, double=False)

    @given(drawn_broken(plain, sizes))
    def check(drawn: tuple[Call, Broken]) -> None:
        call, broken = drawn
        with telling(call, broken):
            _check_refusal(plain, broken)

    return check


def _check_refusal(thing: Any, broken: Broken) -> None:
    wanted = "TypeError" if broken.kind == "missing" else "DimensionError"
    subject = f"`{broken.argument}`" + (f", axis {broken.dim}" if broken.dim else "")
    try:
        with deterministic(double=False):
            thing(*broken.args, **broken.kwargs)
    except DimensionError as error:
        if broken.kind == "size" and (error.argument, error.dim) != (broken.argument, broken.dim):
            raise AssertionError(f"the error names `{error.argument}`, axis {error.dim}: wrong is {subject}") from error
    except Exception as error:
        if broken.kind != "missing" or not isinstance(error, TypeError):
            raise AssertionError(
                f"{subject} is wrong, and {type(error).__name__} is raised, not {wanted}: {error}"
            ) from error
    else:
        raise AssertionError(f"{subject} is wrong ({broken.kind}), and the call is not refused")


# A right call ---------------------------------------------------------------------------------------------------------


def _check_result(call: Call, *, finite: bool) -> None:
    before = [leaf.tensor.detach().clone() for leaf in call.leaves]
    with deterministic(double=False):
        result = call.target.call(*call.args, **call.kwargs)
    for leaf, was in zip(call.leaves, before, strict=True):
        if leaf.tensor.shape != was.shape or bool((leaf.tensor != was).any() & (leaf.tensor == leaf.tensor).all()):
            raise AssertionError(f"`{leaf}` is edited in place: the caller's own tensor has changed")
    if call.target.signature.checks_result and not call.target.accepts_result(call.args, call.kwargs, result):
        raise AssertionError(
            f"the result does not fit {annotation_text(call.target.signature.result.annotation)}: {snapshot(result)}"
        )
    _check_dtypes(call, result)
    for leaf in result_leaves(call, result) if finite else ():
        if not bool(leaf.tensor.isfinite().all()):
            raise AssertionError(f"the {leaf} is not finite")


def _check_dtypes(call: Call, result: Any) -> None:
    """No float comes out narrower than the floats that go in."""
    wanted = call.target.dtype
    for leaf in result_leaves(call, result):
        dtype, admitted = leaf.tensor.dtype, leaf.hint.dtypes
        if dtype.is_floating_point and dtype.itemsize < wanted.itemsize and (admitted is None or wanted in admitted):
            raise AssertionError(
                f"the {leaf} is {dtype_text(dtype)}, where the module and its inputs are {dtype_text(wanted)}\n"
                f"  If that is meant, annotate the result so: {dtype_text(dtype).capitalize()}[Tensor, ...]."
            )


def _check_gradients(call: Call) -> None:
    args, kwargs = fresh(call)
    inputs = [tensor.requires_grad_() for tensor in floats_in((args, kwargs))]
    module = module_of(call.target.call)
    trained = [*inputs, *(module.parameters() if module is not None else ())]
    with deterministic(double=False), torch.enable_grad():
        result = call.target.call(*args, **kwargs)
        total = sum((tensor.sum() for tensor in floats_in(result)), torch.zeros(()))
    if not total.requires_grad:
        raise AssertionError("no gradient reaches the inputs or the parameters")
    for gradient in torch.autograd.grad(total, [t for t in trained if t.requires_grad], allow_unused=True):
        if gradient is not None and bool(total.isfinite()) and not bool(gradient.isfinite().all()):
            raise AssertionError("a gradient is not finite, though the result is")


def _in_double(call: Call, precise: Any) -> Call:
    """The same call of the copy in double precision."""

    def widened(tensor: Tensor) -> Tensor:
        return tensor.detach().double() if tensor.is_floating_point() else tensor

    target = dataclasses.replace(call.target, call=precise, dtype=torch.float64)
    return Call(target, mapped(call.args, widened), mapped(call.kwargs, widened))
