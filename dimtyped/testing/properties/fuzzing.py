"""`fuzz` makes right and wrong calls of a module at many sizes, and checks the results."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import given, strategies as st
from hypothesis.errors import Unsatisfiable, UnsatisfiedAssumption

from dimtyped.annotations import annotation_text, arrays_in
from dimtyped.diagnosis import dtype_text, snapshot
from dimtyped.errors import DeclarationError, DimensionError
from dimtyped.runtime import mode
from dimtyped.testing.properties.deterministic import deterministic, differs, fresh, one_thread, result_leaves, run
from dimtyped.testing.properties.domain import explained_where_none_fits
from dimtyped.testing.properties.evidence import Evidence
from dimtyped.testing.properties.failure import DISTINCT, FuzzError, chosen, is_alike, line_of, raised, reraise, search
from dimtyped.testing.properties.independence import Asked, check_call, has_name, padding_of, precise, reject_untold
from dimtyped.testing.properties.learning import learn, taught
from dimtyped.testing.properties.needs import advice
from dimtyped.testing.properties.one_traceback import with_one_traceback
from dimtyped.testing.properties.padded_parameters import axis_padded
from dimtyped.testing.properties.padding import RIGHT
from dimtyped.testing.properties.report import FuzzReport, shared, untested
from dimtyped.testing.properties.subject import Subject
from dimtyped.testing.strategies.broken_calls import Broken, drawn_broken
from dimtyped.testing.strategies.calls import Call, drawn_calls
from dimtyped.testing.strategies.leaves import Leaf
from dimtyped.testing.strategies.sizes import Choice, Sides
from dimtyped.testing.strategies.target import InputOptions, Target

_DEFAULT = "batch"
_PART = 3  # right calls for each compiled or broken one
_DISTINCT = Sides(2, distinct=True)
_DISTINCT_CALLS = 30
_SIZE_WARNING = "Using a target size"


@dataclass(frozen=True)
class _Plan:
    """The properties to be tested, the number of calls, and the findings so far."""

    grad: bool
    finite: bool
    backend: str
    broken: bool
    max_examples: int
    apart: Asked
    tried: str | None
    evidence: Evidence = field(default_factory=Evidence)
    made: dict[str, int] = field(default_factory=dict[str, int])

    def calls(self, kind: str) -> int:
        """The number of calls of a kind."""
        return self.max_examples if kind == "right" else max(1, self.max_examples // _PART)


@with_one_traceback
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
    moves: str | None = None,
    reduction: str | None = None,
    separable: str | None = None,
    padding_side: str = "right",
    sizes: Mapping[str, Choice] | None = None,
    values: Mapping[str, str | int | range] | None = None,
    lengths: Mapping[str, Choice] | None = None,
    layouts: bool = False,
    repeat: str = "",
) -> FuzzReport:
    """Calls a copy of a module, in eval mode, with inputs made from its annotations, and checks the results.

    A right call must return what the annotation says, in the module's dtype, edit no input, and keep samples
    independent. A broken call must raise a `DimensionError` that names the dimension.

    Errors about a typed layer's declared size or an index out of range show which inputs the module takes: the search
    restarts with such inputs, and the report says so.

    Args:
        function_or_module: The annotated function or module.
        max_examples: The number of right calls; a third as many broken ones are made.
        broken: If True, makes broken calls. Default: True.
        grad: If True, gradients must exist and be finite, and each parameter's be nonzero in at least one call.
            Default: False.
        compile: If True, `torch.compile` with `"aot_eager"` must give the same results; or another backend's name.
            Default: False.
        finite: If True, results must be finite. Default: False.
        independent: Names of axes that must not mix. Default: `batch`, if parameters and result have it.
        causal: An axis along which results may depend only on what comes before. Default: none.
        padding: The parameter with lengths, or a mask, past which no value may matter. The last place inside them must
            matter. Default: none.
        moves: An axis along which samples may mix, but moving them must move their results. Default: none.
        reduction: `"mean"` or `"sum"`: the result, such as a loss, is that of the results of each sample alone, along
            the first axis of `independent`. Default: none.
        separable: An axis that the result does not have: two samples must not interact in a sum or mean over it.
            Default: none.
        padding_side: Where a mask's padding is put to compare a sequence with itself alone: `"right"`, behind it,
            `"left"`, in front of it, or `"both"`. Default: `"right"`; the report says what padding in front does.
        sizes: Sizes of names that the module does not declare: `{"seq": 4}`, or to choose from, `{"heads": (2, 4)}`
            and `{"seq": range(3, 9)}`. Default: none, all are drawn.
        values: The upper bound of a parameter's integers: a name, a size or a range. `{"labels": "classes"}`.
            Default: found by trying.
        lengths: The number of items of a list: `{"images": 3}`, or a range. Default: 1 to 3.
        layouts: If True, tensors are drawn in every memory layout. Default: False, they are contiguous.
        repeat: The text that a failure printed: only that call is repeated.

    Returns:
        A report of the properties that were tested, and those that were not; print it.

    Raises:
        AssertionError: the module fails. The error shows the smallest inputs found, with distinct sizes if it fails with
            those too, and a line that repeats the failure.
        DeclarationError: no inputs can be made from the annotations, or they lack an axis or the padding.

    Example:
        >>> from dimtyped import nn
        >>> from dimtyped.testing import fuzz
        >>> report = fuzz(nn.GRU(3, 4), max_examples=10)
        >>> report.tested
        ('batch',)
    """
    likely = frozenset((padding,) if padding else ())
    inputs = InputOptions(sizes or {}, values or {}, lengths or {}, layouts, likely)
    subject = Subject.of(function_or_module, inputs)
    axes = tuple(independent) if independent is not None else _axes(subject.own, reduction)
    apart = Asked(axes, causal, padding, moves, reduction, separable, padding_side)
    reject_untold(subject.own, apart)
    backend = "aot_eager" if compile is True else compile or ""
    tried = padding_of(subject.own) if padding is None else None
    plan = _Plan(grad, finite, backend, broken and mode() != "off", max_examples, apart, tried)
    with one_thread(), explained_where_none_fits(subject):
        failure, learned = taught(subject, lambda known: _searched(known, plan, repeat))
    if failure is None:
        return _report(subject, learned, plan)
    options = {"grad": grad, "compile": compile, "finite": finite, "independent": independent, "causal": causal}
    asked = {"padding": padding, "moves": moves, "reduction": reduction, "separable": separable}
    asked["padding_side"] = padding_side if padding_side != RIGHT else None
    found = learned.options
    known = {"sizes": found.sizes, "values": found.values, "lengths": found.lengths, "layouts": found.layouts}
    raise raised(failure, line_of({**options, **asked, **known}), advice(failure, learned))


def _axes(targets: list[Target], reduction: str | None) -> tuple[str, ...]:
    """`batch`, if mixing along it can be checked."""
    has_it = any(has_name(_DEFAULT, target.arrays) for target in targets)
    gives_it = any(has_name(_DEFAULT, arrays_in(target.signature.result)) for target in targets)
    return (_DEFAULT,) if has_it and (gives_it or reduction) else ()


def _report(subject: Subject, learned: Subject, plan: _Plan) -> FuzzReport:
    """The report of a search that found no failure. Inputs that the user has given do not count as learned."""
    target = subject.own[0]
    found = InputOptions(
        {name: size for name, size in learned.options.sizes.items() if name not in subject.options.sizes},
        {name: bound for name, bound in learned.options.values.items() if name not in subject.options.values},
    )
    padding = plan.apart.padding
    tested = plan.apart.tested(axis_padded(target, padding) if padding else "")
    rest = untested(subject.own, tested)
    proposed = "" if tested else shared(target)
    return FuzzReport(subject.name, dict(plan.made), tested, rest, found, proposed, _padding_found(plan))


def _padding_found(plan: _Plan) -> str:
    """The finding about a mask or lengths that the user has not named as padding, and about padding in front."""
    if plan.apart.padding is not None and plan.apart.padding_side == RIGHT and plan.evidence.fronts:
        than = "another result than alone" if plan.evidence.in_front else "the result that it has alone"
        return f"padded in front by `{plan.apart.padding}`, a sequence has {than}"
    if plan.tried is None or not plan.evidence.tried:
        return ""
    if plan.evidence.mixed:
        return f"if `{plan.tried}` is padding, give padding={plan.tried!r}: a value past it changes the result"
    return f"values past `{plan.tried}` change nothing"


# The search -----------------------------------------------------------------------------------------------------------


def _searched(subject: Subject, plan: _Plan, repeat: str) -> FuzzError | None:
    """The smallest failure of each kind of check, in order; None if there is none."""
    checks: dict[str, Any] = {"right": _right}
    if plan.backend:
        checks["compiled"] = _compiled
    if plan.broken:
        _reject_unenforced(subject.own)
        checks["broken"] = _wrong
    subject = precise(subject)
    for kind, make in chosen(checks, repeat).items():
        sides = _DISTINCT if kind.endswith(DISTINCT) else Sides()
        plan.made[kind.removesuffix(DISTINCT)] = 0
        failure = search(make(subject, plan, sides), kind, repeat, plan.calls(kind))
        if failure is not None:
            return failure if repeat else _apart(failure, make, kind, subject, plan)
        if kind == "right":
            together = plan.evidence.failure(subject.name, plan.apart.padding)
            if together is not None:
                return together
    return None


def _apart(failure: FuzzError, make: Any, kind: str, subject: Subject, plan: _Plan) -> FuzzError:
    """A similar failure with distinct sizes, none of them 1, if one is found: its error is clearer."""
    try:
        check = make(subject, plan, _DISTINCT)
        found = search(check, kind + DISTINCT, "", min(plan.calls(kind), _DISTINCT_CALLS))
    except (Unsatisfiable, DeclarationError):  # there are no such sizes
        return failure
    return found if found is not None and is_alike(found, failure) else failure


def _reject_unenforced(targets: list[Target]) -> None:
    """Rejects a test of broken calls if the annotations are not enforced.

    Raises:
        DeclarationError: a target's annotations are not enforced.
    """
    for target in targets:
        if not target.is_enforced:
            raise DeclarationError(
                f"{target.name}: its annotations are not enforced, so broken calls are not rejected\n"
                "  Make it a dimtyped.nn.Module, decorate it with @typed, or write fuzz(..., broken=False)."
            )


# The three kinds of check ---------------------------------------------------------------------------------------------


def _right(subject: Subject, plan: _Plan, sides: Sides) -> Any:
    """The check of right calls: as a user makes them, and in double precision, in which samples must be independent."""

    @given(drawn_calls(subject.plain, sides), st.integers(1, 99))
    def check(call: Call, seed: int) -> None:
        reraise(call, lambda: _check_right(call, seed, subject, plan))
        plan.made["right"] += 1

    return check


def _check_right(call: Call, seed: int, subject: Subject, plan: _Plan) -> None:
    try:
        _check_result(call, finite=plan.finite)
        if plan.grad:
            plan.evidence.look_at_gradients(call, seed)
        _check_precisely(subject.precisely(call), seed, plan, double=subject.is_double)
    except UnsatisfiedAssumption:
        raise
    except Exception as error:
        learn(call, error, subject)
        raise


def _check_precisely(call: Call, seed: int, plan: _Plan, *, double: bool) -> None:
    check = check_call(call, seed, plan.apart, double=double)
    if check is None:
        return
    if double:
        for leaf in check.base:
            _check_dtype(call, leaf)
    if plan.apart.padding is not None:
        plan.evidence.look_inside(check, plan.apart.padding)
        plan.evidence.look_in_front(check, plan.apart.padding)
    elif plan.tried is not None:
        plan.evidence.try_padding(check, plan.tried)


def _compiled(subject: Subject, plan: _Plan, sides: Sides) -> Any:
    """The check that compiled calls give the same results."""
    compiled: Any = torch.compile(subject.copy, backend=plan.backend, dynamic=True)

    @given(drawn_calls(subject.plain, sides))
    def check(call: Call) -> None:
        reraise(call, lambda: _check_compiled(call, compiled, plan.backend))
        plan.made["compiled"] += 1

    return check


def _check_compiled(call: Call, compiled: Any, backend: str) -> None:
    args, kwargs = fresh(call)
    with deterministic(double=False):
        found = compiled(*args, **kwargs)
    pairs = zip(result_leaves(call, run(call, double=False)), result_leaves(call, found), strict=True)
    for leaf, other in pairs:
        if leaf.tensor.shape != other.tensor.shape or bool(differs(leaf.tensor, other.tensor).any()):
            raise AssertionError(f"compiled with {backend}, the {leaf} differs")


def _wrong(subject: Subject, plan: _Plan, sides: Sides) -> Any:
    """The check that each broken call raises an error that names the dimension."""

    @given(drawn_broken(subject.plain, sides))
    def check(drawn: tuple[Call, Broken]) -> None:
        call, broken = drawn
        reraise(call, lambda: _check_refusal(call.target.call, broken), broken)
        plan.made["broken"] += 1

    return check


def _check_refusal(thing: Any, broken: Broken) -> None:
    wanted = "TypeError" if broken.kind == "missing" else "DimensionError"
    subject = f"`{broken.argument}`" + (f", axis {broken.dim}" if broken.dim else "")
    try:
        with deterministic(double=False):
            thing(*broken.args, **broken.kwargs)
    except DimensionError as error:
        if broken.kind == "size" and (error.argument, error.dim) != (broken.argument, broken.dim):
            raise AssertionError(
                f"the error names `{error.argument}`, axis {error.dim}, but {subject} is wrong"
            ) from error
    except Exception as error:
        if broken.kind != "missing" or not isinstance(error, TypeError):
            raise AssertionError(
                f"{subject} is wrong, but the call raises {type(error).__name__}, not {wanted}: {error}"
            ) from error
    else:
        raise AssertionError(f"{subject} is wrong ({broken.kind}), but the call raises nothing")


# A right call ---------------------------------------------------------------------------------------------------------


def _check_result(call: Call, *, finite: bool) -> None:
    before = [leaf.tensor.detach().clone() for leaf in call.leaves]
    with deterministic(double=False), warnings.catch_warnings():
        warnings.filterwarnings(
            "error", message=_SIZE_WARNING
        )  # torch's warning about a loss that broadcasts its target
        result = call.target.call(*call.args, **call.kwargs)
    for leaf, was in zip(call.leaves, before, strict=True):
        if leaf.tensor.shape != was.shape or bool((leaf.tensor != was).any() & (leaf.tensor == leaf.tensor).all()):
            raise AssertionError(f"`{leaf}` is edited in place: the caller's own tensor has changed")
    if call.target.signature.checks_result and not call.target.accepts_result(call.args, call.kwargs, result):
        raise AssertionError(
            f"the result does not fit {annotation_text(call.target.signature.result.annotation)}: {snapshot(result)}"
        )
    for leaf in result_leaves(call, result):
        _check_dtype(call, leaf)
        if finite and not bool(leaf.tensor.isfinite().all()):
            raise AssertionError(f"the {leaf} is not finite")


def _check_dtype(call: Call, leaf: Leaf) -> None:
    """Checks that no float result is narrower than the float inputs."""
    wanted, dtype, admitted = call.target.dtype, leaf.tensor.dtype, leaf.hint.dtypes
    if dtype.is_floating_point and dtype.itemsize < wanted.itemsize and (admitted is None or wanted in admitted):
        raise AssertionError(
            f"the {leaf} is {dtype_text(dtype)}, but the module and its inputs are {dtype_text(wanted)}\n"
            f"  If that is intended, annotate the result so: {dtype_text(dtype).capitalize()}[Tensor, ...]."
        )
